"""What a budget takes from programs that know nothing of it: `membudget run` beside nothing.

uv run python bench/foreign [--pairs 20] [--json FILE] [PROGRAM...]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from measuring import Run, measure, ratio
from programs import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measuring import Ratio

_PAIRS = 20
_HEADINGS = (
    "program",
    "work",
    "time, with ÷ without",
    "its noise, without ÷ without",
    "processor time, with ÷ without",
    "its noise",
    "start without",
    "start adds",
    "start and work, with ÷ without",
)


def main() -> int:
    """Measure and print, one program after the other."""
    options = _options()
    kept = {}
    print("|", " | ".join(_HEADINGS), "|")
    print("|", " | ".join("---" for _ in _HEADINGS), "|")
    for name in options.programs or PROGRAMS:
        rounds = list(measure(PROGRAMS[name], options.pairs))
        print("|", " | ".join([name, *_cells(rounds)]), "|", flush=True)
        kept[name] = [{way: run._asdict() for way, run in one.items()} for one in rounds]
    if options.json is not None:
        options.json.write_text(json.dumps(kept))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="foreign", description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=", ".join(PROGRAMS))
    parser.add_argument("--pairs", type=int, default=_PAIRS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure of every run")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error(f"--pairs {options.pairs} is too few: give 1 or more")
    for name in options.programs:
        if name not in PROGRAMS:
            parser.error(f"program {name!r} is not known: use {', '.join(PROGRAMS)}")
    return options


def _cells(rounds: Sequence[dict[str, Run]]) -> list[str]:
    without = [one["without"] for one in rounds]
    added = median(one["with"].start - one["without"].start for one in rounds)
    return [
        f"{median(run.work for run in without):.2f} s",
        _told(ratio(rounds, "with", lambda run: run.work)),
        _told(ratio(rounds, "again", lambda run: run.work)),
        _told(ratio(rounds, "with", lambda run: run.processor)),
        _told(ratio(rounds, "again", lambda run: run.processor)),
        f"{median(run.start for run in without) * 1e3:.0f} ms",
        f"{added * 1e3:.0f} ms",
        _told(ratio(rounds, "with", lambda run: run.whole)),
    ]


def _told(found: Ratio) -> str:
    return f"{found.median:.3f} ({found.low:.3f} to {found.high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
