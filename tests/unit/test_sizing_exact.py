"""The compiled sizer to the byte: what the allocator gave for a value, each block as rounded."""

import collections
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from membudget import _native
from membudget.sizing import NODES
from sizing_scene import truly_allocated

CORE: Any = _native.core
HELD = 200

pytestmark = pytest.mark.skipif(CORE is None, reason="the compiled core was not built")


class Plain:
    def __init__(self, number: int) -> None:
        self.one, self.two = number * 1.5, number * 2.5


class Wide:
    def __init__(self, number: int) -> None:
        for at in range(12):
            setattr(self, f"attribute_{at}", number * 1.5 + at)


class Slotted:
    __slots__ = ("__dict__", "__weakref__", "one", "two")

    def __init__(self, number: int) -> None:
        self.one, self.two = number * 1.5, number * 2.5


class Listed(list[float]):
    """A class derived from a built-in one."""


class Word(str):  # noqa: SLOT000  # as programs write it
    """A class derived from text."""


class Late(Plain):
    """Its objects gain an attribute."""


def late(number: int) -> Late:
    value = Late(number)
    value.three = number * 3.5  # type: ignore[attr-defined]
    return value


def beside_slots(number: int) -> Slotted:
    value = Slotted(number)
    value.three = number * 3.5  # type: ignore[attr-defined]
    return value


def opened(number: int) -> Plain:
    value = Plain(number)
    assert vars(value)
    return value


def turned(number: int) -> collections.deque[float]:
    """A deque that keeps blocks for later."""
    value = collections.deque([number * 1.5], 100)
    value.extend(number * 2.5 + at for at in range(1000))
    return value


def thinned(number: int) -> dict[str, float]:
    """A dict that keeps the room of what left it."""
    value = {f"{number} {key}": number * 1.5 + key for key in range(30)}
    for key in list(value)[:25]:
        del value[key]
    return value


def appended(number: int) -> list[float]:
    value: list[float] = []
    for at in range(37):
        value.append(number * 1.5 + at)  # noqa: PERF401  # that leaves the room
    return value


KINDS: dict[str, Callable[[int], Any]] = {
    "object": Plain,
    "wide object": Wide,
    "object with a late attribute": late,
    "opened object": opened,
    "slots": Slotted,
    "slots and a dict": beside_slots,
    "list": lambda number: [number * 1.5, number * 2.5],
    "empty list": lambda _: [],
    "appended list": appended,
    "derived list": lambda number: Listed([number * 1.5, number * 2.5]),
    "nested lists": lambda number: [[[[[number * 1.5]]]]],
    "one list five times": lambda number: [[number * 1.5]] * 5,
    "tuples": lambda number: (number * 1.5, (number * 2.5, (number * 3.5,))),
    "empty dict": lambda _: {},
    "dict of text keys": lambda number: {f"{number} {key}": key * 1.5 for key in range(9)},
    "dict of int keys": lambda number: {number * 1000 + at: at * 1.5 for at in range(20)},
    "long dict": lambda number: {number * 1000 + at: at * 1.5 for at in range(300)},
    "thinned dict": thinned,
    "defaultdict": lambda number: collections.defaultdict(list, {number * 1.5: [number * 2.5]}),
    "Counter": lambda number: collections.Counter([number * 1.5, number * 2.5]),
    "small set": lambda number: {number * 1.5},
    "large set": lambda number: {number * 1.5 + at for at in range(300)},
    "frozenset": lambda number: frozenset(number * 1.5 + at for at in range(40)),
    "deque": lambda number: collections.deque(number * 1.5 + at for at in range(500)),
    "turned deque": turned,
    "range": lambda number: range(number * 1000 + 1000, number * 2000 + 3000, number + 300),
    "derived text": lambda number: Word(f"some text {number}" * 10),
    "derived wide text": lambda number: Word(chr(0x1F600) * 7 + str(number)),
    "large int": lambda number: (1 << 300) + number,
    "negative int": lambda number: -(1 << 300) - number,
    "complex": lambda number: complex(number, 1.5),
    "slice": lambda number: slice(number * 1.5, number * 2.5),
    "text": lambda number: f"some text {number}" * 10,
    "Latin text": lambda number: "é" * 9 + str(number),
    "wide text": lambda number: chr(0x1F600) * 7 + str(number),
    "bytes": lambda number: b"%d" % number * 30,
    "grown bytearray": lambda number: bytearray(number) * 3,
    "exception": lambda number: ValueError(f"wrong {number}", number * 1.5),
}


@pytest.fixture
def _alone() -> Iterator[None]:
    """Nobody is called at collections, who would take memory of their own."""
    called = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = called


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("kind", KINDS)
def test_the_weight_is_what_the_allocator_gave(kind: str) -> None:
    given, held = truly_allocated(KINDS[kind], HELD)
    weight = sum(CORE.size_of(value, NODES) for value in held)
    # The interpreter's own spare floats, and the numbers that the loop counts with: no block of
    # 16 bytes in each value goes unseen.
    assert abs(given - weight) < 8 * HELD
