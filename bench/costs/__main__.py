"""What a budget costs the program that it keeps, held against the aims, with psutil beside it.

    uv run --with fastapi --with uvicorn python bench/costs [--repetitions N] [--json]

Without FastAPI and uvicorn the rows about a host are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import calls
import resting
import starting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resting import Rest
    from starting import Start

_MIB = 1 << 20
_LEAST_REPETITIONS = 7
_REST_SECONDS = 10.0


class Row(NamedTuple):
    """One cost, all in the unit named.

    Attributes:
        aim: The most that it may be, or None where it is only shown.
        figures: One a repetition.
        beside: The same of psutil, where it does such a thing.
    """

    what: str
    unit: str
    aim: float | None
    figures: list[float]
    beside: list[float] | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the median keeps the aim."""
        return None if self.aim is None else median(self.figures) <= self.aim


def main() -> int:
    """Measure and print; exits 1 where an aim is missed."""
    options = _options()
    starts = starting.measure(options.repetitions)
    timings = calls.measure(options.repetitions)
    rests = resting.measure(options.repetitions, options.rest)
    rows = [*_start_rows(starts), *_call_rows(timings), *_rest_rows(rests)]
    if options.json:
        print(json.dumps([{**row._asdict(), "met": row.is_met} for row in rows]))
    else:
        print("| what | aim | figure | range | psutil beside it | met |")
        print("| --- | --: | --: | --: | --: | --- |")
        for row in rows:
            print(_line(row))
    return int(any(row.is_met is False for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="costs", description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=_LEAST_REPETITIONS)
    parser.add_argument("--rest", type=float, default=_REST_SECONDS, help="seconds each time")
    parser.add_argument("--json", action="store_true", help="every figure instead of a table")
    options = parser.parse_args()
    if options.repetitions < 1:
        parser.error(f"--repetitions {options.repetitions} is too few: give 1 or more")
    return options


def _start_rows(starts: dict[str, list[Start]]) -> Iterator[Row]:
    for place, most_ms, most_mib in (("alone", 25.0, 5.0), ("in a host", 10.0, 2.0)):
        ours, peers = starts.get(f"ours {place}"), starts.get(f"psutil {place}")
        if ours is None or peers is None:
            continue
        yield Row(
            f"start {place}",
            "ms",
            most_ms,
            [one.took * 1e3 for one in ours],
            [one.took * 1e3 for one in peers],
        )
        yield Row(
            f"resident memory of a start {place}",
            "MiB",
            most_mib,
            [one.settled / _MIB for one in ours],
            [one.settled / _MIB for one in peers],
        )
        yield Row(f"threads of a start {place}", "", 1, [float(one.threads) for one in ours])
    ours = [
        float(sum(name.startswith("membudget") for name in one.modules))
        for one in starts["ours alone"]
    ]
    yield Row("modules of ours", "", None, ours)
    unwanted = [
        float(len(set(starting.UNWANTED) & set(one.modules))) for one in starts["ours alone"]
    ]
    yield Row(f"imported of {', '.join(starting.UNWANTED)}", "", 0, unwanted)


def _call_rows(timings: dict[str, list[float]]) -> Iterator[Row]:
    micro = {name: [one * 1e6 for one in taken] for name, taken in timings.items()}
    yield Row("tick", "µs", 15.0, micro["tick"], micro["psutil reading"])
    yield Row("tick at WARNING", "µs", 15.0, micro["tick at WARNING"], micro["psutil reading"])
    yield Row("own probe", "µs", None, micro["own probe"], micro["psutil own"])
    if "cgroup probe" in micro:
        yield Row("cgroup probe", "µs", None, micro["cgroup probe"])
    yield Row("level check", "µs", 0.1, micro["level check"])
    yield Row("admit and release, as a with block", "µs", 1.0, micro["admit"])
    yield Row("reserve and give back alone", "µs", 1.0, micro["reserve"])


def _rest_rows(rests: dict[str, list[Rest]]) -> Iterator[Row]:
    share = {name: [100 * one.share for one in found] for name, found in rests.items()}
    yield Row("of a core at rest", "%", 0.1, share["ours at rest"], share["psutil each second"])
    fast = rests["ours at the fast tick"]
    where = f"{median([one.fraction for one in fast]):.0%} of the limit"
    rate = f"{median([one.wakes for one in fast]):.0f} wakes/s"
    yield Row(
        f"of a core at the fast tick ({where}, {rate})",
        "%",
        0.5,
        share["ours at the fast tick"],
        share["psutil each 10 ms"],
    )
    yield Row("of a core by sleeps of 10 ms alone", "%", None, share["only sleeps of 10 ms"])


def _line(row: Row) -> str:
    aim = f"≤ {row.aim:g} {row.unit}" if row.aim is not None else "-"
    figure = f"{median(row.figures):.3g} {row.unit}"
    spread = f"{min(row.figures):.3g} - {max(row.figures):.3g}"
    beside = f"{median(row.beside):.3g} {row.unit}" if row.beside is not None else "-"
    met = {True: "yes", False: "no", None: "-"}[row.is_met]
    return f"| {row.what} | {aim} | {figure} | {spread} | {beside} | {met} |"


if __name__ == "__main__":
    sys.exit(main())
