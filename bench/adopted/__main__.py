"""An unbounded functools cache at full speed in a container's limit, with and without `run`.

    uv run --group bench python bench/adopted [--runs 5]

Every run is a fresh process in a fresh memory group of cgroup v1 of 400 MB; its end is taken from
the exit status and from the group's own count of kills. Then: what a miss costs more, and a hit.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from cgroup_v1 import limited_group, unavailable
from commands import clean_environment
from membudget.reclaimers.found import FoundCaches

_PROGRAM = Path(__file__).resolve().parents[2] / "tests/integration/adopted_program.py"
_LIMIT = 400_000_000
_COUNTS = {"dict": 3_000_000, "1k": 1_500_000, "10k": 300_000, "1m": 6000}
_ROUNDS = 15
_CALLS = 200_000


def main() -> int:
    """Print both tables; 1 where a run under `run` died or one without lived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    if (why := unavailable()) is not None:
        print(why)
        return 1
    as_hoped = True
    print("| result | under | lived | killed by the group | peak MiB | seconds | kept |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for kind in _COUNTS:
        for is_run in (True, False):
            ends = [_live(kind, is_run=is_run) for _ in range(runs)]
            lived = [end for end in ends if end[0] == 0]
            as_hoped = as_hoped and len(lived) == (runs if is_run else 0)
            seconds = statistics.median(end[3] for end in ends)
            kept = lived[-1][4] if lived else "-"
            print(
                f"| {kind} | {'run' if is_run else 'nothing'} | {len(lived)} of {runs} | "
                f"{sum(end[1] for end in ends)} | {max(end[2] for end in ends) >> 20} | "
                f"{seconds:.1f} | {kept} |",
                flush=True,
            )
    _print_costs()
    return 0 if as_hoped else 1


def _live(kind: str, *, is_run: bool) -> tuple[int, int, int, float, str]:
    """Exit status, kills, peak, seconds and what it printed."""
    program = [sys.executable, str(_PROGRAM), kind, str(_COUNTS[kind])]
    if is_run:
        program = [sys.executable, "-m", "membudget", "run", "--quiet", "--", *program]
    with limited_group(_LIMIT) as group:
        began = time.monotonic()
        try:
            end = group.run(program, timeout=600, env=clean_environment())
            status, out = end.returncode, end.stdout.strip()
        except subprocess.TimeoutExpired:
            status, out = 124, ""
        return status, group.oom_kills(), group.peak(), time.monotonic() - began, out


def _print_costs() -> None:
    found = FoundCaches(lambda: None)

    makers: dict[str, Any] = {"functools": functools.cache, "looked after": found.make}
    misses: dict[str, list[float]] = {name: [] for name in makers}
    hits: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(_ROUNDS):
        for name, make in makers.items():
            cached = make(lambda number: number)
            misses[name].append(_per_call(cached))
            hits[name].append(_per_call(cached))
    print("\n| of one call | a miss | a hit |\n| --- | --- | --- |")
    for name in makers:
        miss, hit = statistics.median(misses[name]), statistics.median(hits[name])
        print(f"| {name} | {miss:.0f} ns | {hit:.0f} ns |")


def _per_call(cached: Any) -> float:
    began = time.perf_counter_ns()
    for number in range(_CALLS):
        cached(number)
    return (time.perf_counter_ns() - began) / _CALLS


if __name__ == "__main__":
    sys.exit(main())
