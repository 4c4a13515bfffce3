"""What a cache's operations, entries and large sweeps cost, beside the caches a program might use.

    uv run --group bench python bench/cache [--quick] [--json] [--rounds 7]

One fresh process a contestant and round, rounds interleaved over all contestants: a slow minute
of the machine falls on all of them. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import sys

from aims import aims
from cells import plan, run
from contestants import CONTESTANTS
from report import report

_ROUNDS, _QUICK_ROUNDS = 7, 3


def main() -> int:
    """Measure and print; exits 1 where an aim is missed or a process of ours failed."""
    options = _options()
    for name, one in CONTESTANTS.items():
        if not one.is_installed:
            print(f"cache: {name} is left out: {one.module} is missing", file=sys.stderr)
    figures = run(plan(options.rounds, is_quick=options.quick))
    found = aims(figures)
    if options.json:
        cells = {str(cell): said for cell, said in figures.cells.items()}
        failed = {str(cell): said for cell, said in figures.failed.items()}
        told = [{**aim._asdict(), "met": aim.is_met} for aim in found]
        print(json.dumps({"cells": cells, "failed": failed, "aims": told}))
    else:
        print(report(figures, found))
    has_failed = any("membudget" in cell.contestant for cell in figures.failed)
    return int(has_failed or not all(aim.is_met for aim in found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cache", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three rounds, few at a million")
    parser.add_argument("--json", action="store_true", help="every figure instead of tables")
    parser.add_argument("--rounds", type=int, help=f"{_ROUNDS}, or {_QUICK_ROUNDS} with --quick")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = _QUICK_ROUNDS if options.quick else _ROUNDS
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds} is too few: give 1 or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
