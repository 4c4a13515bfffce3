"""The walk: what it sees, what it keeps alive, and how long it takes at a time."""

import asyncio
import gc
import weakref
from collections import OrderedDict, defaultdict, deque
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import pytest

from heap_scenes import CALLS, hostile_class, walked
from membudget.heap.walk import CHUNK, WIDE, Cursor, Kinds, Walk


class Node:
    def __init__(self, held: Any = None) -> None:
        self.held = held


class Ticking:
    """A clock that moves by one each time it is read."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        self.time += 1.0
        return self.time


def test_every_reachable_object_is_met_once() -> None:
    """Also where it is reached by several ways and in circles."""
    shared: list[Any] = []
    root: dict[str, Any] = {"a": [shared, (shared, shared)], "b": ([shared],)}
    shared.append(root)
    expected = {
        id(root),
        id(root["a"]),
        id(shared),
        id(root["a"][1]),
        id(root["b"]),
        id(root["b"][0]),
    }
    met = walked(root)
    assert set(met) == expected
    assert len(met) == len(expected)


def test_what_the_collector_does_not_track_is_seen() -> None:
    """A dict of numbers is untracked, and what was frozen is in no generation."""
    plain = dict.fromkeys(range(100), 1)
    gc.freeze()
    try:
        assert id(plain) in walked([plain])
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("kind", [list, tuple, deque, set, frozenset])
def test_all_items_of_a_large_container_are_seen(kind: Any) -> None:
    """More than a chunk of them, read in pieces."""
    nodes = [Node() for _ in range(3 * CHUNK + 7)]
    assert {id(one) for one in nodes} <= set(walked(kind(nodes)))


@pytest.mark.parametrize("kind", [dict, OrderedDict, lambda pairs: defaultdict(list, pairs)])
def test_keys_and_values_of_a_large_dict_are_seen(kind: Any) -> None:
    nodes = [(Node(), Node()) for _ in range(2 * CHUNK + 7)]
    assert {id(one) for pair in nodes for one in pair} <= set(walked(kind(nodes)))


def test_a_list_that_shrinks_while_it_is_read_is_read_to_its_end() -> None:
    """By index: what is left is read, and nothing raises."""
    items = [Node() for _ in range(4 * CHUNK)]
    cursor = Cursor(items, list)
    assert len(cursor.read() or ()) == CHUNK
    del items[CHUNK + 5 :]
    assert len(cursor.read() or ()) == 5
    assert cursor.read() is None


def test_a_dict_that_grows_while_it_is_read_is_read_on_where_it_was() -> None:
    """A new iterator skips what was read."""
    items = {number: Node() for number in range(3 * CHUNK)}
    cursor = Cursor(items, dict)
    seen = {id(one) for one in cursor.read() or ()}
    items["new"] = Node()  # type: ignore[index]
    while (more := cursor.read()) is not None:
        seen.update(map(id, more))
    assert {id(one) for one in items.values()} <= seen
    assert cursor.unread == 0


def test_a_step_does_one_piece_of_work_after_its_time_has_come() -> None:
    """No piece is larger than a chunk, whatever the container's length."""
    clock = Ticking()
    root: list[Any] = [[Node() for _ in range(20 * CHUNK)], dict.fromkeys(range(5 * CHUNK), ())]
    walk = Walk([("root", root)], Kinds({}), now=clock.now)
    before = 0
    while not walk.go_on(clock.time):
        assert walk.objects - before <= CHUNK
        before = walk.objects
    assert walk.objects > 20 * CHUNK


def test_what_the_program_drops_goes_away_while_the_walk_rests() -> None:
    """All but what waits to be entered next."""
    clock = Ticking()
    nodes = [Node() for _ in range(10 * WIDE)]
    alive = weakref.WeakSet(nodes)
    walk = Walk([("root", [nodes])], Kinds({}), now=clock.now)
    while walk.objects < 5 * WIDE:
        walk.go_on(clock.time)
    nodes.clear()
    assert 0 < len(alive) <= WIDE + 2 * CHUNK
    assert walk.go_on(float("inf"))
    assert len(alive) == 0


def test_a_long_chain_is_walked_to_its_end_without_keeping_it() -> None:
    """A list of a hundred thousand links: the path kept is bounded."""
    first = node = Node()
    for _ in range(100_000):
        node.held = Node()
        node = node.held
    last = id(node)
    del node
    walk = Walk([("root", first)], Kinds({}))
    assert walk.go_on(float("inf"))
    assert walk.objects > 100_000
    assert walk.held_bytes < 4_000_000
    assert last in walked(first)


def test_hostile_objects_are_never_asked_anything() -> None:
    CALLS.clear()
    kinds = [hostile_class(*bases) for bases in ((), (list,), (dict,), (set,), (deque,), (tuple,))]
    made: list[Any] = [object.__new__(kinds[0])]
    builtins: tuple[Any, ...] = (list, dict, set, deque, tuple)
    for kind, builtin in zip(kinds[1:], builtins, strict=True):
        made.append(builtin.__new__(kind))
    list.extend(made[1], [[] for _ in range(2 * CHUNK)])
    dict.update(made[2], {number: [] for number in range(2 * CHUNK)})
    assert {id(one) for one in made} <= set(walked(made))
    assert CALLS == []


def test_modules_are_entered_by_their_namespaces_alone() -> None:
    """What their C code lists is left alone: in CPython 3.12 that of `_asyncio` holds dead objects.

    A second walk went on for ever there, and took all memory.
    """
    import _asyncio

    async def main() -> int:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, 1)
        result: int = await future
        return result

    for _ in range(3):
        assert asyncio.run(main()) == 1
        assert id(vars(_asyncio)) in walked([_asyncio])


def test_no_instance_gets_a_dict_by_being_walked() -> None:
    """Its attributes stay in the object: the dict would be among its referents."""
    node = Node([1])
    before = [type(one) for one in gc.get_referents(node)]
    walked(node)
    assert [type(one) for one in gc.get_referents(node)] == before


def test_beyond_the_most_objects_large_containers_are_sampled() -> None:
    root: list[Any] = [[[] for _ in range(20 * CHUNK)]]
    walk = Walk([("root", root)], Kinds({}), most=100)
    assert walk.go_on(float("inf"))
    assert walk.objects == CHUNK + 2
    assert walk.unread == 19 * CHUNK


def test_what_c_code_holds_much_of_is_walked_in_pieces_and_not_kept() -> None:
    """A tree of XML lists all its children at once: some are looked at, the others are told."""
    tree = Element("root")
    for _ in range(4 * WIDE):
        SubElement(tree, "row")
    walk = Walk([("tree", tree)], Kinds({}))
    steps = 0
    while not walk.go_on(0.0):
        steps += 1
        assert walk.objects <= (steps + 1) * CHUNK
    assert walk.unread >= 3 * WIDE
    assert walk.objects > WIDE // 2
