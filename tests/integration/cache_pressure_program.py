"""Caches of one budget under a limit that the kernel keeps, asked by threads all the while.

Run as `python cache_pressure_program.py divided|pressed|spilled FOLDER [BOUND]`, inside a
memory group; prints what came of it as a line of JSON. Every value found is checked.
"""

import contextlib
import json
import os
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import membudget
from membudget import Cache
from membudget.core import Failed, PressureChanged, Reclaimed
from membudget.units import MIB

SHARED = 24 * MIB
"""Bytes for all caches of a budget that divides them."""

OWN = 2 * MIB
"""The bound of the cache that has one of its own."""

NEEDED = 60 * MIB
"""Bytes for another part, half of the limit: beside full caches a third of it lacks."""

_PATIENCE = 60.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


def answer(key: int) -> dict[str, Any]:
    """What belongs under a key: 2 kB in small objects, so that what is let go leaves holes."""
    return {"of": key, "parts": [f"{key:0>{50 + part}}" for part in range(16)]}


class Asking:
    """Threads that ask caches for keys, the low ones more often, and may set what is missing."""

    def __init__(self, *loads: tuple[Cache[Any, Any], int]) -> None:
        self.hits = self.wrong = 0
        self.errors: list[str] = []
        self.sets_too = True
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=load) for load in loads]

    def _run(self, cache: Cache[Any, Any], keys: int) -> None:
        chance = random.Random(keys)  # noqa: S311  # a load, not a secret
        try:
            while not self._is_over.is_set():
                key = int(keys * chance.random() ** 2)
                found = cache.get(key)
                if found is None:
                    if self.sets_too:
                        cache.set(key, answer(key))
                else:
                    self.hits += 1
                    self.wrong += found != answer(key)
        except BaseException as error:
            self.errors.append(repr(error))
            raise

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def as_dict(self) -> dict[str, Any]:
        return {"hits": self.hits, "wrong": self.wrong, "errors": self.errors}


def is_soon(look: Callable[[], object]) -> bool:
    until = time.monotonic() + _PATIENCE
    while not look():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def private_bytes() -> int:
    """What this process holds, as the kernel counts it."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        pages = file.read().split()
    return (int(pages[1]) - int(pages[2])) * _PAGE


@contextlib.contextmanager
def budget_telling(**settings: Any) -> Iterator[tuple[membudget.Budget, list[Any]]]:
    """A budget that finds its limit, and all it tells."""
    told: list[Any] = []
    with membudget.start(sinks=[told.append], **settings) as budget:
        yield budget, told


def divided() -> dict[str, Any]:
    """Four caches on one sum: two asked for far too much, one of them no more; one with a bound."""
    with budget_telling(caches={"size_limit": SHARED}) as (budget, _):
        busy, idle = budget.cache("busy"), budget.cache("idle")
        small, bounded = budget.cache("small"), budget.cache("bounded", max_bytes=OWN)
        caches = [busy, idle, small, bounded]
        most, most_of_all = dict.fromkeys(caches, 0), 0

        def seen() -> dict[Cache[Any, Any], int]:
            nonlocal most_of_all
            held = {cache: cache.held_bytes() for cache in caches}
            most_of_all = max(most_of_all, sum(held.values()))
            most.update({cache: max(most[cache], held[cache]) for cache in caches})
            return held

        with Asking((busy, 40_000), (small, 500), (bounded, 20_000)) as asking:
            with Asking((idle, 40_000)):
                are_full = is_soon(lambda: min(seen()[busy], seen()[idle]) > SHARED // 4)
            is_moved = is_soon(lambda: seen()[busy] > 1.5 * seen()[idle])
            at_the_end, entries = seen(), len(idle)
            shares = {cache.name: cache.share for cache in caches}
    return {
        "size_limit": SHARED,
        "own": OWN,
        "are_full": are_full,
        "is_moved": is_moved,
        "held": {cache.name: held for cache, held in at_the_end.items()},
        "most": {cache.name: held for cache, held in most.items()},
        "most_of_all": most_of_all,
        "shares": shares,
        "shares_after": [cache.share for cache in caches],
        "entries_of_idle": entries,
        **asking.as_dict(),
    }


def pressed() -> dict[str, Any]:
    """Two caches in use, and another part whose memory fits where caches give theirs back."""
    with budget_telling(cleanup={"settle": 0.5}) as (budget, told):
        caches = [budget.cache("first"), budget.cache("second")]
        with Asking((caches[0], 60_000), (caches[1], 60_000)) as asking:
            limit = budget.pressure.limit or 0
            is_full = is_soon(lambda: budget.pressure.used > 0.65 * limit)
            # What only looks pays for nothing: it is the governor's to make room.
            asking.sets_too = False
            before, most = [len(cache) for cache in caches], 0
            ballast: list[bytes] = []

            def has_all() -> bool:
                nonlocal most
                most = max(most, private_bytes())
                # To between the marks of CRITICAL and EMERGENCY, whatever the last step saw.
                if private_bytes() < 0.92 * limit:
                    ballast.append(b"x" * MIB)
                return len(ballast) * MIB >= NEEDED

            has_room = is_soon(has_all)
            has_fallen = is_soon(lambda: private_bytes() < 0.9 * limit)
            entries = [len(cache) for cache in caches]
            asking.sets_too, hits_then = True, asking.hits
            goes_on = is_soon(lambda: asking.hits > hits_then + 1000)
    return {
        "limit": limit,
        "is_full": is_full,
        "has_room": has_room,
        "has_fallen": has_fallen,
        "goes_on": goes_on,
        "ballast": sum(map(len, ballast)),
        "most": most,
        "given": sum(gave_back(told)),
        "levels": sorted({one.pressure.level.name for one in told if is_change(one)}),
        "before": before,
        "entries": entries,
        **asking.as_dict(),
    }


def is_change(event: object) -> bool:
    return isinstance(event, PressureChanged)


def gave_back(told: list[Any]) -> list[int]:
    """The bytes that went back to the system, each time: caches gave them, or malloc did after."""
    kinds = [one for one in list(told) if isinstance(one, Reclaimed)]
    return [one.claimed for one in kinds if one.by in ("give back", "malloc trim")]


def spilled(folder: str, max_bytes: str | None = None) -> dict[str, Any]:
    """A cache too small for what is asked, on a disk that breaks in the middle.

    Without a bound of its own it is the budget's pressure that makes it small. The disk is taken
    away; but where it is one of its own, it is small, and fills.
    """
    with budget_telling() as (budget, told):
        spill = membudget.Spill(folder, max_bytes="256MiB")
        cache: Any = budget.cache("spilling", max_bytes=max_bytes, spill=spill)
        keys = 4000 if max_bytes else 120_000
        with Asking((cache, keys), (cache, keys + 1000)) as asking:
            comes_back = is_soon(lambda: cache.spill_stats().hits > 50)
        from_disk = found_on_disk(cache, keys)
        with Asking((cache, keys), (cache, keys + 1000)) as asking_on:
            if not os.path.ismount(os.path.dirname(folder)):
                take_away(folder)
            is_off = is_soon(lambda: cache.spill_stats().state != "on" and failures(told))
            hits_then = asking_on.hits
            goes_on = is_soon(lambda: asking_on.hits > hits_then + 1000)
        after = cache.spill_stats()
    return {
        "comes_back": comes_back,
        "from_disk": from_disk,
        "is_off": is_off,
        "goes_on": goes_on,
        "state": after.state,
        "waiting": after.waiting,
        "on_disk": after.entries,
        "entries": len(cache),
        "failures": failures(told),
        "wrong": asking.wrong + asking_on.wrong,
        "errors": [*asking.errors, *asking_on.errors],
    }


def found_on_disk(cache: Any, keys: int) -> list[bool]:
    """Whether values that stand on the disk alone are right; pressure may let go of some."""
    cache.flush_spill()
    in_memory = set(cache)
    found: list[bool] = []
    for key in range(keys):
        if key not in in_memory and key in cache and len(found) < 20:
            value = cache.peek(key)
            if value is not None or key in cache:
                found.append(value == answer(key))
    return found


def take_away(folder: str) -> None:
    os.rename(folder, f"{folder}-gone")
    shutil.rmtree(f"{folder}-gone", ignore_errors=True)
    with open(folder, "w", encoding="ascii") as file:
        file.write("in the way")


def failures(told: list[Any]) -> list[str]:
    return [f"{one.where}: {one.error}" for one in list(told) if isinstance(one, Failed)]


if __name__ == "__main__":
    scenes: dict[str, Callable[..., dict[str, Any]]] = {
        "divided": divided,
        "pressed": pressed,
        "spilled": spilled,
    }
    print(json.dumps(scenes[sys.argv[1]](*sys.argv[2:])))  # noqa: T201  # its one way to speak
