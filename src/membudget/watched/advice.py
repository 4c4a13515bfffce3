"""What use says about a container's bound: how full, how old, how much of it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.units import human_seconds

if TYPE_CHECKING:
    from membudget.watched.history import History
    from membudget.watched.observed import Reads

HEADROOM = 1.5
"""Of what it held for 95 % of the time, or of what was read: room for a busier day."""

FULL = 0.9
"""Share of the limit from which a container counts as full."""

FEWEST_READS = 100
"""Reads before they say anything."""

_RARELY = 0.05
"""Share of lookups that found something, below which a longer one would not be read either."""


class Advice(Record):
    """What was seen of a container, and the bound that this suggests.

    Attributes:
        name: What it is called.
        length: Items now.
        limit: Its bound in items, or None.
        peak: The most it ever held.
        mostly: What it did not exceed for 95 % of the last day.
        fill: `mostly` as a share of the limit, or None without one.
        growth: Items a second over the last day; below 0 it shrank.
        oldest: Seconds since which the oldest item is there, at most, or None where lengths do not
            tell.
        hit_rate: Share of lookups that found something, where they are counted; else None.
        depth: How many items back from the newest was read, where that is counted; else None.
        enough: The bound it would have needed, or None while nothing was seen.
        text: All that in words, with what to do.
    """

    name: str
    length: int
    limit: int | None
    peak: int
    mostly: int
    fill: float | None
    growth: float
    oldest: float | None
    hit_rate: float | None
    depth: int | None
    enough: int | None
    text: str


def advise(
    name: str,
    container: Any,
    history: History,
    now: float,
    *,
    length: int,
    limit: int | None,
    is_endless: bool,
    reads: Reads | None,
) -> Advice:
    """The advice for one container, from what was seen of it so far. Pure but for its `stats()`."""
    mostly, depth = history.mostly(), None
    hit_rate = _hit_rate(container)
    if reads is not None and reads.hits + reads.misses >= FEWEST_READS:
        hit_rate, depth = reads.hit_rate(), reads.depth
    enough = enough_for(mostly, depth)
    found = Advice(
        name=name,
        length=length,
        limit=limit,
        peak=history.peak,
        mostly=mostly,
        fill=mostly / limit if limit else None,
        growth=history.growth(),
        oldest=history.oldest(now),
        hit_rate=hit_rate,
        depth=depth,
        enough=enough,
        text="",
    )
    return found.replace(text=_in_words(found, is_endless=is_endless))


def enough_for(mostly: int, depth: int | None = None) -> int | None:
    """The bound for what was mostly held, or for what was read of it where that is known."""
    needed = mostly if depth is None else min(mostly, depth)
    return rounded_up(needed * HEADROOM) if needed else None


def rounded_up(number: float) -> int:
    """The next number with two digits before the zeros: 1,203 becomes 1,300."""
    whole = max(1, -int(-number // 1))
    step: int = 10 ** max(0, len(str(whole)) - 2)
    return -(-whole // step) * step


def is_worth_more(mostly: int, limit: int, hit_rate: float | None) -> bool:
    """Whether a full container should be longer: it is full, and what it holds is not unread."""
    return mostly >= FULL * limit and (hit_rate is None or hit_rate >= _RARELY)


def _hit_rate(container: Any) -> float | None:
    """What a container that counts its own lookups says of them."""
    ask = getattr(container, "stats", None)
    try:
        figures = ask() if callable(ask) else None
        hits, misses = getattr(figures, "hits", None), getattr(figures, "misses", None)
    except Exception:  # noqa: BLE001  # the program's object, which may answer as it likes
        return None
    if not isinstance(hits, int) or not isinstance(misses, int) or hits + misses < FEWEST_READS:
        return None
    return hits / (hits + misses)


def _in_words(advice: Advice, *, is_endless: bool) -> str:
    parts = [f"{advice.name}: {advice.length:,} items"]
    if advice.limit is not None and advice.fill is not None:
        parts.append(f"mostly up to {advice.mostly:,} of {advice.limit:,} ({advice.fill:.0%})")
    else:
        parts.append(f"mostly up to {advice.mostly:,}")
    parts.append(f"{advice.peak:,} at most")
    if advice.growth > 0:
        parts.append(f"growing by {advice.growth * 3600:,.0f} an hour")
    if advice.oldest is not None:
        parts.append(f"none older than {human_seconds(advice.oldest)}")
    if advice.hit_rate is not None:
        parts.append(f"{advice.hit_rate:.0%} of lookups found something")
    if advice.depth is not None:
        parts.append(f"the last {advice.depth:,} were read")
    return f"{', '.join(parts)}; {_to_do(advice, is_endless=is_endless)}"


def _to_do(advice: Advice, *, is_endless: bool) -> str:
    if advice.enough is None:
        return "nothing seen yet to advise from"
    if is_endless:
        return (
            f"a deque's maxlen is fixed when it is made: make it with maxlen={advice.enough}, or "
            "watch it with max_items and trim=True"
        )
    if advice.limit is None:
        return f"max_items={advice.enough} would do"
    if is_worth_more(advice.mostly, advice.limit, advice.hit_rate) and advice.depth is None:
        return f"it is full: give it {advice.enough:,}, if what went would have been used"
    if advice.enough < advice.limit / 2:
        return f"{advice.enough:,} would do"
    return "the limit fits"
