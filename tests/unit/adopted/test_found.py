"""functools caches: noted as they are made, shrunk from their oldest entries, left as they were."""

import contextlib
import functools
import gc
import inspect
import sys
import traceback
import weakref
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from fakes import MIB, FakeClock
from membudget.core import Meter
from membudget.reclaimers.found import FoundCaches
from membudget.reclaimers.wrappers import FEWEST, comes_back

LONG = float("inf")


@contextlib.contextmanager
def following(weigher: Any = lambda: None, **options: Any) -> Iterator[FoundCaches]:
    """The caches made meanwhile are noted."""
    caches = FoundCaches(weigher, **options)
    end = caches.follow_functools()
    try:
        yield caches
    finally:
        end()


@pytest.fixture
def found() -> Iterator[FoundCaches]:
    with following() as caches:
        yield caches


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
    load, _ = filled(3)
    assert type(load) is functools._lru_cache_wrapper
    before: Any = vars(functools.lru_cache)["__wrapped__"]
    assert inspect.signature(functools.lru_cache) == inspect.signature(before)
    assert load.__doc__ == "Load one."
    assert load.__wrapped__(7).endswith("7")
    assert load.cache_info() == (0, 3, None, 3)
    assert load.cache_parameters() == {"maxsize": None, "typed": False}
    assert [one.name for one in found.contents()] == [f"{load.__module__}.{load.__qualname__}"]


def test_methods_and_wrong_calls_behave_as_without(found: FoundCaches) -> None:
    class Service:
        @functools.cache  # noqa: B019  # as programs do
        def price(self, symbol: str, *, digits: int = 2) -> str:
            return f"{symbol}{digits}"

    service = Service()
    assert service.price("EUR", digits=4) == "EUR4"
    assert Service.price.cache_info().currsize == 1
    with pytest.raises(TypeError, match="price"):
        service.price()
    with pytest.raises(TypeError, match="must be callable"):
        functools.lru_cache(maxsize=None)(7)  # type: ignore[arg-type]  # not callable


def test_the_oldest_entries_go_first(found: FoundCaches) -> None:
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
    assert [one.why for one in found.contents()] == ["a handful of entries"]


def test_bounded_caches_are_cleared_only_after_unbounded_ones(found: FoundCaches) -> None:
    """They cannot be shrunk in part, so they come last."""
    bounded, _ = filled(5000, maxsize=10_000)
    unbounded, _ = filled(1000)
    found.reclaim(100_000, LONG)
    assert bounded.cache_info().currsize == 5000
    found.reclaim(10 * MIB, LONG)
    assert (bounded.cache_info().currsize, unbounded.cache_info().currsize) == (0, FEWEST)


def test_a_slice_ends_in_time() -> None:
    clock = FakeClock()

    def ticking() -> float:
        clock.advance(0.001)
        return clock.now()

    with following(now=ticking) as caches:
        load, _ = filled(5000)
        caches.reclaim(100 * MIB, clock.now() + 0.02)
    assert 0 < 5000 - load.cache_info().currsize < 1000


def test_spared_names_are_never_touched() -> None:
    with following(is_spared=lambda name: name.endswith("load")) as caches:
        load, _ = filled(1000)
        assert caches.reclaim(MIB, LONG) == 0
    assert load.cache_info().currsize == 1000
    assert [one.why for one in caches.contents()] == ["spared by name"]


def test_the_thread_that_fills_a_cache_drops_what_is_due() -> None:
    """Above the mark the cache stays as large as it was, whatever is inserted."""
    load_bytes: list[int] = [0]
    meter = Meter(lambda: load_bytes[0], lambda: caches.held_bytes())  # noqa: PLW0108  # made after this
    meter.rebase(0, 10 * MIB, mark=5 * MIB, brim=6 * MIB, ceiling=9 * MIB, own=0)
    with following(lambda: meter) as caches:

        @functools.cache
        def load(number: int) -> str:
            return "x" * 1000 + str(number)

        for number in range(40_000):
            load(number)
            load_bytes[0] = load.cache_info().currsize * 1200
    assert 3000 < load.cache_info().currsize < 7500
    assert next(caches.contents()).dropped > 30_000


def test_tracebacks_show_no_frame_of_ours(found: FoundCaches) -> None:
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

    plain = functools.lru_cache.__wrapped__(maxsize=None)  # type: ignore[attr-defined]
    assert depth(functools.cache) >= depth(plain) - 1  # The first call asks whether it recurses.


def lead_back() -> dict[str, Any]:
    """Functions that come back to themselves through their caches, in ways programs write them."""
    text = """
import functools
by_lambda = functools.lru_cache(None)(lambda n: 0 if n == 0 else by_lambda(n - 1))
def plain(n): return 0 if n == 0 else renamed(n - 1)
renamed = functools.cache(plain)
@functools.cache
def by_expression(n): return 0 if n == 0 else max(by_expression(k) for k in [n - 1])
@functools.cache
def ping(n): return 0 if n == 0 else pong(n - 1)
@functools.cache
def pong(n): return 0 if n == 0 else ping(n - 1)
def helper(n): return through(n - 1)
@functools.cache
def through(n): return 0 if n == 0 else helper(n)
"""
    namespace: dict[str, Any] = {}
    exec(text, namespace)  # noqa: S102  # a module of a program
    return namespace


@pytest.mark.parametrize(
    ("name", "depth"),
    [("by_lambda", 450), ("renamed", 450), ("by_expression", 220), ("ping", 450), ("through", 300)],
)
def test_no_way_of_recursion_is_shortened(found: FoundCaches, name: str, depth: int) -> None:
    with threaded_depth():
        assert lead_back()[name](depth) == 0


@contextlib.contextmanager
def threaded_depth() -> Iterator[None]:
    """The usual limit, whatever the frames of the test runner take."""
    depth, frame = 0, inspect.currentframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000 + depth)
    yield
    sys.setrecursionlimit(before)


def test_a_function_that_calls_others_does_not_come_back() -> None:
    """Calling something else, also something written further down, is no recursion."""
    text = """
import functools, json
@functools.cache
def load(number): return later(number) + str(len(json.dumps(number)))
def later(number): return "x" * number
def even(number): return number == 0 or odd(number - 1)
def odd(number): return number != 0 and even(number - 1)
class Service:
    def __init__(self): self.price = functools.cache(self._price)
    def _price(self, number): return self.price(number - 1) if number else 0
    @functools.cache
    def first(self, number): return self.second(number)
    def second(self, number): return self.first(number - 1) if number else 0
    def third(self, number): return self.fourth(number)
    def fourth(self, number): return str(number)
"""
    namespace: dict[str, Any] = {}
    exec(text, namespace)  # noqa: S102  # a module of a program
    service = namespace["Service"]()
    assert not comes_back(namespace["load"])
    assert not comes_back(str.upper)
    assert not comes_back(service.third)
    assert comes_back(namespace["even"])
    assert comes_back(service._price)
    assert comes_back(type(service).first)


@pytest.mark.parametrize("maxsize", [None, 10])
def test_a_cache_that_its_own_entries_lead_back_to_is_collected(
    found: FoundCaches, maxsize: int | None
) -> None:
    class Page:
        def __init__(self) -> None:
            self.child = functools.lru_cache(maxsize)(self._child)

        def _child(self, number: int) -> "tuple[Page, int]":
            return self, number

    def use() -> weakref.ref[Page]:
        page = Page()
        for number in range(100):
            page.child(number)
        found.reclaim(1000, LONG)
        found.run(LONG)
        return weakref.ref(page)

    page = use()
    gc.collect()
    assert page() is None


def test_a_handful_stays_also_while_it_is_filled() -> None:
    """The thread that fills it drops nothing of a few small entries, however full the process."""
    meter = Meter(lambda: 95 * MIB, lambda: caches.held_bytes())  # noqa: PLW0108  # made after this
    meter.rebase(95 * MIB, 100 * MIB, mark=50 * MIB, brim=60 * MIB, ceiling=90 * MIB, own=95 * MIB)
    with following(lambda: meter) as caches:
        engine, _ = filled(11)
        first = engine(0)
        for number in range(11):
            engine(number)
        large, _ = filled(1000)
    assert engine(0) is first
    assert large.cache_info().currsize >= FEWEST


def test_a_handful_of_heavy_entries_is_no_handful(found: FoundCaches) -> None:
    """Forty results of 4 MiB are a cache, not a set of engines."""

    @functools.cache
    def frame(number: int) -> bytes:
        return bytes(4 * MIB) + bytes(number)

    for number in range(40):
        frame(number)
    assert found.reclaim(100 * MIB, LONG) >= 100 * MIB
    assert frame.cache_info().currsize < 20


def test_no_more_is_dropped_than_asked(found: FoundCaches) -> None:
    @functools.cache
    def frame(number: int) -> bytes:
        return bytes(MIB) + bytes(number)

    for number in range(60):
        frame(number)
    found.reclaim(1, LONG)
    assert frame.cache_info().currsize == 59


def test_odd_callables_are_cached_as_without(found: FoundCaches) -> None:
    """What answers every question about itself, as mocks do, raises nothing of ours."""
    made = functools.cache(Mock(return_value=7, __name__="mock", __qualname__="mock"))
    assert made(1) == 7
    assert functools.cache(str.upper)("a") == "A"


def test_a_cache_that_died_is_forgotten(found: FoundCaches) -> None:
    for _ in range(100):
        filled(100)
    gc.collect()
    found.run(LONG)
    assert list(found.contents()) == []
    assert found.held_bytes() == 0


def test_dead_caches_and_our_own_are_not_among_the_programs(found: FoundCaches) -> None:
    """Not even before the next count; what is read is what the program itself made."""
    kept, _ = filled(100)
    dead, _ = filled(100)

    @functools.cache
    def own(number: int) -> int:
        return number

    own.__wrapped__.__module__ = own.__module__ = "membudget.somewhere"
    for number in range(100):
        own(number)
    del dead
    gc.collect()
    assert [one.name for one in found.contents()] == [f"{kept.__module__}.{kept.__qualname__}"]
    assert [part.name for part in found.as_parts()] == [f"{kept.__module__}.{kept.__qualname__}"]


def test_bounded_caches_of_the_standard_library_are_its_own(found: FoundCaches) -> None:
    """`typing` alone has dozens, whether it was imported before the budget or after."""

    def load(number: int) -> int:
        return number

    load.__module__ = "typing"
    bounded: Any = functools.lru_cache(load)
    unbounded: Any = functools.lru_cache(maxsize=None)(load)
    for number in range(100):
        bounded(number), unbounded(number)
    assert [one.most for one in found.contents()] == [None]
    assert found.reclaim(1, LONG) > 0
    assert bounded.cache_info().currsize == 100


def test_a_failing_weigher_never_reaches_the_program() -> None:
    def broken() -> Meter:
        raise RuntimeError("no meter")

    with following(broken):
        load, _ = filled(1000)
    assert load.cache_info().currsize == 1000
