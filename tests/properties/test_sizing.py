"""Laws of the sizer over values of any shape."""

import json
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from membudget import _native
from membudget.sizing import NODES, allocated, entry_bytes, measure, size_of
from membudget.sizing.fallback import weigh

CORE: Any = _native.core

WORDS = st.text(max_size=20)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(WORDS, inner, max_size=5)
        | st.tuples(inner, inner)
    ),
    max_leaves=15,
)


@given(st.lists(VALUES, min_size=1, max_size=5))
@settings(deadline=None)
def test_a_whole_weighs_what_its_parts_weigh(values: list[Any]) -> None:
    """Where they share nothing: documents parsed one by one."""
    parts = tuple(json.loads(json.dumps(value)) for value in values)
    assert size_of(parts) == allocated(sys.getsizeof(parts)) + sum(map(size_of, parts))


@given(VALUES)
@settings(deadline=None)
def test_weighing_twice_gives_the_same(value: Any) -> None:
    assert size_of(value) == size_of(value) == measure(value).bytes


@given(st.lists(VALUES, max_size=5), VALUES)
@settings(deadline=None)
def test_more_never_weighs_less(values: list[Any], another: Any) -> None:
    """An item added adds its weight, or nothing where it was there already."""
    before = size_of([*values])
    assert before <= size_of([*values, another]) <= before + size_of(another) + 64


@given(VALUES, st.integers(1, 200))
@settings(deadline=None)
def test_a_walk_keeps_its_bound(value: Any, nodes: int) -> None:
    """It looks at no more objects than it may, and is exact wherever that is enough."""
    found = measure(value, nodes)
    assert found.nodes <= nodes
    assert 0 <= found.bytes < 1 << 62
    if found.exact:
        assert found.bytes == size_of(value)
    else:
        assert measure(value, 100_000).nodes > nodes


@given(st.lists(st.integers(1000, 10**9), min_size=1, max_size=6), st.integers(500, 3000))
@settings(max_examples=30, deadline=None)
def test_equal_siblings_are_estimated_exactly(parts: list[int], count: int) -> None:
    """From a sample of a tenth: where all siblings weigh the same, the average is the truth."""
    value = [[part + number for part in parts] for number in range(count)]
    whole, sampled = measure(value, 100_000), measure(value, count // 2)
    assert whole.exact
    assert not sampled.exact
    assert abs(sampled.bytes - whole.bytes) <= 0.05 * whole.bytes


@given(VALUES)
@settings(deadline=None)
def test_what_nobody_else_holds_is_charged_what_it_weighs(value: Any) -> None:
    """A document just parsed: dropping it frees all of it."""
    document = json.loads(json.dumps(value))
    assert abs(entry_bytes(None, document) - size_of(document)) <= 0.03 * size_of(document)


@given(VALUES)
@example({"0\x80": {"0\x80": None}})  # One key of two dicts, met before it looks borrowed.
@settings(deadline=None)
def test_plain_python_tells_the_same(value: Any) -> None:
    """But for the rounding of a dict's two blocks, which it takes for one."""
    whole = [json.loads(json.dumps(value))]
    size, _, exact = weigh(whole, NODES)
    assert exact
    assert abs(size - size_of(whole)) <= 16 + 0.10 * size


@pytest.mark.skipif(CORE is None, reason="the compiled core was not built")
@given(st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=8))
@settings(deadline=None)
def test_entries_together_are_charged_what_they_hold_together(chosen: list[list[int]]) -> None:
    """Values that share parts nobody else holds, weighed once more when all are in the table."""
    parts = [[number * 1.5 + 1000 * part for number in range(20)] for part in range(6)]
    values = [[parts[part] for part in one] for one in chosen]
    parts.clear()
    shares = CORE.new_shares()
    for _ in range(2):
        charged = sum(CORE.entry(None, value, shares) for value in values)
    held = size_of(values) - size_of([None] * len(values))
    noted = 44 * sum(len(set(one)) for one in chosen)  # At most: what noting who shares it costs.
    assert -64 - 0.01 * held <= charged - held <= 64 + 0.01 * held + noted
