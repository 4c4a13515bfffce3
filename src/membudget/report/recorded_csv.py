"""CSV of figures: `t_s,rss_kb`, and if told malloc_used_kb, py_blocks, requests, c_NAME and more.

`t_s` counts seconds from the process's begin. `requests` is what was served since the row before.
`c_NAME` is how many items the part NAME holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import PartSample, Sample
from membudget.errors import ConfigError
from membudget.report.recorded import Lines, Recording, as_number, as_size, shown
from membudget.sampling.form import COLLECTING

if TYPE_CHECKING:
    from collections.abc import Sequence

PART = "c_"
_KIB = 1024
_KNOWN = ("t_s", "rss_kb", "malloc_used_kb", "py_blocks", "requests", "gc2_runs", "threads")


def read_csv(lines: Lines) -> Recording:
    """The samples of such a file.

    Raises:
        ConfigError: The header or a line does not fit.
    """
    names = [name.strip() for name in lines.rows[0].split(",")]
    _check_header(names, lines)
    samples: list[Sample] = []
    notes = _left_out(names)
    served = 0
    for number, row in enumerate(lines.rows[1:], 2):
        if not row.strip():
            continue
        try:
            sample = _sample(names, row.split(","), served)
        except ValueError as error:
            if lines.may_break_off(number):
                notes.append(lines.note)
                continue
            raise lines.wrong(number, f"{error}:", "mend the line, or leave it out") from None
        if not lines.is_in_time(number, sample.wall, samples[-1].wall if samples else None):
            notes.append(lines.note)
            continue
        served = sample.requests or 0
        samples.append(sample)
    if "gc2_runs" not in names or _has_collected(samples):
        samples = [one.replace(gc_thresholds=COLLECTING) for one in samples]
    return Recording(samples=tuple(samples), form="CSV", is_dated=False, notes=tuple(notes))


def _has_collected(samples: Sequence[Sample]) -> bool:
    """Whether full collections went on; without any over a recording, collection was off."""
    return samples[:1] != [] and samples[-1].gc_runs[2] > samples[0].gc_runs[2]


def _check_header(names: Sequence[str], lines: Lines) -> None:
    if names[:1] != ["t_s"] or "rss_kb" not in names:
        raise lines.wrong(1, f"header {shown(','.join(names))}", "must name t_s first, and rss_kb")
    for name in names:
        if not name or names.count(name) > 1:
            raise ConfigError(
                f"{lines.path}, line 1: column {name!r} must have a name of its own: rename it"
            )


def _left_out(names: Sequence[str]) -> list[str]:
    """What to say of columns that nobody here reads."""
    unread = [name for name in names if name not in _KNOWN and not name.startswith(PART)]
    return [f"Columns that are not read: {', '.join(unread)}."] if unread else []


def _sample(names: Sequence[str], cells: Sequence[str], served: int) -> Sample:
    if len(cells) != len(names):
        raise ValueError(f"{len(cells)} cells stand under {len(names)} columns")
    row = dict(zip(names, cells, strict=True))
    rss = as_size(row["rss_kb"], _KIB, "rss_kb")
    requests = row.get("requests")
    return Sample(
        at=(t := as_number(row["t_s"], "t_s")),
        wall=t,
        used=rss,
        rss=rss,
        blocks=as_size(row.get("py_blocks", 0), 1, "py_blocks"),
        malloc=as_size(row["malloc_used_kb"], _KIB, "malloc_used_kb")
        if "malloc_used_kb" in row
        else None,
        gc_runs=(0, 0, as_size(row.get("gc2_runs", 0), 1, "gc2_runs")),
        threads=as_size(row.get("threads", 1), 1, "threads"),
        requests=None if requests is None else served + as_size(requests, 1, "requests"),
        parts=tuple(
            PartSample(name=name[len(PART) :], kind="component", items=as_size(cell, 1, name))
            for name, cell in row.items()
            if name.startswith(PART)
        ),
    )
