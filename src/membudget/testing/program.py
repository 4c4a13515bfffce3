"""A program of any kind started, watched from outside for some time, and judged by its floors."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from array import array
from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.errors import ProbeError
from membudget.probes.process import process_probe
from membudget.testing.result import grew_in_every, pace
from membudget.trend import floors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psutil

_WARMUP = 1 / 3  # Of the time, what is left out at the start: imports, caches and pools fill
_LASTING = 0.5
"""As in `result`, but lower: by time and not by calls, growth is as even as the work is."""

_LEAST = 1 << 20
"""Bytes of growth over all stretches below which nothing is said: allocators round by as much."""

_FEWEST = 3  # Samples of a stretch without which it has no floor
_GRACE = 10.0  # Seconds a program has to end when asked to


class ProgramResult(Record):
    """What became of a program."""

    verdict: str  # "leak", "no leak" or "too short to tell"
    took: float  # Seconds it was watched
    samples: int  # How often it was looked at
    floors: tuple[int, ...]  # The least bytes in each stretch after the warm-up, children included
    growth: int  # Bytes from the first floor to the last
    rate: float  # Bytes an hour, by the floors
    pace: float  # Growth of the last third as a share of the first third's
    peak: int  # The most bytes seen in that time
    code: int | None  # Its exit code, negative for a signal; None where its time was over


def watch_program(command: Sequence[str], seconds: float, rounds: int) -> ProgramResult:
    """Run a program for so many seconds, sample it and its children, and judge.

    The time after the warm-up is divided into so many rounds. It inherits input, output and
    environment; after the time it is sent SIGTERM, and SIGKILL 10 s later. Cost: a look takes 0.1
    ms, more with children. An OSError where it cannot be started.
    """
    every = min(1.0, max(0.02, seconds * (1 - _WARMUP) / (rounds * 20)))
    times, uses = array("d"), array("q")
    began = time.monotonic()
    process = subprocess.Popen(list(command))  # noqa: S603  # running what was asked for is the job
    is_over, at = False, 0.0
    try:
        import psutil

        watched = psutil.Process(process.pid)
        while process.poll() is None and not is_over:
            at = time.monotonic() - began
            if use := _use_of(watched):
                times.append(at)
                uses.append(use)
            is_over = at >= seconds
            _wait(process, every)
        took = at if is_over else time.monotonic() - began
        code = None if is_over and process.poll() is None else process.returncode
    finally:
        _end(process)
    judged = len(times)
    if code is not None and times:  # At its end it lets go of all.
        judged = min(bisect_right(times, times[-1] * 0.95), max(0, judged - 2))
    found = floors_of(times[:judged], uses[:judged], rounds)
    deltas = [after - before for before, after in pairwise(found)]
    growth, lasts = sum(deltas), pace(deltas) if deltas else 0.0
    is_leak = grew_in_every(deltas) and lasts >= _LASTING and growth >= _LEAST
    hours = times[judged - 1] * (1 - _WARMUP) * (rounds - 1) / rounds / 3600 if judged else 0.0
    return ProgramResult(
        verdict="too short to tell" if not found else "leak" if is_leak else "no leak",
        took=took,
        samples=len(times),
        floors=found,
        growth=growth,
        rate=growth / hours if hours else 0.0,
        pace=lasts,
        peak=max(uses, default=0),
        code=code,
    )


def floors_of(times: Sequence[float], uses: Sequence[int], rounds: int) -> tuple[int, ...]:
    """Least bytes used in each stretch after the warm-up; empty where one has under 3 samples."""
    if not times:
        return ()
    begin, end = times[-1] * _WARMUP, times[-1]
    starts = [bisect_left(times, begin + (end - begin) / rounds * one) for one in range(rounds)]
    if any(after - before < _FEWEST for before, after in pairwise([*starts, len(times)])):
        return ()
    _, minima = floors(times, uses, begin, end, rounds)
    return tuple(int(one) for one in minima)


def _use_of(process: psutil.Process) -> int:
    """Private and shared bytes of a process and all below it; 0 once it has ended."""
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(ProbeError):
                total += process_probe(one.pid)().used
    return total


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, then what it started and did not end: `sh -c` passes no signal on."""
    import psutil

    family = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        _wait(process, _GRACE)
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.terminate()
    _, alive = psutil.wait_procs(family, timeout=_GRACE)
    for one in alive:
        with contextlib.suppress(psutil.Error):
            one.kill()
    if process.poll() is None:
        process.kill()
    process.wait()
