"""What a reading means: pure judging with hysteresis, no clock, no I/O.

Each level above NORMAL is a gate of its own. A gate opens when its mark is reached (by share, by
bytes, by a part's own mark or by the seconds left), for EMERGENCY at once, for the others on two
readings in a row, so that a single odd figure raises nothing. It closes after three readings and
a second at or below the mark beneath, or after a minute below its own mark: no state may depend
on history for ever. One that only the seconds left have opened closes when nothing is foretold any
more: growth that has ended is no pressure. The level is the highest open gate.

Seconds left are judged on the growth that nobody governs, what holders took in and what admission
granted subtracted. A cache that fills at 1 GB/s stops at the meter's mark by itself; calling that
an emergency would cry wolf at every warm start. A trend counts only from the mark beneath on (time
brings a level forward by one mark, no more: a burst of 100 ms at 72 % is no emergency, and emptying
caches at 250 MB/s would delay its end by less), and only once it has been watched for a twentieth
of the time it foretells.

What a day of samples foretells (`foretold`) is told as the seconds left where the readings show no
trend, or a slower one: a leak of 12 MB/h moves no ten readings. It opens no gate. It is known to
the hour, and a mark's share is met long before the limit; the gates go by seconds.
"""

from __future__ import annotations

from membudget.core import Level, Marks, Pressure, Record, in_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from membudget.core import Reading

WINDOW = 10
"""Readings over which growth is taken."""

HORIZONS = {Level.WARNING: 10.0, Level.CRITICAL: 3.0, Level.EMERGENCY: 1.0}
"""Seconds left at which each level is entered."""

WATCHED_SHARE = 1 / 20
CALM_READINGS = 3
CALM_SECONDS = 1.0
RELEASE_SECONDS = 60.0
PART_RELEASE = 0.9
"""Share of a part's own mark at or below which it is calm; parts have no mark beneath."""

FORETOLD_LEAST = 60.0
"""Seconds to the limit below which the samples' word, minutes old, is no more worth than none."""

_TIME = "time"
_SHUTDOWN_READINGS = 2
_LEVELS = (Level.WARNING, Level.CRITICAL, Level.EMERGENCY)
_DOWNWARD = ((Level.EMERGENCY, 2), (Level.CRITICAL, 1), (Level.WARNING, 0))
_WILD_SHARE = 0.5


_Point: TypeAlias = tuple[float, int, int, str]


class Gate(Record):
    """One level's hysteresis.

    Attributes:
        is_open: Whether the level holds.
        hits: Readings in a row at or above the mark.
        calm: Readings in a row at or below the mark beneath.
        calm_since: When the first of those was taken.
        reached: When the mark was last reached.
        is_foretold: Whether it was only ever reached by the seconds left.
    """

    is_open: bool = False
    hits: int = 0
    calm: int = 0
    calm_since: float = 0.0
    reached: float = float("-inf")
    is_foretold: bool = False


_CLOSED = (Gate(), Gate(), Gate())


class _Trend(Record):
    """Seconds left at the growth that nobody governs, and seconds this has been watched."""

    left: float | None
    watched: float


class Judgement(Record):
    """The pressure now, and what must be known to judge the next reading.

    Attributes:
        pressure: What the governor acts on.
        gates: The three gates, WARNING first.
        shutdown_hits: Readings in a row at or above the shutdown mark.
        window: (at, used, taken in, source) of the last readings, oldest first.
    """

    pressure: Pressure
    gates: tuple[Gate, Gate, Gate] = _CLOSED
    shutdown_hits: int = 0
    window: tuple[_Point, ...] = ()


def judge(
    reading: Reading,
    marks: Marks,
    before: Judgement | None = None,
    *,
    taken_in: int = 0,
    window: int = WINDOW,
    foretold: float | None = None,
    floor: int = 0,
    lines: tuple[float, ...] = (),
) -> Judgement:
    """Judge a reading in the light of those before it.

    Args:
        reading: What was just read.
        marks: Where the levels begin.
        before: The judgement of the reading before, or None at the first.
        taken_in: Bytes that holders under the meter took in so far, and that admission granted;
            what they explain of the growth is theirs to stop, and not foretold.
        window: Readings over which growth is taken, at least 2.
        foretold: When the limit will be met as a day of samples goes on, on the readings' clock,
            or None.
        floor: Bytes that shrinking was seen not to lower, or 0; told, and raises nothing.
        lines: The marks in bytes for the reading's limit, where they are known already.

    Note:
        Cost: about 5 µs. Raising `used` never lowers the level (property-tested).
    """
    seen = _extended(reading, before, taken_in, window)
    # Figures of two sources do not form a trend; two near their limits may take turns.
    same = [point for point in seen if point[3] == reading.source]
    growth, wild = _growth(same)
    lines = lines or marks.resolved(reading.limit)
    left = _seconds_left(reading.used, reading.limit, wild) if reading.used > lines[0] else None
    gates, cause = before.gates if before is not None else _CLOSED, ""
    if gates is not _CLOSED or reading.used >= lines[1] or left is not None or marks.parts:
        trend = _Trend(left=left, watched=reading.at - same[0][0])
        gates, cause = _step_gates(reading, marks, lines, trend, gates)
    hits = (
        (before.shutdown_hits if before is not None else 0) + 1 if reading.used >= lines[4] else 0
    )
    level = next((lv for lv, gate in _DOWNWARD if gates[gate].is_open), Level.NORMAL)
    if level and not cause and before is not None:
        cause = before.pressure.cause
    elsewhere = reading.elsewhere if level else 0
    pressure = Pressure(
        level=level,
        used=reading.used,
        limit=reading.limit,
        excess=_excess(reading, marks, lines[0]),
        growth=growth,
        seconds_left=_nearest(left, foretold, reading),
        cause=cause,
        shutdown=hits >= _SHUTDOWN_READINGS,
        source=reading.source,
        floor=floor,
        elsewhere=elsewhere if elsewhere > reading.used / 2 else 0,
    )
    return Judgement(pressure=pressure, gates=gates, shutdown_hits=hits, window=seen)


def _step_gates(
    reading: Reading,
    marks: Marks,
    lines: tuple[float, ...],
    trend: _Trend,
    before: tuple[Gate, Gate, Gate],
) -> tuple[tuple[Gate, Gate, Gate], str]:
    """The three gates after this reading, and why the highest mark reached is reached."""
    gates, cause = [], ""
    for level, gate in zip(_LEVELS, before, strict=True):
        reason = _reason(reading, marks, level, lines, trend)
        is_calm = reading.used <= lines[level - 1] and not _part_reaches(
            reading, marks, level, PART_RELEASE
        )
        gates.append(_stepped(gate, level, reading.at, reason=reason, is_calm=is_calm))
        cause = reason or cause
    stepped = (gates[0], gates[1], gates[2])
    return (_CLOSED if stepped == _CLOSED else stepped), cause


def _extended(
    reading: Reading, before: Judgement | None, taken_in: int, window: int
) -> tuple[_Point, ...]:
    point = (reading.at, reading.used, taken_in, reading.source)
    return (point,) if before is None else (*before.window[1 - window :], point)


def _growth(seen: list[_Point]) -> tuple[float, float]:
    """Bytes a second that use grew, and the part of it that nobody governs.

    The smaller of the slopes from the first and from the middle reading to the last: a burst that
    is over foretells nothing.
    """
    at, used, held, _ = seen[-1]
    slopes = []
    for then_at, then_used, then_held, _ in (seen[0], seen[len(seen) // 2]):
        apart = at - then_at
        if apart > 0:
            slopes.append(((used - then_used) / apart, (held - then_held) / apart))
    if not slopes:
        return 0.0, 0.0
    growth, governed = min(slopes)
    wild = growth - governed
    # Sizes are estimates: a rest below half of the growth is their error, not a trend.
    return growth, wild if wild >= _WILD_SHARE * growth else 0.0


def _seconds_left(used: int, limit: int | None, growth: float) -> float | None:
    if limit is None or growth <= 0:
        return None
    return max(0.0, (limit - used) / growth)


def _nearest(left: float | None, foretold: float | None, reading: Reading) -> float | None:
    """The seconds left as the readings have it, or the samples where theirs are fewer."""
    if foretold is None or reading.limit is None or foretold - reading.at < FORETOLD_LEAST:
        return left
    return foretold - reading.at if left is None else min(left, foretold - reading.at)


def _reason(
    reading: Reading, marks: Marks, level: Level, lines: tuple[float, ...], trend: _Trend
) -> str:
    """Why this level's mark is reached, or an empty text."""
    if reading.used >= lines[level]:
        return level.name.lower()
    if marks.parts and (part := _part_reaches(reading, marks, level, 1.0)):
        return part
    horizon = HORIZONS[level]
    if (
        reading.used < lines[level - 1]
        or trend.left is None
        or trend.left > horizon
        or trend.watched < horizon * WATCHED_SHARE
    ):
        return ""
    return _TIME


def _part_reaches(reading: Reading, marks: Marks, level: Level, share: float) -> str:
    name = level.name.lower()
    for part, own in marks.parts.items():
        mark = own.get(name)
        size = reading.parts.get(part)
        if mark is None or size is None:
            continue
        if size > 0 and size >= in_bytes(mark, reading.limit) * share:
            return f"{part} {name}"
    return ""


def _stepped(gate: Gate, level: Level, at: float, *, reason: str, is_calm: bool) -> Gate:
    if reason:
        hits = gate.hits + 1
        # What is only foretold is never believed on one reading.
        needed = 1 if level is Level.EMERGENCY and reason != _TIME else 2
        is_open = gate.is_open or hits >= needed
        is_foretold = reason == _TIME and (gate.is_foretold or not gate.is_open)
        return Gate(is_open=is_open, hits=hits, reached=at, is_foretold=is_foretold)
    is_calm = is_calm or gate.is_foretold
    calm = gate.calm + 1 if is_calm else 0
    since = gate.calm_since if gate.calm and is_calm else at
    rested = calm >= CALM_READINGS and at - since >= CALM_SECONDS
    if not gate.is_open or rested or at - gate.reached >= RELEASE_SECONDS:
        return _CLOSED[0]
    return gate.replace(hits=0, calm=calm, calm_since=since)


def _excess(reading: Reading, marks: Marks, low: float) -> int:
    excess = reading.used - low
    for part, own in marks.parts.items():
        size = reading.parts.get(part)
        if size is None or not own:
            continue
        first = min(in_bytes(mark, reading.limit) for mark in own.values())
        if size >= first:
            excess = max(excess, size - first * PART_RELEASE)
    return int(excess) if excess > 0 else 0
