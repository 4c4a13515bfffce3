"""Hit ratios of several caches in one budget: equal parts, the best fixed split, and the division.

    uv run --group bench python bench/division [--quick] [--traces DIR]

Recorded requests run side by side against real caches, each value counted as a kilobyte, with 300
decisions in a run. Where traces are missing, requests are drawn from Zipf laws instead, and the
table says so. The exit code is 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from loads import ENTRY, MIXES, QUICK, Load, missing, mixed, swapped
from splits import Caches, Curves, divided, fixed, together

from membudget.cache.division import Division
from membudget.cache.table import IS_COMPILED

if TYPE_CHECKING:
    from membudget.cache.cache import Cache

_AIM = 1.0
"""Points of hit ratio, after warm-up, that the division may lie below the best fixed split."""

_HARM = 0.5
"""Points of hit ratio, over all, that it may lie below equal parts."""


class Row(NamedTuple):
    """What each way brought for one load and size, in percent: over all, and of the second half."""

    equal: tuple[float, float]
    best: tuple[float, float]
    one: tuple[float, float]
    divided: tuple[float, float]
    is_kept: bool

    @property
    def is_met(self) -> bool:
        """Whether the aims hold."""
        is_near = self.divided[1] >= self.best[1] - _AIM
        return is_near and self.divided[0] >= self.equal[0] - _HARM and self.is_kept


def main() -> int:
    """Measure and print; exits 1 where an aim is missed."""
    options = _options()
    lacking = missing(options.traces)
    if lacking:
        print(f"not in {options.traces!r}, drawn from Zipf laws instead: {', '.join(lacking)}\n")
    most = 150_000 if options.quick else 800_000
    if not IS_COMPILED:  # As many as take as long.
        most = 30_000 if options.quick else 40_000
    parts = (0.05,) if options.quick else (0.02, 0.05, 0.1)
    print(f"{'compiled' if IS_COMPILED else 'plain'} table, {most:,} requests a cache at most")
    print("hits in percent, over all / in the second half; the whole as a part of all asked for\n")
    print(
        f"{'caches':<14}{'whole':>6}  {'equal parts':>13}  {'best fixed':>13}  {'one cache':>13}"
        f"  {'divided':>13}  {'to best':>13}"
    )
    met = True
    for name in QUICK if options.quick else MIXES:
        load = mixed(MIXES[name], options.traces, most)
        for part in parts:
            met &= _shown(name, part, load)
    met &= _shown(
        "they swap", 0.05, swapped(("web12", "corda"), options.traces, most), is_drift=True
    )
    print(f"\na decision costs {_cost():.1f} µs a cache, a hundred of them")
    return int(not met)


def _shown(name: str, part: float, load: Load, *, is_drift: bool = False) -> bool:
    """Measure and print one row; returns whether the aims hold."""
    whole = int(load.footprint * part * (ENTRY + _overhead()))
    count = len(load.names)
    curves = Curves(load, whole)
    best = fixed(load, curves.best(is_second=False)).of(load)
    if not is_drift:  # There, what is best for the second half alone is known only afterwards.
        best = best[0], fixed(load, curves.best(is_second=True)).of(load)[1]
    hits, path, most = divided(load, whole)
    row = Row(
        fixed(load, [whole // count] * count).of(load),
        best,
        together(load, whole).of(load),
        hits.of(load),
        is_kept=most <= whole,
    )
    to_best = tuple(ours - theirs for ours, theirs in zip(row.divided, row.best, strict=True))
    cells = "".join(f"  {one:6.2f}/{two:6.2f}" for one, two in (*row[:4], to_best))
    told = ("" if row.is_met else "  MISSED") + ("" if row.is_kept else "  ABOVE THE WHOLE")
    print(f"{name:<14}{part:>6.0%}{cells}{told}")
    ways = "  ".join("/".join(f"{share:.0%}" for share in shares) for shares in path)
    print(f"{'':<20}  {', '.join(load.names)}: {ways}", flush=True)
    return row.is_met


def _overhead() -> int:
    """What an entry weighs beside its value."""
    caches = Caches([None])
    caches.each[0].set(1 << 20, True, size=0)
    return caches.registry.held_bytes()


def _cost() -> float:
    """Microseconds a cache that a decision takes."""
    caches = Caches([None] * 100)
    division = Division(caches.registry, lambda: 100 << 20, caches.clock)
    for one in caches.each:
        _fill(one)
    took = []
    for _ in range(20):
        caches.clock.time += 1.0
        start = time.perf_counter()
        division.run(float("inf"))
        took.append(time.perf_counter() - start)
    return sorted(took)[10] * 1e6 / 100


def _fill(cache: Cache[int, bool]) -> None:
    for key in range(100):
        cache.set(key, True, size=ENTRY)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="division", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two loads, fewer requests")
    default = os.environ.get("BENCH_TRACES") or os.path.join(
        os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data"
    )
    parser.add_argument("--traces", default=default, help="the folder of traces (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
