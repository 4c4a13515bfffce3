"""What shrinking gives back: half of a churned cache of 150 MB, three kinds of values.

    uv run --group bench python bench/shrink [--quick] [--json] [--kind NAME] [--contestant NAME]

A fresh process a cell, cells interleaved over contestants. Before it shrinks, each cache went
through eight Zipf requests an entry, from 2.5 times as many keys as it holds.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from cells import Outcome, run_cell, true_bytes
from contestants import CONTESTANTS
from loads import KINDS
from table import table, verdict

_LIMIT = 150 * 10**6
_RUNS = 3


def main() -> int:
    """Churn and shrink every cell; exits 1 where an aim is missed."""
    options = _options()
    true = {kind: true_bytes(kind) for kind in options.kinds}
    cells: dict[tuple[str, str], list[Outcome]] = {}
    for _ in range(options.runs):
        for kind in options.kinds:
            for name in options.contestants:
                outcome = run_cell(name, kind, _LIMIT, true[kind])
                cells.setdefault((kind, name), []).append(outcome)
                print(outcome, file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps([asdict(one) for some in cells.values() for one in some]))
    else:
        print(table(list(cells.values())))
    return int(any(verdict(some).startswith("missed") for some in cells.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="shrink", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run instead of three")
    parser.add_argument("--runs", type=int, help=f"of each cell, {_RUNS} by default")
    parser.add_argument("--json", action="store_true", help="every run instead of a table")
    parser.add_argument("--kind", dest="kinds", action="append", choices=KINDS)
    parser.add_argument("--contestant", dest="contestants", action="append", choices=CONTESTANTS)
    options = parser.parse_args()
    if options.runs is None:
        options.runs = 1 if options.quick else _RUNS
    if options.runs < 1:
        parser.error(f"--runs {options.runs} is too few: give 1 or more")
    options.kinds = options.kinds or list(KINDS)
    options.contestants = [
        name for name in options.contestants or CONTESTANTS if CONTESTANTS[name].is_installed
    ]
    for name in CONTESTANTS:
        if not CONTESTANTS[name].is_installed:
            print(f"shrink: {name} is left out: a module is missing", file=sys.stderr)
    return options


if __name__ == "__main__":
    sys.exit(main())
