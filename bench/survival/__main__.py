"""Who survives a limit: caches under one load in a memory group that the kernel enforces.

    uv run --group bench python bench/survival [--quick] [--json] [--load NAME] [--contestant NAME]

Every run is a fresh process in a fresh group of cgroup v1. Runs are interleaved over contestants,
so that a slow minute of the machine falls on all of them.
"""

from __future__ import annotations

import argparse
import json
import sys

from cells import Outcome, run_cell
from contestants import CONTESTANTS
from groups import limited_group, unavailable
from loads import LOADS
from table import table

_LIMIT = 400 << 20
_REPETITIONS = 5


def main() -> int:
    """Run the matrix; exits 1 where a governed cell did not live."""
    options = _options()
    if (reason := unavailable()) is not None:
        print(f"survival: {reason}", file=sys.stderr)
        return 2
    outcomes: list[Outcome] = []
    for _ in range(options.repetitions):
        for load in options.loads:
            for contestant in options.contestants:
                with limited_group(options.limit) as group:
                    outcome = run_cell(contestant, load, group)
                outcomes.append(outcome)
                _say(outcome)
    if options.json:
        print(json.dumps([outcome.as_dict() for outcome in outcomes]))
    else:
        outcomes.sort(key=lambda one: list(LOADS).index(one.load))
        print(table(outcomes))
    return int(any(one.contestant == "membudget" and one.ended != "lived" for one in outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="survival", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repetition instead of five")
    parser.add_argument("--repetitions", type=int, default=_REPETITIONS)
    parser.add_argument("--json", action="store_true", help="every run as JSON instead of a table")
    parser.add_argument("--limit", type=int, default=_LIMIT, help="of the group, in bytes")
    parser.add_argument("--load", dest="loads", action="append", choices=LOADS)
    parser.add_argument("--contestant", dest="contestants", action="append", choices=CONTESTANTS)
    options = parser.parse_args()
    options.loads = options.loads or list(LOADS)
    options.contestants = options.contestants or list(CONTESTANTS)
    if options.quick:
        options.repetitions = 1
    return options


def _say(outcome: Outcome) -> None:
    """One line a run on standard error; all it told where a governed one did not live."""
    line = f"{outcome.load}, {outcome.contestant}: {outcome.ended}, {outcome.took:.2f} s"
    print(f"{line}, peak {outcome.peak >> 20} MiB", file=sys.stderr, flush=True)
    if outcome.contestant == "membudget" and outcome.ended != "lived":
        print(outcome.told, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
