"""Histories of memory for the leak tests: samples every five minutes, from plain functions."""

import csv
import gzip
from collections.abc import Callable
from math import sin
from pathlib import Path

from membudget.core import PartSample, Sample
from membudget.leaks import RECORDED, Rules, State, Verdict
from membudget.leaks.series import Series
from membudget.leaks.verdict import judge

MIB = 2**20
EVERY = 1 / 12
UNASKED = RECORDED
"""Rules for histories that nobody can collect."""


def jitter(step: int) -> float:
    """A small noise that repeats in every run: -1 to 1."""
    return sin(step * 12.9898) * sin(step * 78.233)


def series(
    held: Callable[[float], float],
    hours: float = 12.0,
    *,
    noise: float = 0.0,
    every: float = EVERY,
    channel: bool = True,
    **columns: object,
) -> Series:
    """A series of so many MiB at each hour; the heap channels follow unless told otherwise."""
    times = [step * every for step in range(round(hours / every) + 1)]
    rss = [held(hour) + noise * jitter(step) for step, hour in enumerate(times)]
    given: dict[str, object] = dict(columns)
    if channel:
        given.setdefault("malloc", [0.5 * value for value in rss])
        given.setdefault("blocks", [0.4 * MIB / 64 * value for value in rss])
    return Series(hours=times, rss=rss, **given)  # type: ignore[arg-type]  # any of its columns


def recorded(path: Path, **bytes_per_item: float) -> Series:
    """A recorded trace in samples of five minutes; what parts with a bound hold is explained."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    rows = rows[:: max(1, round(300 / (rows[1]["t_s"] - rows[0]["t_s"])))]
    parts = {f"c_{name}": size / MIB for name, size in bytes_per_item.items()}
    return Series(
        hours=[row["t_s"] / 3600 for row in rows],
        rss=[row["rss_kb"] / 1024 for row in rows],
        malloc=[row["malloc_used_kb"] / 1024 for row in rows],
        blocks=[row["py_blocks"] for row in rows],
        requests=[row["requests"] for row in rows],
        explained=[sum(row[name] * size for name, size in parts.items()) for row in rows],
    )


def cut(whole: Series, until: float) -> Series:
    """A series as it was at an earlier hour."""
    count = sum(hour <= until + 1e-9 for hour in whole.hours)
    heap = ("malloc", "asked", "blocks", "gc_efficiency")
    columns = (*heap, "requests", "explained", "file", "children")
    own = {name: getattr(whole, name) for name in columns}
    shorter = {name: None if values is None else values[:count] for name, values in own.items()}
    return whole.replace(hours=whole.hours[:count], rss=whole.rss[:count], **shorter)


def followed(
    whole: Series, rules: Rules = UNASKED, before: State | None = None, since: float = 1.0
) -> tuple[list[Verdict], State]:
    """Judge a series every half hour; returns all verdicts and the last state."""
    verdicts, state, hour = [], before, since
    while hour <= whole.hours[-1] + 1e-9:
        verdict, state = judge(cut(whole, hour), rules, state)
        verdicts.append(verdict)
        hour += 0.5
    assert state is not None
    return verdicts, state


def alarms(whole: Series) -> list[float]:
    """The hours of the looks, half an hour apart, at which it is called a leak."""
    return [one.at / 3600 for one in followed(whole)[0] if one.is_leak]


def last(whole: Series, rules: Rules = UNASKED, since: float = 1.0) -> Verdict:
    """The verdict at the end of a series that was judged every half hour since an hour."""
    return followed(whole, rules, since=since)[0][-1]


def sample(
    hour: float,
    mib: float,
    *,
    parts: tuple[PartSample, ...] = (),
    pid: int = 7,
    began: float = 1000.0,
    **fields: object,
) -> Sample:
    """A sample of a process that holds so many MiB, some hours after it began."""
    return Sample(
        at=hour * 3600,
        wall=began + hour * 3600,
        used=round(mib * MIB),
        rss=round(mib * MIB),
        parts=parts,
        pid=pid,
        began=began,
        **fields,  # type: ignore[arg-type]  # any of its fields
    )
