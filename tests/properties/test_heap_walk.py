"""A law of the walk: it meets exactly what can be reached, once."""

import time
from collections import deque
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from heap_scenes import AllMet, Met, walked

_MAKERS = (list, dict, deque, SimpleNamespace)
"""Since CPython 3.12 a deque leads to its type, and that to all modules: it is passed over."""

_EDGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=80)
_GRAPHS = st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=31), _EDGES)


def _link(holder: Any, value: Any, number: int) -> None:
    if isinstance(holder, dict):
        holder[number] = value
    elif isinstance(holder, (list, deque)):
        holder.append(value)
    else:
        setattr(holder, f"a{number}", value)


def _built(graph: tuple[list[int], list[tuple[int, int]]]) -> tuple[list[Any], set[int]]:
    """The nodes of a graph, and the numbers of those that the first one reaches."""
    kinds, edges = graph
    nodes: list[Any] = [_MAKERS[kind]() for kind in kinds]
    below: dict[int, set[int]] = {}
    for number, (one, other) in enumerate(edges):
        begin, end = one % len(nodes), other % len(nodes)
        _link(nodes[begin], nodes[end], number)
        below.setdefault(begin, set()).add(end)
    reached, waiting = {0}, [0]
    while waiting:
        fresh = below.get(waiting.pop(), set()) - reached
        reached |= fresh
        waiting += fresh
    return nodes, reached


@given(_GRAPHS)
@settings(deadline=None)
def test_exactly_what_can_be_reached_is_met_once(graph: Any) -> None:
    nodes, reached = _built(graph)
    own = {id(one): number for number, one in enumerate(nodes)}
    met = [own[one] for one in walked(nodes[0], passed=[deque]) if one in own]
    assert len(met) == len(set(met))
    assert set(met) == reached


@given(_GRAPHS, st.integers(1, 20))
@settings(deadline=None)
def test_in_slices_the_same_is_met(graph: Any, rest: int) -> None:
    nodes, reached = _built(graph)
    own = {id(one): number for number, one in enumerate(nodes)}
    walk = Met([("root", nodes[0])], AllMet({}), passed=[id(deque)])
    while not walk.go_on(time.monotonic() - rest):
        pass
    assert {own[one] for one in walk.met if one in own} == reached
