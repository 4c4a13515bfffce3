"""The room of one container, shared by several processes: who has which part, and who lives.

    uv run --group bench python bench/room [--quick] [--json FILE] [--scene NAME]

Workers with a cache each run in one memory group of cgroup v1: under a budget each, with equal
bounds, and with the best fixed bounds. The exit code is 1 where one under a budget died, or the hot
ones lie more than five points below the best split.
"""

from __future__ import annotations

import argparse
import json
import sys
from statistics import fmean

from cells import CONTESTANTS, Outcome, run_cell
from cost import cost
from groups import unavailable
from scenes import SCENES, Scene
from table import heading, paths, row

_AIM = 5.0
"""Points of hits that the hot ones may lie below the best fixed split."""

_QUICK = {
    "4 workers": tuple(CONTESTANTS),
    **dict.fromkeys(("arriving", "neighbour"), ("membudget",)),
}
_QUICK_PACE = 0.6


def main() -> int:
    """Run the matrix; exits 1 where an aim is missed."""
    options = _options()
    if (reason := unavailable()) is not None:
        print(f"room: {reason}", file=sys.stderr)
        return 2
    pace = _QUICK_PACE if options.quick else 1.0
    print(heading())
    outcomes, met = [], True
    for name in options.scenes:
        scene = SCENES[name](pace)
        hits: dict[str, float] = {}
        for contestant in _contestants(name, options):
            outcome = run_cell(name, scene, contestant)
            outcomes.append(outcome)
            print(row(outcome, scene), flush=True)
            found = fmean(outcome.rates("hot") or [0.0])
            hits[contestant] = min(found, hits.get(contestant, found))
            met &= contestant != "membudget" or _lives(outcome, scene)
        if {"membudget", "best"} <= hits.keys():
            met &= hits["membudget"] >= hits["best"] - _AIM
    print("\nHits in each two seconds:\n")
    print("\n".join(paths(outcomes)))
    if options.cost:
        print("\n64 processes at rest, a process: ms of processor time a second, bytes of a slot")
        for way in ("membudget", "without"):
            spent = cost(way, 10.0 * pace)
            print(f"{way}: {spent.processor:.2f} ms, {spent.slot:.0f} bytes, {spent.deaths} deaths")
    if options.json is not None:
        with open(options.json, "w") as file:
            json.dump([one.as_dict() for one in outcomes], file)
    return int(not met)


def _lives(outcome: Outcome, scene: Scene) -> bool:
    return not outcome.deaths(scene) and not outcome.oom_kills


def _contestants(scene: str, options: argparse.Namespace) -> list[str]:
    """Who runs, in order; what moves as it runs, the budget, as often as asked for."""
    found = _QUICK.get(scene, ("membudget",)) if options.quick else tuple(CONTESTANTS)
    found = options.contestants or found
    return [one for one in found for _ in range(options.runs if one == "membudget" else 1)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="room", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three scenes, shorter")
    parser.add_argument("--runs", type=int, default=1, help="of each scene under a budget")
    parser.add_argument("--json", metavar="FILE", help="all that workers told")
    parser.add_argument("--scene", dest="scenes", action="append", choices=[*SCENES, "cost"])
    parser.add_argument("--contestant", dest="contestants", action="append", choices=CONTESTANTS)
    options = parser.parse_args()
    options.cost = options.scenes is None or "cost" in options.scenes
    wanted = options.scenes or list(_QUICK if options.quick else SCENES)
    options.scenes = [name for name in wanted if name != "cost"]
    return options


if __name__ == "__main__":
    sys.exit(main())
