"""Keys of objects that never repeat: told once, with the function, the type and what to do."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from membudget.cache.cache import Cache
from membudget.cache.loading.cached import cached
from membudget.cache.loading.load import UNUSED
from membudget.registry import Registry

ENOUGH = 2 * UNUSED


class Request:
    """As a web framework has them: each call brings another, equal only to itself."""

    def __init__(self, path: str = "/") -> None:
        self.path = path


def plain(registry: Registry) -> Callable[[Any], object]:
    return cached(registry=registry, name="it")(lambda one: one)


def several(registry: Registry) -> Callable[[Any], object]:
    asked = cached(registry=registry, name="it", ttl="5m", stale="1m")(lambda *args, **named: 1)
    return lambda one: asked("EUR", request=one)


def coroutine(registry: Registry) -> Callable[[Any], object]:
    @cached(registry=registry, name="it")
    async def asked(symbol: str, one: Any) -> str:
        return symbol

    return lambda one: asyncio.run(asked("EUR", one))


def loaded(registry: Registry) -> Callable[[Any], object]:
    cache: Cache[Any, Any] = Cache("it", registry=registry)
    return lambda one: cache.get_or_load(one, lambda _: 1)


@pytest.mark.parametrize("make", [plain, coroutine, loaded])
def test_what_never_repeats_is_told_once(make: Callable[[Registry], Any]) -> None:
    registry = Registry()
    call = make(registry)
    for _ in range(UNUSED - 1):
        call(Request())
    assert not registry.untold
    for _ in range(ENOUGH):
        call(Request())
    (told,) = registry.untold
    assert told.startswith("it has given none of 256 values twice: a ")
    assert f"{__name__}.Request is equal only to itself" in told
    assert "key" in told


def test_by_name_it_is_found_in_the_pair() -> None:
    """Arguments by name stand in pairs, after a mark."""
    registry = Registry()
    call = several(registry)
    for _ in range(ENOUGH):
        call(Request())
    (told,) = registry.untold
    assert "Request" in told


def test_the_object_of_a_method_is_named_too() -> None:
    registry = Registry()

    class Own:
        @cached(registry=registry, name="it")
        def answer(self, symbol: str) -> str:
            return symbol

    made = [Own() for _ in range(ENOUGH)]
    for one in made:
        one.answer("EUR")
    (told,) = registry.untold
    assert "Own is equal only to itself" in told


@pytest.mark.parametrize(
    "call",
    [
        lambda ask, number: ask(number),
        lambda ask, number: ask((number, "EUR")),
        lambda ask, number: ask((int, len, None, number)),
        lambda ask, number: ask(float(number)),
    ],
)
def test_values_that_happen_not_to_repeat_are_no_mistake(call: Any) -> None:
    """Nor is what is equal only to itself, where it is the same each time."""
    registry = Registry()
    ask = plain(registry)
    for number in range(ENOUGH):
        call(ask, number)
    assert not registry.untold


def test_one_hit_is_enough_to_say_nothing() -> None:
    registry = Registry()
    ask, kept = plain(registry), Request()
    ask(kept)
    ask(kept)
    for _ in range(ENOUGH):
        ask(Request())
    assert not registry.untold


def test_with_a_key_all_is_well() -> None:
    registry = Registry()
    ask = cached(registry=registry, key=lambda one: one.path)(lambda one: one.path)
    for number in range(ENOUGH):
        ask(Request(str(number)))
    assert not registry.untold
