"""The plan of a leak check: warm-up, rounds, more rounds where all grew, and only then tracing.

A generator that yields how many calls are due, so that one plan serves plain and coroutine
functions. Rule and figures: `growth`.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

from membudget.reclaimers.shared import INTERPRETERS
from membudget.testing.growth import grew_in_every, is_lasting, least_growth, longer, size_of_rounds
from membudget.testing.leftovers import PATIENCE, Leftovers, has_loop
from membudget.testing.meter import RoundMeter
from membudget.testing.result import LeakResult
from membudget.testing.trace import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from membudget.testing.growth import Asked, Size
    from membudget.testing.result import Series

_FIRST_LOOKS = 3
"""Rounds after which a check may end early: memory stood still in one, and nothing else grew."""

_WARMUP = 100
_OPEN = 16
"""Tasks, threads, descriptors or children left behind at which a warm-up stops."""

_WARMUP_SHARE = 0.2
"""Of the time, the most that a warm-up of the usual length may take."""


def course(
    asked: Asked, name: str, between: Callable[[], object] | None
) -> Generator[int, None, LeakResult]:
    """A check from its first call to its result; yields how many calls to make.

    Args:
        asked: What the check was asked to do.
        name: Of the function.
        between: Called after each round, before it is measured.
    """
    began = time.monotonic()
    yield 1  # The first call imports and compiles; it tells nothing of the others' cost.
    if between is not None:
        between()
    left = Leftovers()
    warmup, cost = yield from _warm(asked, left)
    size = size_of_rounds(asked, cost, left.each(warmup - 1))
    if asked.warmup is None and not size.is_cut and size.calls // 2 > warmup:
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
        found = yield from trace(size.calls, between)
    return LeakResult(
        name=name,
        is_leak=bool(memory or others),
        memory=memory,
        warmup=warmup,
        cost=cost,
        took=time.monotonic() - began,
        series=tuple(series),
        left=others,
        notes=_notes(asked, size, cost),
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
    between: Callable[[], object] | None,
    left: Leftovers,
    suspects: tuple[str, ...] = ("blocks", "malloc"),
) -> Generator[int, None, Series]:
    """One series; it ends where no suspect can grow in every round any more."""
    if between is not None:
        between()
    meter, least = RoundMeter(calls, rounds), least_growth(calls)
    meter.look()
    for done in range(1, rounds + 1):
        yield calls
        if between is not None:
            between()
        meter.look()
        left.look()
        is_open = any(grew_in_every(getattr(meter, one) or (), least) for one in suspects)
        if done >= _FIRST_LOOKS and not is_open and not left.have_grown():
            break
    return meter.series()


def _suspects(series: Series, rule: Callable[[tuple[int, ...], int], bool]) -> tuple[str, ...]:
    least = least_growth(series.calls)
    return tuple(one for one in ("blocks", "malloc") if rule(getattr(series, one) or (), least))


def _notes(asked: Asked, size: Size, cost: float) -> tuple[str, ...]:
    if not size.is_cut:
        return ()
    if size.is_scarce:
        return (f"only {size.calls} calls a round, since each leaves something scarce behind",)
    why = f"one takes {cost * 1000:.3g} ms and the rounds may take {asked.seconds:g} s"
    return (f"only {size.calls} calls a round, since {why}: give seconds= or calls= for more",)


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
