"""How long `cached` keeps: times, spread, old values that serve on, exceptions."""

import gc
import statistics
import threading
import weakref
from typing import Any, Self

import pytest

from fakes import FakeClock
from membudget.cache.loading.cached import cached
from membudget.errors import ConfigError
from membudget.registry import Registry


class Source:
    """Gives 1, 2, 3, or raises what it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, x: object = None) -> int:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(20)
        if self.error is not None:
            raise self.error
        return self.calls


@pytest.fixture
def source() -> Source:
    return Source()


def test_a_value_lasts_for_its_time(clock: FakeClock, source: Source) -> None:
    ask = cached(ttl="1m", registry=Registry(), clock=clock)(source)
    assert ask() == 1
    clock.advance(59.9)
    assert ask() == 1
    clock.advance(0.1)
    assert ask() == 2


def test_jitter_ends_entries_earlier_by_at_most_its_share(clock: FakeClock, source: Source) -> None:
    """Evenly spread over that share, by the key: the same each time."""
    ask = cached(ttl=100, jitter="20%", max_entries=10_000, registry=Registry(), clock=clock)(
        source
    )
    ends: list[dict[int, float]] = []
    for _ in range(2):
        start = clock.now()
        for x in range(1000):
            ask(x)
        clock.advance(79.9)
        assert len(ask.cache.keys()) == 1000
        live, until = set(range(1000)), {}
        while clock.now() - start < 100:
            now = set(ask.cache.keys())
            until.update(dict.fromkeys(live - now, round(clock.now() - start, 3)))
            live = now
            clock.advance(0.5)
        until.update(dict.fromkeys(live, 100.0))
        assert not ask.cache.keys()
        ends.append(until)
    assert ends[0] == ends[1]
    assert statistics.mean(ends[0].values()) == pytest.approx(90, abs=1)
    assert statistics.pstdev(ends[0].values()) == pytest.approx(20 / 12**0.5, rel=0.1)


def test_an_old_value_serves_while_one_caller_refreshes(clock: FakeClock, source: Source) -> None:
    ask = cached(ttl=10, stale=5, registry=Registry(), clock=clock)(source)
    assert ask("a") == 1
    clock.advance(11)
    source.begun.clear()
    source.go.clear()
    got: list[int] = []
    refresher = threading.Thread(target=lambda: got.append(ask("a")))
    refresher.start()
    assert source.begun.wait(20)
    assert [ask("a") for _ in range(3)] == [1, 1, 1]
    source.go.set()
    refresher.join()
    assert got == [2]
    assert ask("a") == 2
    assert source.calls == 2


def test_after_its_stale_time_an_old_value_serves_no_more(clock: FakeClock, source: Source) -> None:
    ask = cached(ttl=10, stale=5, registry=Registry(), clock=clock)(source)
    assert ask() == 1
    clock.advance(15)
    source.error = OSError("down")
    with pytest.raises(OSError, match="down"):
        ask()


def test_a_refresh_that_fails_leaves_the_old_value_and_is_told(
    clock: FakeClock, source: Source
) -> None:
    """It is tried again after a tenth of the stale time, not with each call."""
    own = Registry()
    ask = cached(ttl=10, stale=10, registry=own, clock=clock, name="prices")(source)
    (chore,) = own.chores()
    assert ask() == 1
    source.error = OSError("down")
    clock.advance(10)
    for _ in range(90):
        clock.advance(0.0999)
        assert ask() == 1
    assert 2 <= source.calls <= 10
    assert chore.due(clock.now())
    assert chore.name == "cached prices"
    with pytest.raises(OSError, match="down") as told:
        chore.run(clock.now() + 1)
    assert told.value.__context__ is None
    assert not chore.due(clock.now())
    source.error = None
    before = source.calls
    clock.advance(0.99)
    assert ask() == before + 1


def test_a_refresh_that_asks_for_itself_gets_the_old_value(clock: FakeClock) -> None:
    @cached(ttl=10, stale=10, registry=Registry(), clock=clock)
    def grows(x: int) -> int:
        return grows(x) + 1 if is_filled else 1

    is_filled = False
    assert grows(0) == 1
    is_filled = True
    clock.advance(11)
    assert grows(0) == 2


def test_exceptions_are_kept_for_their_time_where_asked(clock: FakeClock, source: Source) -> None:
    """Raised as copies, with their arguments and attributes, without the frames of others."""
    ask = cached(keep_errors="30s", registry=Registry(), clock=clock)(source)
    source.error = OSError(5, "down")
    source.error.hint = "later"  # type: ignore[attr-defined]
    raised: list[Any] = []
    for _ in range(3):
        with pytest.raises(OSError, match="down") as got:
            ask()
        raised.append(got.value)
        clock.advance(10)
    assert source.calls == 1
    assert raised[0] is source.error
    assert raised[1] is not raised[2]
    assert {(one.errno, one.hint) for one in raised} == {(5, "later")}
    source.error = None
    assert ask() == 2
    clock.advance(10_000)
    assert ask() == 2


class OddError(Exception):
    """Its constructor takes something else than its arguments, as many do."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} {second}")
        self.first = first


class SingleError(Exception):
    """One that cannot be made anew at all."""

    def __new__(cls, first: int, second: int) -> Self:
        return super().__new__(cls, first, second)

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} {second}")
        self.first = first


@pytest.mark.parametrize("kind", [OddError, SingleError])
def test_an_exception_that_cannot_be_copied_is_kept_without_frames(
    clock: FakeClock, kind: type[Any]
) -> None:
    """Raised again and again it would grow by them, and keep alive what its callers had."""
    calls, alive, depths = [], [], set()

    @cached(keep_errors=30, registry=Registry(), clock=clock)
    def ask() -> None:
        calls.append(1)
        raise kind(1, 2)

    def ask_with_something() -> None:
        held = Source()
        alive.append(weakref.ref(held))
        ask()

    for _ in range(20):
        with pytest.raises(kind, match="1 2") as raised:
            ask_with_something()
        assert raised.value.first == 1
        depths.add(len(raised.traceback))
        del raised
    gc.collect()
    assert len(calls) == 1
    assert len(depths) <= 2  # The first came from the function itself.
    assert [one() for one in alive[:-1]] == [None] * 19


def test_an_interrupt_is_never_kept(clock: FakeClock) -> None:
    errors: list[BaseException] = [KeyboardInterrupt(), SystemExit()]

    @cached(keep_errors=30, registry=Registry(), clock=clock)
    def ask() -> str:
        if errors:
            raise errors.pop(0)
        return "value"

    with pytest.raises(KeyboardInterrupt):
        ask()
    with pytest.raises(SystemExit):
        ask()
    assert ask() == "value"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stale": 5}, "needs a ttl"),
        ({"jitter": 0.1}, "needs a ttl"),
        ({"ttl": 5, "jitter": 1.0}, "share below 1"),
        ({"ttl": 5, "jitter": -0.1}, "share below 1"),
        ({"ttl": 5, "jitter": "10"}, "percent"),
        ({"ttl": "5"}, "unit"),
        ({"ttl": 5, "stale": 0}, "stale 0"),
        ({"keep_errors": "x"}, "keep_errors"),
        ({"max_entries": 0}, "max_entries"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        cached(registry=Registry(), **settings)(len)


def test_the_parameters_tell_what_was_asked(source: Source) -> None:
    ask = cached(ttl="1m", jitter="10%", stale="1h", max_entries=5, registry=Registry())(source)
    told = ask.cache_parameters()
    assert (told["ttl"], told["jitter"], told["stale"]) == (60.0, 0.1, 3600.0)
    assert told["maxsize"] == told["max_entries"] == 5
    assert told["keep_errors"] is told["max_bytes"] is None
