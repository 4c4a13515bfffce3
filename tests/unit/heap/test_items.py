"""The newest items in words."""

from collections import OrderedDict, deque
from typing import Any

import pytest

from heap_scenes import CALLS, hostile_class
from membudget.heap.items import LONGEST, newest, newest_items, short


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("GET /users/17", "'GET /users/##'"),
        ("someone@example.org", "'<19 characters>'"),
        ("0123456789abcdef0123456789abcdef", "<str of 32: <24 characters>…>"),
        (17, "17"),
        (None, "None"),
        (b"secret", "<bytes of 6>"),
        (1 << 5000, "<int of 5001 bits>"),
        ({"a": 1, "b": []}, "dict('a', 'b')"),
        ([], "<list of 0>"),
        ([1, 2, 3, 4, 5], "list(1, 2, 3, 4, …)"),
        (object(), "<object>"),
    ],
)
def test_a_value_is_told_by_its_type_and_little_of_its_text(value: object, told: str) -> None:
    """Digits hidden; addresses and tokens only by their length."""
    assert short(value) == told


def test_no_text_is_longer_than_a_line() -> None:
    assert len(short([["x" * 100] * 10] * 10, deep=5)) <= LONGEST


def test_what_the_program_redacts_is_redacted_by_it_alone() -> None:
    assert short({"name": 1}, lambda _: "?") == "dict('?')"


@pytest.mark.parametrize(
    "container", [[1, 2, 3], (1, 2, 3), deque([1, 2, 3]), {"a": 1, "b": 3}, OrderedDict(b=3)]
)
def test_the_newest_item_is_the_last_one(container: Any) -> None:
    assert newest_items(container) == [3]


def test_the_newest_item_of_a_dict_is_told_with_its_key() -> None:
    """Often that is the line in all but name."""
    assert newest({"k1": [2]}) == "'k#': list(2)"
    assert newest([]) == ""


def test_a_hostile_item_is_told_by_its_type() -> None:
    CALLS.clear()
    hostile = object.__new__(hostile_class())
    assert newest([hostile]) == "<heap_scenes.Hostile>"
    assert newest({1: hostile}) == "1: <heap_scenes.Hostile>"
    assert CALLS == []
