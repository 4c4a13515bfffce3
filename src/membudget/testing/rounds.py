"""The leak check: a function called in rounds, and what each round leaves behind.

A leak grew in every round, at a pace that lasts. Tasks, threads, descriptors and children are
looked at by themselves: a thread that waits for ever holds little memory, a descriptor none.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from array import array
from functools import partial
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.errors import ConfigError
from membudget.probes.allocator import in_use, mallinfo
from membudget.probes.kernel_files import children_of, read_whole
from membudget.reclaimers import INTERPRETERS
from membudget.testing.result import (
    LeakResult,
    Left,
    Series,
    grew_in_every,
    is_lasting,
    least_growth,
)
from membudget.units import as_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from membudget.units import Duration

ROUNDS = 6
SECONDS = 10.0
USUAL = 200  # Calls in a round: with 50, a seventh of the leaks was missed and false alarms doubled
_MOST, _FEWEST, _LONGER = 2000, 4, 32
_FIRST_LOOKS = 3  # Rounds after which a check may end early: memory stood still, nothing else grew
_OPEN = 16  # Tasks, threads, descriptors or children left behind at which a warm-up stops
_SLOW = 0.05  # Seconds that asking malloc may take, which walks the heap; else it is not asked


def check_leaks(
    function: Callable[..., object],
    *args: object,
    rounds: int = ROUNDS,
    warmup: int | None = None,
    calls: int | None = None,
    seconds: Duration = SECONDS,
    between: Callable[[], object] | None = None,
    name: str | None = None,
) -> LeakResult:
    """Call a function in rounds and say whether calls leave memory or anything else behind.

    A leak is what grew in every round, and on in a second, longer series; then it is traced where
    it comes from. Cost: some 1000 calls, up to 100 times that for a quick function that leaks. Any
    thread; others should be idle, since what they allocate counts as well.

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
    most = as_seconds(seconds, name="seconds")
    asked = Asked(rounds=rounds, warmup=warmup, calls=calls, seconds=most)
    run = _Check(function, args, asked, between, name).result()
    if is_coroutine_function(function):
        import asyncio  # only a program with coroutines needs it

        return asyncio.run(run)
    import inspect

    try:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigError(
                f"{_name_of(function)} is a generator function, whose body a call does not run: "
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
    seconds: Duration = SECONDS,
    between: Callable[[], object] | None = None,
    name: str | None = None,
) -> LeakResult:
    """As `check_leaks`, for a coroutine function on the running loop, its calls one by one."""
    most = as_seconds(seconds, name="seconds")
    asked = Asked(rounds=rounds, warmup=warmup, calls=calls, seconds=most)
    return await _Check(function, args, asked, between, name).result()


def is_coroutine_function(function: object) -> bool:
    """Whether calls of it must be awaited."""
    import inspect  # loaded by every test runner, not by every program

    while isinstance(function, partial):
        function = function.func
    is_one = inspect.iscoroutinefunction
    return is_one(function) or is_one(getattr(function, "__call__", None))  # noqa: B004


def has_loop() -> bool:
    """Whether asyncio runs a loop in this thread. Loads nothing."""
    asyncio = sys.modules.get("asyncio")
    with contextlib.suppress(RuntimeError):
        return asyncio is not None and bool(asyncio.get_running_loop())
    return False


def _name_of(function: object) -> str:
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


def size_of_rounds(asked: Asked, cost: float, scarce: float = 0.0) -> tuple[int, str]:
    """How many calls a round has, and in words why they are fewer than usual, or "".

    A call costs so many seconds, and leaves `scarce` things that may be used up.
    """
    if asked.calls is not None:
        return asked.calls, ""
    possible = asked.seconds * 0.7 / asked.rounds / max(cost, 1e-9)
    # A quick function gets more calls, 20 ms of them, so that caches fill sooner.
    calls, cut = int(max(USUAL, min(_MOST, possible, 0.02 / max(cost, 1e-9)))), ""
    if possible < USUAL:
        calls = int(possible)
        cut = (
            f"one takes {cost * 1000:.3g} ms and the rounds may take {asked.seconds:g} s: "
            "give seconds= or calls= for more"
        )
    # 200 descriptors, threads or the like may be used up; 1024 are usually allowed.
    if scarce > 0 and (most := int(200 / (asked.rounds * scarce))) < calls:
        calls, cut = most, "each leaves something scarce behind"
    return max(_FEWEST, calls), cut


def longer(asked: Asked, calls: int, cost: float, blocks: float, malloc: float) -> int:
    """Calls in a round of the second series, where one costs so much and leaves so many behind.

    A cache of ten thousand entries grows as a leak does; only going further tells them apart.
    """
    rounds = 2 * asked.rounds
    by_time = asked.seconds / max(rounds * cost, 1e-9)
    # 32 MiB may be lost, where a live block has 64 bytes.
    by_room = (32 << 20) / max(rounds * (blocks * 64 + malloc), 1e-9)
    return int(max(calls, min(calls * _LONGER, by_time, by_room)))


class _Check:
    """A check from its first call to its result; awaits nothing unless calls do."""

    def __init__(
        self,
        function: Callable[..., object],
        args: tuple[object, ...],
        asked: Asked,
        between: Callable[[], object] | None,
        name: str | None,
    ) -> None:
        self._call: Callable[[], Any] = partial(function, *args) if args else function
        self._is_async = is_coroutine_function(function)
        self._asked = asked
        self._between = between or (lambda: None)
        self._name = name or _name_of(function)
        self._number = 0

    async def result(self) -> LeakResult:
        try:
            return await self._result()
        except Exception as error:
            error.add_note(f"in call {self._number} of a leak check")
            raise

    async def _run(self, calls: int) -> None:
        for _ in range(calls):
            self._number += 1
            if self._is_async:
                await self._call()
            else:
                self._call()
        if self._is_async and has_loop():  # Another library's loop has its own ways.
            import asyncio

            for _ in range(3):  # Transports that have just ended close one turn later.
                await asyncio.sleep(0)

    async def _result(self) -> LeakResult:
        asked, began = self._asked, time.monotonic()
        await self._run(1)  # The first imports and compiles; it tells nothing of the others' cost.
        self._between()
        left = Leftovers()
        warmup, cost = await self._warm(left)
        more = left.more()
        scarce = more / (warmup - 1) if more > (warmup - 1) / 10 else 0.0
        calls, cut = size_of_rounds(asked, cost, scarce)
        if asked.warmup is None and not cut and calls // 2 > warmup:
            await self._run(calls // 2 - warmup)
            warmup = calls // 2
        left = Leftovers()  # What the warm-up opened is there to stay.
        with _frozen():
            timed = time.monotonic()
            first = await self._rounds(calls, asked.rounds, left, ("blocks", "malloc"))
            series = [first]
            each = first.calls * len(first.blocks)
            cost = (time.monotonic() - timed) / each
            if memory := _suspects(first, grew_in_every):
                further = calls
                if asked.calls is None and not cut:
                    blocks, malloc = sum(first.blocks) / each, sum(first.malloc or ()) / each
                    further = longer(asked, calls, cost, blocks, malloc)
                second = await self._rounds(further, 2 * asked.rounds, left, memory)
                series.append(second)
                memory = tuple(one for one in memory if one in _suspects(second, is_lasting))
        # On a loop, waiting here would keep from ending what is about to.
        others = left.found(0.0 if has_loop() else 1.0)
        found: dict[str, Any] = {}
        if memory:
            from membudget.testing.trace import trace  # most checks find nothing

            found = await trace(self._call, calls, self._between, self._run)
        return LeakResult(
            name=self._name,
            is_leak=bool(memory or others),
            memory=memory,
            warmup=warmup,
            cost=cost,
            took=time.monotonic() - began,
            series=tuple(series),
            left=others,
            notes=(f"only {calls} calls a round, since {cut}",) if cut else (),
            **found,
        )

    async def _warm(self, left: Leftovers) -> tuple[int, float]:
        """Run the warm-up in growing parts; its calls, and seconds a call in the last part."""
        asked_for = self._asked.warmup
        most, limit = 100, self._asked.seconds / 5
        if asked_for is not None:
            most, limit = asked_for, float("inf")
        done, part, cost, spent = 1, 1, 0.0, 0.0
        while done == 1 or (done < most and spent + part * cost < limit):  # One at least is timed.
            if done > 1 and asked_for is None and left.more() > _OPEN:
                break  # Each call leaves one; there are only so many descriptors.
            part = max(1, min(part, most - done))
            began = time.monotonic()
            await self._run(part)
            took = time.monotonic() - began
            done, spent, cost = done + part, spent + took, took / part
            part *= 2
        return done, cost

    async def _rounds(
        self, calls: int, rounds: int, left: Leftovers, suspects: tuple[str, ...]
    ) -> Series:
        """One series; it ends where no suspect can grow in every round any more."""
        self._between()
        meter = _Meter(calls, rounds)
        meter.look()
        for done in range(1, rounds + 1):
            await self._run(calls)
            self._between()
            meter.look()
            left.look()
            is_open = any(one in suspects for one in _suspects(meter.series(), grew_in_every))
            if done >= _FIRST_LOOKS and not is_open and not left.have_grown():
                break
        return meter.series()


def _suspects(series: Series, rule: Callable[[tuple[int, ...], int], bool]) -> tuple[str, ...]:
    least = least_growth(series.calls)
    return tuple(one for one in ("blocks", "malloc") if rule(getattr(series, one) or (), least))


@contextlib.contextmanager
def _frozen() -> Iterator[None]:
    """Full collections that look only at what is made from here on, or take 0.3 s a million."""
    gc.collect()
    if gc.get_freeze_count() >= INTERPRETERS:  # The program's own could not be told from ours.
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Meter:
    """The figures of one series of rounds, in storage that was there before."""

    def __init__(self, calls: int, rounds: int) -> None:
        self._calls = calls
        self._blocks = array("q", bytes(8 * (rounds + 1)))
        self._malloc = array("q", bytes(8 * (rounds + 1)))
        info = mallinfo()  # Also loads what asking needs, before anything is counted.
        self._has_malloc = info is not None and info.took < _SLOW
        self._at = 0
        self.look()
        self._at = 0  # The first look was for what looking itself sets up.

    def look(self) -> None:
        """Collect garbage, then write down where things stand."""
        gc.collect()
        _forget()
        self._malloc[self._at] = (in_use() or 0) if self._has_malloc else 0
        self._blocks[self._at] = sys.getallocatedblocks()
        self._at += 1

    def series(self) -> Series:
        blocks, malloc = (
            tuple(marks[at + 1] - marks[at] for at in range(self._at - 1))
            for marks in (self._blocks, self._malloc)
        )
        return Series(calls=self._calls, blocks=blocks, malloc=malloc if self._has_malloc else None)


_forget: Callable[[], object] = getattr(
    sys, "_clear_internal_caches", getattr(sys, "_clear_type_cache", list)
)
"""Empties the cache of attributes, as refleak.py does (all caches from 3.13 on): it keeps names
alive that C code made: opening a text file "leaked" a string a call for hundreds of calls."""


def _tasks() -> dict[int, Any]:
    if not has_loop():
        return {}
    asyncio = sys.modules["asyncio"]
    current = asyncio.current_task()
    return {id(one): one for one in asyncio.all_tasks() if one is not current}


def _descriptors() -> dict[int, Any]:
    """None where the system does not list them (Windows)."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    try:
        paths = {int(name): f"{folder}/{name}" for name in os.listdir(folder)}
    except OSError:
        return {}
    # The listing's own is closed by now.
    return {number: path for number, path in paths.items() if os.path.lexists(path)}


def _children() -> dict[int, Any]:
    """Those that ended and were not waited for included; Linux only."""
    try:
        return {pid: pid for pid in children_of("self")}
    except OSError:  # Another system.
        return {}


_LOOKS: dict[str, Callable[[], dict[int, Any]]] = {
    "tasks": _tasks,
    "threads": lambda: {id(one): one for one in threading.enumerate()},
    "file descriptors": _descriptors,
    "child processes": _children,
}


class Leftovers:
    """Counts tasks, threads, descriptors and children: more are due in two rounds at least."""

    def __init__(self) -> None:
        self._before = {kind: set(look()) for kind, look in _LOOKS.items()}
        self._first = array("q", map(len, self._before.values()))
        self._last = array("q", self._first)
        self._steps = array("q", [0] * len(self._first))

    def look(self) -> None:
        """Count after a round."""
        for at, look in enumerate(_LOOKS.values()):
            count = len(look())
            self._steps[at] += count > self._last[at]
            self._last[at] = count

    def more(self) -> int:
        """How many more there are now of the kind that grew most."""
        return max(len(look()) - self._first[at] for at, look in enumerate(_LOOKS.values()))

    def have_grown(self) -> bool:
        """Whether any kind may still turn out to be a leak."""
        return any(last > first for first, last in zip(self._first, self._last, strict=True))

    def found(self, patience: float) -> tuple[Left, ...]:
        """What was left, after some seconds' patience with threads and children about to end."""
        until = time.monotonic() + patience
        while True:
            left = []
            for at, (kind, look) in enumerate(_LOOKS.items()):
                now = look() if self._steps[at] > 1 and self._last[at] > self._first[at] else {}
                if (more := len(now) - self._first[at]) > 0:
                    new = [one for key, one in now.items() if key not in self._before[kind]]
                    names = tuple(_name(kind, one) for one in new[:5])
                    left.append(Left(kind=kind, count=more, names=names))
            may_end = any(one.kind in ("threads", "child processes") for one in left)
            if not may_end or time.monotonic() >= until:
                return tuple(left)
            time.sleep(0.01)


def _name(kind: str, one: Any) -> str:
    if kind in ("tasks", "threads"):
        is_task = kind == "tasks"
        name = one.get_name() if is_task else one.name
        runs = one.get_coro() if is_task else getattr(one, "_target", None)
        return name if runs is None else f"{name} ({getattr(runs, '__qualname__', runs)})"
    try:
        if kind == "file descriptors":
            return os.readlink(str(one))
        told = (read_whole(f"/proc/{one}/comm") or b"").decode(errors="replace").strip()
    except OSError:
        return str(one)
    return f"{one} ({told})"
