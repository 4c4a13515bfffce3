"""The rows as tables for people, and where ours is not first."""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING

from cells import Row
from contestants import ENTRIES, OURS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NEAR = 0.05
"""Points within which two ratios are told alike, for they are printed with one digit."""


def table(rows: Sequence[Row]) -> str:
    """A row a trace and size, a column a contestant, the best in bold; at the end their means."""
    names = list(dict.fromkeys(name for row in rows for name in row.hits))
    is_by_entries = rows[0].mode == ENTRIES
    last = ["optimum"] if is_by_entries else []
    lines = [_line(["trace", "size", "bound", *names, *last])]
    lines.append(_line(["---", *["--:"] * (len(names) + len(last) + 2)]))
    for row in rows:
        best = max(row.hits.values(), default=0.0)
        told = [_told(row, name, best) for name in names]
        top = [] if row.optimum is None else [f"{row.optimum:.1f}"]
        lines.append(_line([row.trace, f"{row.share:.1%}", _bound(row), *told, *top]))
    whole = _mean_of(rows, names)
    best = max(whole.hits.values(), default=0.0)
    top = [] if whole.optimum is None else [f"{whole.optimum:.1f}"]
    lines.append(_line(["mean", "", "", *[_told(whole, name, best) for name in names], *top]))
    return "\n".join(lines)


def verdict(rows: Sequence[Row]) -> str:
    """Where a peer has more hits than ours as it comes, in words."""
    behind = list(_behind(rows))
    whole = list(_behind([_mean_of(rows, list(dict.fromkeys(n for r in rows for n in r.hits)))]))
    count = len([row for row in rows if OURS in row.hits])
    lines = [f"{OURS} is first, or within {_NEAR:g} of it, in {count - len(behind)} of {count}."]
    if whole:
        lines.append(f"It is not first in the mean: {whole[0]}.")
    if behind:
        lines += ["It is not first in:", *[f"- {one}" for one in behind]]
    return "\n".join(lines)


def _behind(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        peers = {name: hits for name, hits in row.hits.items() if not name.startswith(OURS)}
        if OURS not in row.hits or not peers:
            continue
        first = max(peers, key=lambda name: peers[name])
        if peers[first] > row.hits[OURS] + _NEAR:
            where = f"{row.trace} {row.share:.1%}" if row.share else row.trace
            yield f"{where}: {first} {peers[first]:.2f} against {row.hits[OURS]:.2f}"


def _mean_of(rows: Sequence[Row], names: Sequence[str]) -> Row:
    """Of the contestants that have a figure in every row."""
    whole = [name for name in names if all(name in row.hits for row in rows)]
    hits = {name: mean(row.hits[name] for row in rows) for name in whole}
    is_by_entries = rows[0].mode == ENTRIES
    weighed = [] if is_by_entries else whole
    bytes_hit = {name: mean(row.bytes_hit[name] for row in rows) for name in weighed}
    optimum = mean(row.optimum or 0.0 for row in rows) if is_by_entries else None
    return Row("mean", rows[0].mode, 0.0, 0, 0, hits, bytes_hit, optimum, {}, {})


def _told(row: Row, name: str, best: float) -> str:
    if name not in row.hits:
        return "-"
    told = f"{row.hits[name]:.1f}"
    if row.hits[name] >= best - _NEAR:
        told = f"**{told}**"
    return f"{told} / {row.bytes_hit[name]:.1f}" if name in row.bytes_hit else told


def _bound(row: Row) -> str:
    return f"{row.bound:,}" if row.mode == ENTRIES else f"{row.bound / 1e6:.1f} MB"


def _line(columns: Sequence[str]) -> str:
    return f"| {' | '.join(columns)} |"
