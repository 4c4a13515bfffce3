"""What the soaking programs share: options, a look at a whole cache, and the closing line."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from membudget.cache.table import IS_COMPILED, POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MISSING: Any = object()
"""Stands where no value does."""

LOOKED_AT_EVERY = 64
"""Steps between two looks at the clock."""


def read_options(purpose: str, *, steps: int) -> argparse.Namespace:
    """The options that all of these programs take.

    Args:
        purpose: What the program shows.
        steps: How many there are where neither steps nor seconds are given.
    """
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--steps", type=int, help=f"how many ({steps:,} without --seconds)")
    parser.add_argument("--seconds", type=float, help="how long, where no steps are given")
    parser.add_argument("--seed", type=int, default=1, help="what chance is drawn from")
    parser.add_argument("--policy", choices=POLICIES, help="one order of eviction; else each")
    given = parser.parse_args()
    if given.steps is None and given.seconds is None:
        given.steps = steps
    return given


def policies_of(given: argparse.Namespace) -> tuple[str, ...]:
    """The orders of eviction to go through."""
    return POLICIES if given.policy is None else (given.policy,)


class Span:
    """How long to go on: a share of the steps or of the seconds given.

    Attributes:
        done: Steps taken so far.
    """

    def __init__(self, given: argparse.Namespace, parts: int) -> None:
        self._steps = None if given.steps is None else max(1, given.steps // parts)
        seconds = None if given.steps is not None else given.seconds / parts
        self._ends = None if seconds is None else time.monotonic() + seconds
        self.done = 0

    def goes_on(self, steps: int = 1) -> bool:
        """Whether there are more to take; counts them as taken then."""
        if self._steps is not None and self.done >= self._steps:
            return False
        is_looked_at = steps > 1 or self.done % LOOKED_AT_EVERY == 0
        if self._ends is not None and is_looked_at and time.monotonic() >= self._ends:
            return False
        self.done += steps
        return True


def check_whole(cache: Any, *, is_timed: bool = False) -> None:
    """Fail where figures, index and queues of a cache do not agree. Its keys must be honest."""
    check_sums(cache)
    pairs = cache.items()
    keys = {key for key, _ in pairs}
    assert len(keys) == len(pairs), f"{len(pairs) - len(keys)} keys stand there twice"
    assert is_timed or len(pairs) == len(cache), f"{len(pairs)} of {len(cache)} are in the queues"
    for key, value in pairs:
        found = cache.peek(key, MISSING)
        assert found is value or (is_timed and found is MISSING), f"{key!r} is not found"


def check_sums(cache: Any) -> None:
    """Fail where the figures of a cache do not agree; asks no key anything."""
    counts = cache._counts()
    assert counts["entries"] == len(cache), (counts, len(cache))
    assert counts["bytes"] == cache.held_bytes(), (counts, cache.held_bytes())
    assert (counts["bytes"] > 0) == (counts["entries"] > 0), counts
    assert len(cache.keys()) <= counts["entries"], counts


def drain(cache: Any) -> None:
    """Evict everything: what comes out must be all that was counted, and nothing is left."""
    held, freed = cache.held_bytes(), 0
    while True:
        got, _ = cache._evict(1 << 60, "pressure")
        if got == 0:
            break
        freed += got
    assert freed == held, f"{freed} bytes came out of {held}"
    assert (len(cache), cache.held_bytes()) == (0, 0), "there is more than the queues know"
    while cache._fold():
        pass
    check_sums(cache)


def is_sanitized() -> bool:
    """Whether this runs under AddressSanitizer, which takes and keeps memory of its own."""
    return "asan" in os.environ.get("LD_PRELOAD", "")


def resident() -> int:
    """The bytes of memory that this process has now; 0 where that says nothing."""
    if is_sanitized():
        return 0
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def run(
    name: str, purpose: str, work: Callable[[argparse.Namespace], Iterator[str]], *, steps: int
) -> int:
    """Read the options, do the work, and print the closing line.

    Args:
        name: The program's.
        purpose: What it shows.
        work: Yields the figures for the closing line; raises where something is wrong.
        steps: As in `read_options`.

    Returns:
        The exit code: 1 where something is wrong.
    """
    given = read_options(purpose, steps=steps)
    kind = "compiled" if IS_COMPILED else "plain"
    head = f"{name}: {kind}, {'/'.join(policies_of(given))}, seed {given.seed}"
    began = time.monotonic()
    try:
        figures = ", ".join(work(given))
    except Exception as error:  # noqa: BLE001  # whatever it is, it is told
        import traceback

        traceback.print_exc()
        sys.stdout.write(f"{head}: WRONG: {type(error).__name__} {error}\n")
        return 1
    sys.stdout.write(f"{head}, {time.monotonic() - began:.1f} s: {figures}: sound\n")
    return 0
