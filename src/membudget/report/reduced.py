"""Fewer points that look the same: the lowest and the highest of each stretch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def envelope(t: Sequence[float], y: Sequence[float | None], most: int) -> list[int]:
    """Places to keep: of each of `most` / 2 stretches of time, its lowest and its highest value.

    The first and the last are kept. Missing values go. Where there are few enough, all are kept.

    Args:
        t: When, rising.
        y: The values; None is missing.
        most: How many places there may be, about.
    """
    known = [place for place, value in enumerate(y) if value is not None]
    if len(known) <= max(4, most):
        return known
    begin, width = t[known[0]], (t[known[-1]] - t[known[0]]) / max(1, most // 2)
    kept = {known[0], known[-1]}
    stretch: list[int] = []
    number = 0

    def value(place: int) -> float:
        held = y[place]
        return held if held is not None else 0.0

    for place in known:
        at = int((t[place] - begin) / width) if width > 0 else 0
        if at != number and stretch:
            kept |= {min(stretch, key=value), max(stretch, key=value)}
            stretch = []
        number = at
        stretch.append(place)
    kept |= {min(stretch, key=value), max(stretch, key=value)}
    return sorted(kept)
