"""functools caches: noted as they are made, shrunk from their oldest entries, left as they were."""

from __future__ import annotations

import functools
import gc
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from fakes import MIB, FakeClock
from membudget.core import Meter
from membudget.reclaimers.adopted.found import FEWEST, FoundCaches

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = float("inf")


@pytest.fixture
def found() -> Iterator[FoundCaches]:
    """The caches of this test, noted while it runs."""
    caches = FoundCaches(lambda: None)
    end = caches.follow_functools()
    yield caches
    end()


def filled(count: int, maxsize: int | None = None) -> Any:
    """A cache with so many entries of 1 KB, and the calls that its function saw."""
    seen: list[int] = []

    @functools.lru_cache(maxsize=maxsize)
    def load(number: int) -> str:
        """Load one."""
        seen.append(number)
        return "x" * 1000 + str(number)

    for number in range(count):
        load(number)
    seen.clear()
    return load, seen


def test_what_is_made_is_as_functools_makes_it(found: FoundCaches) -> None:
    """Type, name, wrapped function, statistics and isinstance answer as without us."""
    load, _ = filled(3)
    assert type(load).__name__ == "_lru_cache_wrapper"
    assert isinstance(load, functools._lru_cache_wrapper)
    assert not isinstance(len, functools._lru_cache_wrapper)
    assert load.__doc__ == "Load one."
    assert load.__wrapped__(7).endswith("7")
    assert load.cache_info() == (0, 3, None, 3)
    assert load.cache_parameters() == {"maxsize": None, "typed": False}
    assert [one.name for one in found.contents()] == [f"{load.__module__}.{load.__qualname__}"]


def test_methods_and_wrong_calls_behave_as_without(found: FoundCaches) -> None:
    """A cached method binds, keywords pass, and a wrong call raises the function's own error."""

    class Service:
        @functools.cache  # noqa: B019  # as programs do
        def price(self, symbol: str, *, digits: int = 2) -> str:
            return f"{symbol}{digits}"

    service = Service()
    assert service.price("EUR", digits=4) == "EUR4"
    assert Service.price.cache_info().currsize == 1
    with pytest.raises(TypeError, match="price"):
        service.price()
    with pytest.raises(TypeError):
        functools.lru_cache(maxsize=None)(7)  # type: ignore[arg-type]  # not callable


def test_the_oldest_entries_go_first(found: FoundCaches) -> None:
    """About as many bytes as asked go, from the front; what is left is still cached."""
    load, calls = filled(4000)
    freed = found.reclaim(MIB, LONG)
    kept = load.cache_info().currsize
    assert MIB <= freed <= 1.1 * MIB
    assert 2800 < kept < 3200
    load(3999)
    assert calls == []
    load(0)
    assert calls == [0]


def test_a_handful_of_entries_is_left_alone(found: FoundCaches) -> None:
    """It may hold the one engine of a program: a second one would be worse."""
    load, _ = filled(FEWEST - 1)
    assert found.reclaimable() == 0
    assert found.reclaim(MIB, LONG) == 0
    assert load.cache_info().currsize == FEWEST - 1
    assert [one.why for one in found.contents()] == [f"fewer than {FEWEST} entries"]


def test_bounded_caches_are_cleared_only_after_unbounded_ones(found: FoundCaches) -> None:
    """They cannot be shrunk in part, so they come last."""
    bounded, _ = filled(5000, maxsize=10_000)
    unbounded, _ = filled(1000)
    found.reclaim(100_000, LONG)
    assert bounded.cache_info().currsize == 5000
    found.reclaim(10 * MIB, LONG)
    assert (bounded.cache_info().currsize, unbounded.cache_info().currsize) == (0, 0)


def test_a_slice_ends_in_time() -> None:
    """When the time is up, what remains stays."""
    clock = FakeClock()

    def ticking() -> float:
        clock.advance(0.001)
        return clock.now()

    caches = FoundCaches(lambda: None, now=ticking)
    end = caches.follow_functools()
    try:
        load, _ = filled(5000)
        caches.reclaim(100 * MIB, clock.now() + 0.02)
    finally:
        end()
    assert 0 < 5000 - load.cache_info().currsize < 1000


def test_spared_names_are_never_touched() -> None:
    """Opting out is by name, and is told."""
    caches = FoundCaches(lambda: None, is_spared=lambda name: name.endswith("load"))
    end = caches.follow_functools()
    try:
        load, _ = filled(1000)
        assert caches.reclaim(MIB, LONG) == 0
    finally:
        end()
    assert load.cache_info().currsize == 1000
    assert [one.why for one in caches.contents()] == ["spared by name"]


def test_the_thread_that_fills_a_cache_drops_what_is_due() -> None:
    """Above the mark the cache stays as large as it was, whatever is inserted."""
    load_bytes: list[int] = [0]
    meter = Meter(lambda: load_bytes[0], lambda: caches.held_bytes())  # noqa: PLW0108  # made after this
    meter.rebase(0, 10 * MIB, mark=5 * MIB, brim=6 * MIB, ceiling=9 * MIB, own=0)
    caches = FoundCaches(lambda: meter)
    end = caches.follow_functools()
    try:

        @functools.cache
        def load(number: int) -> str:
            return "x" * 1000 + str(number)

        for number in range(40_000):
            load(number)
            load_bytes[0] = load.cache_info().currsize * 1200
    finally:
        end()
    assert 3000 < load.cache_info().currsize < 7500
    assert next(caches.contents()).dropped > 30_000


def test_tracebacks_show_no_frame_of_ours(found: FoundCaches) -> None:
    """What a function raises looks as it does without a budget."""

    @functools.cache
    def fail(number: int) -> str:
        raise KeyError(number)

    with pytest.raises(KeyError) as caught:
        fail(1)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert [frame.name for frame in frames] == [
        "test_tracebacks_show_no_frame_of_ours",
        "fail",
    ]


def test_recursion_goes_as_deep_as_without(found: FoundCaches) -> None:
    """A function that calls itself is left to the loop."""

    def depth(cache: Any) -> int:
        deepest = 0

        def descend(level: int) -> None:
            nonlocal deepest
            deepest = level
            descend(level + 1)

        descend = cache(descend)

        with pytest.raises(RecursionError):
            descend(0)
        return deepest

    plain = functools.partial(sys.modules["membudget.reclaimers.adopted.wrappers"].WRAPPER)
    assert depth(functools.cache) == depth(
        lambda function: plain(function, None, False, functools._CacheInfo)
    )


def test_a_cache_that_died_is_forgotten(found: FoundCaches) -> None:
    """Caches of objects that come and go leave nothing behind."""
    for _ in range(100):
        filled(100)
    gc.collect()
    found.run(LONG)
    assert list(found.contents()) == []
    assert found.held_bytes() == 0


def test_a_failing_weigher_never_reaches_the_program() -> None:
    """The program called its own function; our trouble is not its."""

    def broken() -> Meter:
        raise RuntimeError("no meter")

    caches = FoundCaches(broken)
    end = caches.follow_functools()
    try:
        load, _ = filled(1000)
    finally:
        end()
    assert load.cache_info().currsize == 1000
