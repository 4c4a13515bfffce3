"""The leak check: a function called in rounds, and what each round leaves behind.

Warm-up, rounds, more rounds where all grew, and only then tracing. A leak is what grew in every
round, and at a pace that lasts (`result.is_lasting`).
"""

from __future__ import annotations

import gc
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.errors import ConfigError
from membudget.reclaimers.collect import INTERPRETERS
from membudget.testing.leftovers import PATIENCE, Leftovers, RoundMeter, has_loop
from membudget.testing.result import LeakResult, grew_in_every, is_lasting, least_growth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from membudget.testing.result import Series

ROUNDS = 6
SECONDS = 10.0
USUAL = 200
"""Calls in a round: with 50, a seventh of the leaks was missed and false alarms doubled."""

_QUICK = 0.02
"""Seconds that a round of a quick function may take: it gets more calls, so caches fill sooner."""

_MOST, _FEWEST = 2000, 4
_LONGER = 32
_ROOM = 32 << 20
"""Bytes that a suspected leak may take up in the second series."""

_BLOCK = 64
"""Bytes taken for a live block where only their number is known."""

_SCARCE = 200
"""Descriptors, threads or the like that may be used up; 1024 descriptors are usually allowed."""

_FIRST_LOOKS = 3
"""Rounds after which a check may end early: memory stood still in one, and nothing else grew."""

_WARMUP = 100
_OPEN = 16
"""Tasks, threads, descriptors or children left behind at which a warm-up stops."""

_WARMUP_SHARE = 0.2
"""Of the time, the most that a warm-up of the usual length may take."""


def check_leaks(
    function: Callable[..., object],
    *args: object,
    rounds: int = ROUNDS,
    warmup: int | None = None,
    calls: int | None = None,
    seconds: float = SECONDS,
    between: Callable[[], object] | None = None,
    name: str | None = None,
) -> LeakResult:
    """Call a function in rounds and say whether calls leave memory or anything else behind.

    After a warm-up, each round's calls are followed by a full collection; a leak is what grew in
    every round, and on in a second, longer series. Only then is it traced where it comes from.
    A healthy function costs some 1000 calls, a leaky one up to 100 times that where it is quick.
    Any thread; others should be idle, since what they allocate counts as well.

    Args:
        function: Called without keyword arguments. A coroutine function runs in `asyncio.run`.
        args: What it is called with, the same each time.
        rounds: Of the first series, 2 or more.
        warmup: Calls before, or None for half a round and at least 100.
        calls: Calls in a round, or None: 200, up to 2000 of a quick function, fewer of a slow one.
        seconds: What the first series may take; a second may take as much again.
        between: Called after each round, before it is measured, to let go of what the surroundings
            keep of each call.
        name: What the function is called in the result, or None for its own name.

    Raises:
        ConfigError: A number is not above zero, or the function is a generator function.
        Exception: What the function raises, with a note of which call it was.
    """
    asked = Asked(rounds=rounds, warmup=warmup, calls=calls, seconds=seconds)
    call = partial(function, *args) if args else function
    run = _run(_course(asked, name or name_of(function), between or _nothing, call), call)
    if is_coroutine_function(function):
        import asyncio  # only a program with coroutines needs it

        return asyncio.run(run)
    import inspect

    try:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigError(
                f"{name_of(function)} is a generator function, whose body a call does not run: "
                "give a function that exhausts it"
            )
        run.send(None)
    except StopIteration as end:  # It awaits nothing, so this is its end.
        result: LeakResult = end.value
    finally:
        run.close()
    return result


async def check_leaks_async(
    function: Callable[..., Awaitable[object]],
    *args: object,
    rounds: int = ROUNDS,
    warmup: int | None = None,
    calls: int | None = None,
    seconds: float = SECONDS,
    between: Callable[[], object] | None = None,
    name: str | None = None,
) -> LeakResult:
    """As `check_leaks`, for a coroutine function on the running loop, its calls one by one."""
    asked = Asked(rounds=rounds, warmup=warmup, calls=calls, seconds=seconds)
    call = partial(function, *args) if args else function
    return await _run(_course(asked, name or name_of(function), between or _nothing, call), call)


def _nothing() -> None:
    pass


def is_coroutine_function(function: object) -> bool:
    """Whether calls of it must be awaited."""
    import inspect  # loaded by every test runner, not by every program

    while isinstance(function, partial):
        function = function.func
    is_one = inspect.iscoroutinefunction
    return is_one(function) or is_one(getattr(function, "__call__", None))  # noqa: B004


def name_of(function: object) -> str:
    """A function's name for people."""
    while isinstance(function, partial):
        function = function.func
    named = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(named).replace("<locals>.", "")


class Asked(Record):
    """What a check was asked to do; the arguments of `check_leaks`."""

    rounds: int = ROUNDS
    warmup: int | None = None
    calls: int | None = None
    seconds: float = SECONDS

    def check(self) -> None:
        """Refuse what cannot be done."""
        if self.rounds < 2:  # noqa: PLR2004  # one round cannot show that growth goes on
            raise ConfigError(
                f"rounds {self.rounds} is too few to see growth go on: give 2 or more"
            )
        for name, given, is_wrong, usual in (
            ("calls", self.calls, self.calls is not None and self.calls < 1, 200),
            ("warmup", self.warmup, self.warmup is not None and self.warmup < 0, 100),
            ("seconds", self.seconds, self.seconds <= 0, 10),
        ):
            if is_wrong:
                raise ConfigError(f"{name} {given} is too little: give {usual}, or leave it out")


class Size(Record):
    """Calls in each round, and in words why they are fewer than usual, or ""."""

    calls: int
    cut: str = ""


def size_of_rounds(asked: Asked, cost: float, scarce: float = 0.0) -> Size:
    """How many calls a round has, where one costs so many seconds.

    `scarce` is how many tasks, threads, descriptors or children a call leaves behind.
    """
    if asked.calls is not None:
        return Size(calls=asked.calls)
    possible = asked.seconds * 0.7 / asked.rounds / max(cost, 1e-9)
    calls = int(max(USUAL, min(_MOST, possible, _QUICK / max(cost, 1e-9))))
    cut = ""
    if possible < USUAL:
        calls = int(possible)
        cut = (
            f"one takes {cost * 1000:.3g} ms and the rounds may take {asked.seconds:g} s: "
            "give seconds= or calls= for more"
        )
    if scarce > 0 and (most := int(_SCARCE / (asked.rounds * scarce))) < calls:
        calls, cut = most, "each leaves something scarce behind"
    return Size(calls=max(_FEWEST, calls), cut=cut)


def longer(asked: Asked, size: Size, cost: float, blocks: float, malloc: float) -> int:
    """Calls in a round of the second series: up to 32 times as many where that costs little.

    A cache of ten thousand entries grows by one at each of the first ten thousand calls, exactly
    as a leak does; only going further tells them apart. A call costs so many seconds, and leaves so
    many live blocks and bytes of malloc.
    """
    if asked.calls is not None or size.cut:
        return size.calls
    rounds = 2 * asked.rounds
    by_time = asked.seconds / max(rounds * cost, 1e-9)
    by_room = _ROOM / max(rounds * (blocks * _BLOCK + malloc), 1e-9)
    return int(max(size.calls, min(size.calls * _LONGER, by_time, by_room)))


async def _run(plan: Generator[int, None, LeakResult], call: Callable[[], Any]) -> LeakResult:
    number, is_async = 0, is_coroutine_function(call)
    try:
        while True:
            try:
                due = next(plan)
            except StopIteration as end:
                result: LeakResult = end.value
                return result
            for _ in range(due):
                number += 1
                if is_async:
                    await call()
                else:
                    call()
            if is_async and has_loop():  # Another library's loop has its own ways.
                import asyncio

                for _ in range(3):  # Transports that have just ended close one turn later.
                    await asyncio.sleep(0)
    except Exception as error:
        error.add_note(f"in call {number} of a leak check")
        raise
    finally:
        plan.close()


def _course(
    asked: Asked, name: str, between: Callable[[], object], call: Callable[[], object]
) -> Generator[int, None, LeakResult]:
    """A check from its first call to its result; yields how many calls to make."""
    began = time.monotonic()
    yield 1  # The first call imports and compiles; it tells nothing of the others' cost.
    between()
    left = Leftovers()
    warmup, cost = yield from _warm(asked, left)
    size = size_of_rounds(asked, cost, left.each(warmup - 1))
    if asked.warmup is None and not size.cut and size.calls // 2 > warmup:
        yield size.calls // 2 - warmup
        warmup = size.calls // 2
    series: list[Series] = []
    left = Leftovers()  # What the warm-up opened is there to stay.
    with _Frozen():
        timed = time.monotonic()
        first = yield from _rounds(size.calls, asked.rounds, between, left)
        series.append(first)
        cost = (time.monotonic() - timed) / (first.calls * len(first.blocks))
        memory = _suspects(first, grew_in_every)
        if memory:
            each = first.calls * len(first.blocks)
            blocks, malloc = sum(first.blocks) / each, sum(first.malloc or ()) / each
            calls = longer(asked, size, cost, blocks, malloc)
            second = yield from _rounds(calls, 2 * asked.rounds, between, left, memory)
            series.append(second)
            memory = tuple(one for one in memory if one in _suspects(second, is_lasting))
    # On a loop, waiting here would keep from ending what is about to.
    others = left.found(0.0 if has_loop() else PATIENCE)
    found: dict[str, Any] = {}
    if memory:
        from membudget.testing.trace import trace  # most checks find nothing

        found = yield from trace(call, size.calls, between)
    return LeakResult(
        name=name,
        is_leak=bool(memory or others),
        memory=memory,
        warmup=warmup,
        cost=cost,
        took=time.monotonic() - began,
        series=tuple(series),
        left=others,
        notes=(f"only {size.calls} calls a round, since {size.cut}",) if size.cut else (),
        **found,
    )


def _warm(asked: Asked, left: Leftovers) -> Generator[int, None, tuple[int, float]]:
    """Run the warm-up in growing parts; its calls, and seconds a call in the last part."""
    most = _WARMUP if asked.warmup is None else asked.warmup
    limit = float("inf") if asked.warmup is not None else asked.seconds * _WARMUP_SHARE
    done, part, cost, spent = 1, 1, 0.0, 0.0
    while done < most and spent + part * cost < limit:
        if asked.warmup is None and left.more() > _OPEN:
            break  # Each call leaves one; there are only so many descriptors.
        part = min(part, most - done)
        began = time.monotonic()
        yield part
        took = time.monotonic() - began
        done, spent, cost = done + part, spent + took, took / part
        part *= 2
    if done == 1:
        began = time.monotonic()
        yield 1
        done, cost = 2, time.monotonic() - began
    return done, cost


def _rounds(
    calls: int,
    rounds: int,
    between: Callable[[], object],
    left: Leftovers,
    suspects: tuple[str, ...] = ("blocks", "malloc"),
) -> Generator[int, None, Series]:
    """One series; it ends where no suspect can grow in every round any more."""
    between()
    meter = RoundMeter(calls, rounds)
    meter.look()
    for done in range(1, rounds + 1):
        yield calls
        between()
        meter.look()
        left.look()
        is_open = any(one in suspects for one in _suspects(meter.series(), grew_in_every))
        if done >= _FIRST_LOOKS and not is_open and not left.have_grown():
            break
    return meter.series()


def _suspects(series: Series, rule: Callable[[tuple[int, ...], int], bool]) -> tuple[str, ...]:
    least = least_growth(series.calls)
    return tuple(one for one in ("blocks", "malloc") if rule(getattr(series, one) or (), least))


class _Frozen:
    """Full collections that look only at what is made from here on; 0.3 s a million objects else.

    Where the program has frozen objects of its own, they could not be told apart afterwards: then
    nothing is frozen.
    """

    def __enter__(self) -> None:
        gc.collect()
        self._is_ours = gc.get_freeze_count() < INTERPRETERS
        if self._is_ours:
            gc.freeze()

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            gc.unfreeze()
