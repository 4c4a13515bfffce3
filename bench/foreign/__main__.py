"""What a budget takes from programs that know nothing of it: `membudget run` beside nothing.

uv run --group bench python bench/foreign [--pairs 6] [--quick] [--json FILE] [PROGRAM...]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from deaths import why_not
from measuring import Run, differences, measure, ratio
from programs import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measuring import Ratio

_PAIRS, _QUICK = 6, 2
_HEADINGS = (
    "program",
    "same output and exit code",
    "deaths in a run, without",
    "with",
    "lines (most)",
    "processor time, with ÷ without",
    "its noise, without ÷ without",
    "work time, with ÷ without",
    "its noise",
    "work without",
    "start without",
    "start adds",
)
_MOST_TOLD = 5


def main() -> int:
    """Measure and print; 1 where a program died under run alone, or ended or spoke otherwise."""
    options = _options()
    kept, told, worse = {}, [], False
    print("|", " | ".join(_HEADINGS), "|")
    print("|", " | ".join("---" for _ in _HEADINGS), "|")
    for name in options.programs or PROGRAMS:
        subject = PROGRAMS[name]
        if (why := subject.why_not()) is not None:
            told.append(f"{name} is left out: {why}")
            continue
        rounds = list(measure(subject, options.pairs))
        without, under, found = *_deaths(rounds), differences(rounds)
        worse = worse or under > without or bool(found)
        told += [f"{name}: {one}" for one in found[:_MOST_TOLD]]
        if len(found) > _MOST_TOLD:
            told.append(f"{name}: and {len(found) - _MOST_TOLD} more such, see --json")
        cells = [name, "no" if found else "yes", str(without), str(under), *_cells(rounds)]
        print("|", " | ".join(cells), "|", flush=True)
        kept[name] = [{way: run._asdict() for way, run in one.items()} for one in rounds]
    told += filter(None, [why_not()])
    print("\n" + "\n".join(f"- {one}" for one in told) if told else "")
    if options.json is not None:
        options.json.write_text(json.dumps(kept))
    return int(worse)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="foreign", description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=", ".join(PROGRAMS))
    parser.add_argument("--pairs", type=int, default=_PAIRS)
    parser.add_argument(
        "--quick", dest="pairs", action="store_const", const=_QUICK, help=f"{_QUICK} pairs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures and lines of runs")
    options = parser.parse_args()
    if options.pairs < 1:
        parser.error(f"--pairs {options.pairs} is too few: give 1 or more")
    for name in options.programs:
        if name not in PROGRAMS:
            parser.error(f"program {name!r} is not known: use {', '.join(PROGRAMS)}")
    return options


def _deaths(rounds: Sequence[dict[str, Run]]) -> tuple[int, int]:
    """The most of any run without, and of any with."""
    ways = (["without", "again"], ["with"])
    without, under = (max(one[way].deaths or 0 for one in rounds for way in of) for of in ways)
    return without, under


def _cells(rounds: Sequence[dict[str, Run]]) -> list[str]:
    without = [one["without"] for one in rounds]
    added = median(one["with"].start - one["without"].start for one in rounds)
    lines = [len(one["with"].lines) for one in rounds]
    return [
        f"{median(lines):.0f} ({max(lines)})",
        _told(ratio(rounds, "with", lambda run: run.processor)),
        _told(ratio(rounds, "again", lambda run: run.processor)),
        _told(ratio(rounds, "with", lambda run: run.work)),
        _told(ratio(rounds, "again", lambda run: run.work)),
        f"{median(run.work for run in without):.2f} s",
        f"{median(run.start for run in without) * 1e3:.0f} ms",
        f"{added * 1e3:.0f} ms",
    ]


def _told(found: Ratio | None) -> str:
    if found is None:
        return "-"
    return f"{found.median:.3f} ({found.low:.3f} to {found.high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
