"""Whether a budget in bytes is kept: a cache of 150 MB, values worth 600 MB, ten kinds of them.

    uv run --group bench python bench/bytes [--quick] [--json] [--kind NAME] [--contestant NAME]

A fresh process a cell. Memory is counted from after a warm-up of a few hundred values to the end,
with keys and the cache's own cost. A cell that takes too long is cut and says so.
"""

from __future__ import annotations

import argparse
import json
import sys

from cells import Outcome, run_cell, true_bytes
from contestants import CONTESTANTS
from table import keeps, table
from values import KINDS

_MB = 10**6
_BUDGET, _WORTH = 150 * _MB, 600 * _MB
_QUICK = ("membudget", "cachetools, getsizeof")


def main() -> int:
    """Fill every cell; exits 1 where ours did not keep its budget."""
    options = _options()
    true = {kind: true_bytes(kind) for kind in options.kinds}
    cells: dict[tuple[str, str], list[Outcome]] = {}
    for _ in range(options.runs):
        for kind in options.kinds:
            for name in options.contestants:
                count = int(_WORTH / true[kind])
                outcome = run_cell(name, kind, _BUDGET, count, options.seconds)
                cells.setdefault((name, kind), []).append(outcome)
                print(f"{kind}: {outcome}", file=sys.stderr, flush=True)
    if options.json:
        outcomes = [one._asdict() for some in cells.values() for one in some]
        print(json.dumps({"true bytes": true, "outcomes": outcomes}))
    else:
        print(table(true, cells))
    ours = [found for (name, _), found in cells.items() if name == "membudget"]
    return int(not all(keeps(found) for found in ours))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bytes", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="membudget and one peer only")
    parser.add_argument("--json", action="store_true", help="every run instead of a table")
    parser.add_argument("--runs", type=int, default=1, help="of each cell; medians are told")
    parser.add_argument("--seconds", type=float, default=120.0, help="after which a cell is cut")
    parser.add_argument("--kind", dest="kinds", action="append", choices=KINDS)
    parser.add_argument("--contestant", dest="contestants", action="append", choices=CONTESTANTS)
    options = parser.parse_args()
    if options.runs < 1:
        parser.error(f"--runs {options.runs} is too few: give 1 or more")
    options.kinds = options.kinds or list(KINDS)
    names = options.contestants or (_QUICK if options.quick else tuple(CONTESTANTS))
    for name in names:
        if not CONTESTANTS[name].is_installed:
            print(f"bytes: {name} is left out: a module is missing", file=sys.stderr)
    options.contestants = [name for name in names if CONTESTANTS[name].is_installed]
    return options


if __name__ == "__main__":
    sys.exit(main())
