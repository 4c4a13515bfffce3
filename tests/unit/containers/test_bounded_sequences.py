"""What sets the bounded list and the bounded deque apart: their ends, slices and orders."""

from collections import deque
from itertools import count, islice
from typing import Any

import pytest

from membudget.containers.list import BoundedDeque, BoundedList
from membudget.registry import Registry

FOREVER = float("inf")


def a_list(*items: Any, **more: Any) -> BoundedList[Any]:
    return BoundedList("list", items, registry=Registry(), **more)


def a_deque(*items: Any, **more: Any) -> BoundedDeque[Any]:
    return BoundedDeque("deque", items, registry=Registry(), **more)


def test_a_deque_drops_from_the_other_end() -> None:
    """As `maxlen` has it; the budget takes from that end too."""
    one = a_deque(1, 2, 3, maxlen=3)
    one.append(4)
    assert list(one) == [2, 3, 4]
    one.appendleft(1)
    assert list(one) == [1, 2, 3]
    one.extendleft([0, -1])
    assert list(one) == [-1, 0, 1]
    one.reclaim(1, FOREVER)
    assert list(one) == [-1, 0]
    one.append(1)
    one.reclaim(1, FOREVER)
    assert list(one) == [0, 1]
    assert one.maxlen == 3


def test_a_full_deque_refuses_an_insert() -> None:
    one = a_deque(1, 2, maxlen=3)
    one.insert(1, 9)
    assert list(one) == [1, 9, 2]
    with pytest.raises(IndexError, match="maximum size"):
        one.insert(0, 5)
    assert list(one) == [1, 9, 2]
    assert one.held_bytes() == sum(one._weights)


def test_a_deque_takes_the_tail_of_a_long_iterator_in_pieces() -> None:
    sizes = []

    def numbers() -> Any:
        for number in islice(count(), 5000):
            sizes.append(len(one))
            yield number

    one = a_deque(maxlen=10)
    one.extend(numbers())
    assert list(one) == list(range(4990, 5000))
    assert max(sizes) <= 10
    assert sizes[-1] == 10
    one.extend(range(10**6))
    assert one[0] == 10**6 - 10


def test_a_heavy_item_takes_the_place_of_none() -> None:
    """What it should have replaced is gone: serving the stale one would be wrong."""
    for one in (a_list("a", "b", "c", max_bytes="1KiB"), a_deque("a", "b", "c", max_bytes="1KiB")):
        one[1] = "x" * 5000
        assert list(one) == ["a", "c"]
        assert one.stats().refused == 1
        one.insert(0, "x" * 5000)
        assert list(one) == ["a", "c"]
    many = a_list("a", "b", "c", max_bytes="1KiB")
    many[0:2] = ["d", "x" * 5000, "e"]
    assert many == ["d", "e", "c"]


def test_a_full_list_drops_from_the_front() -> None:
    one = a_list(1, 2, 3, max_items=3)
    one.append(4)
    one.insert(2, 9)
    assert one == [3, 9, 4]
    one.insert(0, 0)
    assert one == [3, 9, 4]
    one[1:2] = [5, 6, 7]
    assert one == [6, 7, 4]
    assert one.stats().dropped["items"] == 5


def test_slices_and_operators_give_plain_lists() -> None:
    one = a_list(1, 2, 3, max_items=3)
    assert one[1:] == [2, 3]
    assert one[::-1] == [3, 2, 1]
    for result in (one[:], one + [4], [0] + one, one * 2, 2 * one, one + a_list(4)):  # noqa: RUF005
        assert type(result) is list
    assert [0] + one == [0, 1, 2, 3]  # noqa: RUF005
    assert one * 2 == [1, 2, 3, 1, 2, 3]
    with pytest.raises(TypeError):
        one + (4,)  # noqa: RUF005  # it raises


def test_a_deques_operators_give_plain_deques() -> None:
    one = a_deque(1, 2, 3, maxlen=3)
    result = one + deque([4])
    assert type(result) is deque
    assert (list(result), result.maxlen) == ([2, 3, 4], 3)
    assert list(deque([0]) + one) == [0, 1, 2, 3]
    assert list(one * 2) == [1, 2, 3]


def test_comparisons_go_both_ways() -> None:
    one, two = a_list(1, 2), a_deque(1, 2)
    assert one == [1, 2] == one
    assert [1, 3] > one < a_list(2)
    assert one >= [1, 2] >= one <= [1, 2]
    assert two == deque([1, 2]) == two
    assert deque([1, 3]) > two
    assert one != two
    assert one != (1, 2)
    with pytest.raises(TypeError):
        one < two  # noqa: B015  # it raises


def test_a_list_sorts_with_its_weights() -> None:
    words = ["ccc", "a" * 300, "bb", "dd"]
    one = a_list(*words)
    one.sort(key=len)
    assert one == ["bb", "dd", "ccc", "a" * 300]
    one.sort(reverse=True)
    assert one == ["dd", "ccc", "bb", "a" * 300]
    heavy = one.held_bytes()
    assert one.pop() == "a" * 300
    assert heavy - one.held_bytes() > 300


def test_a_list_changed_by_its_own_sort_says_so() -> None:
    one = a_list(3, 1, 2)
    with pytest.raises(ValueError, match="modified during sort"):
        one.sort(key=lambda item: (one.append(9), item))  # type: ignore[func-returns-value]
    assert one == [3, 1, 2, 9, 9, 9]
    with pytest.raises(ZeroDivisionError):
        one.sort(key=lambda item: 1 / (item - 9))
    assert one == [3, 1, 2, 9, 9, 9]


def test_an_item_is_removed_once_although_its_comparison_changes_the_list() -> None:
    """It compares outside the lock, and takes out the very item it found."""

    class Odd:
        def __eq__(self, other: object) -> bool:
            if one[0] == "first":
                one.pop(0)
            return other == "wanted"

        __hash__ = None  # type: ignore[assignment]

    odd = Odd()
    one = a_list("first", "second", odd, "last")
    one.remove("wanted")
    assert one == ["second", "last"]
    with pytest.raises(ValueError, match="not in list"):
        one.remove("wanted")


def test_empty_places_at_the_front_are_not_seen() -> None:
    one = a_list(*range(100), max_items=100)
    one.extend(range(100, 150))
    assert one._first > 0
    assert (one[0], one[-1], one[99]) == (50, 149, 149)
    for wrong in (100, -101):
        with pytest.raises(IndexError):
            one[wrong]
    assert (one[:2], one[-2:], one[1:9:4]) == ([50, 51], [148, 149], [51, 55])
    one[0] = -1
    del one[1]
    one.insert(1, -2)
    assert one[:3] == [-1, -2, 52]
    assert one.index(52) == 2
    assert one.pop(0) == -1
    one.reverse()
    assert one[-1] == -2
    assert one.held_bytes() == sum(one._weights)


@pytest.mark.parametrize("make", [a_list, a_deque])
def test_what_cannot_be_had_is_an_error_as_the_builtins(make: Any) -> None:
    one = make()
    for act in (one.pop, lambda: one[0], lambda: one.__delitem__(0)):
        with pytest.raises(IndexError):
            act()
    for act in (lambda: one.remove(1), lambda: one.index(1)):
        with pytest.raises(ValueError, match=r"1|deque"):
            act()
    for act in (lambda: one["a"], lambda: make(5).pop("a"), lambda: one.extend(5)):
        with pytest.raises(TypeError):
            act()
    assert not one


@pytest.mark.parametrize("make", [a_list, a_deque])
def test_what_is_repeated_never_waits_outside_the_bounds_as_a_whole(make: Any) -> None:
    told: list[str] = []

    def size(_: Any) -> int:
        told.append("weighed")
        return 10

    def drop(_item: Any, _cause: str) -> None:
        told.append("dropped")

    one = make(1, 2, max_bytes=100, size=size, on_drop=drop)
    told.clear()
    one *= 50
    assert told.index("dropped") < 20
    assert list(one)[-2:] == [1, 2]


@pytest.mark.parametrize("make", [a_list, a_deque])
def test_the_first_error_of_a_listener_is_raised_however_it_looks(make: Any) -> None:
    class Blank(Exception):  # noqa: N818  # it is one
        def __bool__(self) -> bool:
            return False

    errors: list[Exception] = [Blank(), ValueError()]

    def drop(_item: Any, _cause: str) -> None:
        raise errors.pop(0)

    one = make(1, 2, 3, on_drop=drop)
    with pytest.raises(Blank):
        one.reclaim(60, FOREVER)
    assert errors == []
