"""The outcomes as tables for people."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cells import Outcome

LEAST, MOST = 0.95, 1.05
_WHOLE = 0.999


def keeps(outcomes: Sequence[Outcome]) -> bool:
    """Whether a budget was kept: neither more memory than it says, nor much less."""
    return _growth(outcomes) is not None and LEAST <= (_growth(outcomes) or 0.0) <= MOST


def table(true: Mapping[str, float], cells: Mapping[tuple[str, str], Sequence[Outcome]]) -> str:
    """Growth ÷ budget with microseconds a set, a row a kind and a column a contestant."""
    names = list(dict.fromkeys(contestant for contestant, _ in cells))
    head = ["kind", "true bytes", *names, f"membudget {LEAST:g}-{MOST:g}"]
    lines = [_line(head), _line(["---", *["--:"] * (len(names) + 1), "---"])]
    for kind, size in true.items():
        found = [_told(cells[name, kind]) for name in names if (name, kind) in cells]
        ours = cells.get(("membudget", kind))
        verdict = "-" if ours is None else "met" if keeps(ours) else "missed"
        lines.append(_line([kind, f"{size:,.0f}", *found, verdict]))
    errors = {(one.contestant, one.kind, one.error) for some in cells.values() for one in some}
    told = [f"{name}, {kind}: {error}" for name, kind, error in sorted(errors) if error]
    return "\n".join([*lines, "", *told]).rstrip()


def _growth(outcomes: Sequence[Outcome]) -> float | None:
    found = [one.growth for one in outcomes if one.growth is not None]
    return median(found) if len(found) == len(outcomes) else None


def _told(outcomes: Sequence[Outcome]) -> str:
    growth = _growth(outcomes)
    if growth is None:
        return "failed"
    told = f"{growth:.2f} ({median(one.us for one in outcomes):.3g} µs"
    told += f", {median(one.seconds for one in outcomes):.3g} s"
    done = min(one.done for one in outcomes)
    return f"{told}, cut at {done:.0%})" if done < _WHOLE else f"{told})"


def _line(columns: Sequence[str]) -> str:
    return f"| {' | '.join(columns)} |"
