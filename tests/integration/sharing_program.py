"""A program under a budget with one cache, told line by line what to do; prints an answer each."""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import membudget

budget = membudget.start(agent={"directory": sys.argv[1]})
cache: membudget.Cache[int, bytes] = budget.cache("prices")
numbers, reservations = count(), list[Any]()


def fill(size: str) -> int:
    """Take in so many MiB in values of 20 kB."""
    for _ in range((int(size) << 20) // 20_000):
        cache.set(next(numbers), os.urandom(20_000))
    return cache.held_bytes() >> 20


def take(size: str) -> bool:
    """Whether one value of so many MiB is taken in and stays."""
    return cache.set(-1, os.urandom(int(size) << 20)) and -1 in cache


def offer(size: str) -> bool:
    """The same of one that only says that it is so large."""
    return cache.set(-1, b"", size=int(size) << 20) and -1 in cache


def look() -> dict[str, int]:
    """What is held, and resident, in MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    return {"held": cache.held_bytes() >> 20, "resident": resident >> 20}


def admit(size: str) -> bool:
    """Whether so many MiB are granted, to be kept."""
    with contextlib.suppress(membudget.OverBudgetError):
        reservations.append(budget.admit(f"{size}MiB"))
        reservations[-1].acquire()
        return True
    reservations.pop()
    return False


def release() -> int:
    """Give back what was granted last."""
    reservations.pop().release()
    return len(reservations)


DOES: dict[str, Callable[..., Any]] = {
    "fill": fill,
    "take": take,
    "offer": offer,
    "look": look,
    "admit": admit,
    "release": release,
}


def tell(what: Any) -> None:
    """Write an answer."""
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


tell("ready")
for line in sys.stdin:
    word, *arguments = line.split()
    tell(DOES[word](*arguments))
