"""Who is named for what grew in a test."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from membudget.testing import check_leaks

KEPT: list[Any] = []


class Store:
    def __init__(self) -> None:
        self.by_id: dict[int, Any] = {}
        self.deep = {"a": [[0]]}

    def add(self) -> None:
        self.by_id[len(self.by_id)] = [1]

    def add_deep(self) -> None:
        self.deep["a"][0].append([1])  # type: ignore[arg-type]


def _adds_to_the_module() -> None:
    KEPT.append([1])


def _adds_to_its_default(into: list[Any] = []) -> None:  # noqa: B006  # the leak that is looked for
    into.append([1])


def _closing_over() -> Callable[[], None]:
    seen: list[Any] = []
    return lambda: seen.append([1])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (_adds_to_the_module, "KEPT"),
        (_adds_to_its_default, "_adds_to_its_default.<default>.into"),
        (_closing_over(), "_closing_over.<lambda>.<closure>.seen"),
        (Store().add, "Store.by_id"),
        (functools.partial(Store().add), "Store.by_id"),
        (Store().add_deep, "Store.deep[…]"),
    ],
)
def test_a_container_that_grew_is_named_as_a_census_names_it(
    call: Callable[[], None], name: str
) -> None:
    result = check_leaks(call, rounds=3, calls=50)
    KEPT.clear()
    assert result.is_leak
    assert result.containers[0].name == f"{__name__}.{name}"
