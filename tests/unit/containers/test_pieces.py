"""What is drawn from an iterator: hardly any waits outside a bound, and none is lost."""

import weakref
from collections import UserDict
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from containers_scene import put_many
from membudget.containers.list import BoundedDeque, BoundedList
from membudget.containers.ordered import BoundedDict, BoundedSet
from membudget.registry import Registry

HEAVY = 1 << 20


class Block:
    """Something that tells how many of it there are."""

    alive: ClassVar["weakref.WeakSet[Block]"] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


def heavy(_: object) -> int:
    return HEAVY


def drawn_leftward(container: Any, values: Iterator[Any]) -> None:
    container.extendleft(values)


WAYS = [
    (BoundedList, put_many),
    (BoundedDeque, put_many),
    (BoundedDeque, drawn_leftward),
    (BoundedDict, put_many),
    (BoundedSet, put_many),
]
ways = pytest.mark.parametrize(("kind", "draw"), WAYS)


@ways
def test_heavy_items_are_bounded_while_they_are_drawn(
    kind: Any, draw: Callable[[Any, Any], None]
) -> None:
    one = kind("blocks", max_bytes="3.5MiB", size=heavy, registry=Registry())
    most = 0

    def blocks() -> Iterator[Block]:
        nonlocal most
        for _ in range(200):
            yield Block()
            most = max(most, len(Block.alive))

    draw(one, blocks())
    assert most <= 5
    assert one.stats().added == 200


@ways
def test_what_was_drawn_before_an_exception_is_in(
    kind: Any, draw: Callable[[Any, Any], None]
) -> None:
    def five() -> Iterator[int]:
        yield from range(5)
        raise OSError("the line is down")

    one = kind("five", registry=Registry())
    with pytest.raises(OSError, match="line is down"):
        draw(one, five())
    assert sorted(one) == [0, 1, 2, 3, 4]


@ways
def test_an_item_that_cannot_be_weighed_loses_none_before_it(
    kind: Any, draw: Callable[[Any, Any], None]
) -> None:
    def size(item: int) -> int:
        if item == 3:
            raise ArithmeticError("three")
        return 10

    one = kind("weighed", size=size, registry=Registry())
    with pytest.raises(ArithmeticError):
        draw(one, iter(range(10)))
    assert sorted(one) == [0, 1, 2]


def test_a_mapping_that_is_not_in_memory_is_read_piece_by_piece() -> None:
    """A store on disk, say, whose values come into being as they are read."""
    most = 0

    class Store(UserDict[int, Any]):
        def __getitem__(self, key: int) -> Any:
            nonlocal most
            most = max(most, len(Block.alive))
            return Block()

    one: BoundedDict[int, Block] = BoundedDict(
        "read", max_bytes="2.5MiB", size=heavy, registry=Registry()
    )
    one.update(Store(dict.fromkeys(range(100))))
    assert most <= 4
    assert one.stats().added == 100
