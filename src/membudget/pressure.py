"""What a reading means: pure judging with hysteresis, no clock, no I/O.

Each level above NORMAL is a gate of its own; the level is the highest open one. A gate opens when
its mark is reached (by share, by bytes, by a part's own mark or by the seconds left), for EMERGENCY
at once, else on two readings in a row. It closes after three readings and a second at or below the
mark beneath, or after a minute below its own: no state may depend on history for ever. One that
only the seconds left have opened closes when nothing is foretold any more.

Seconds left count growth that nobody governs, from the mark beneath on, once it has been watched
for a twentieth of the time foretold (ADR 8). What a day of samples foretells is told where the
readings show no trend or a slower one, and opens no gate (ADR 19).
"""

from __future__ import annotations

from membudget.core import PART_MARKS, Level, Marks, Pressure, in_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from membudget.core import Reading

    _Gate: TypeAlias = tuple[bool, int, int, float, float, bool]
    """One level's hysteresis: whether it holds, readings in a row at or above the mark, readings in
    a row at or below the mark beneath, when the first of those was taken, when the mark was last
    reached, and whether it was only ever reached by the seconds left."""

    _Point: TypeAlias = tuple[float, int, int, str]

WINDOW = 10  # Readings over which growth is taken.
HORIZONS = {Level.WARNING: 10.0, Level.CRITICAL: 3.0, Level.EMERGENCY: 1.0}  # Seconds left.
WATCHED_SHARE = 1 / 20
CALM_READINGS = 3
CALM_SECONDS = 1.0
RELEASE_SECONDS = 60.0
PART_RELEASE = 0.9  # Share of a part's own mark up to which it is calm: there is none beneath.
FORETOLD_LEAST = 60.0  # Seconds: nearer than that, the samples' word is minutes too old.
_TIME = "time"
_SHUTDOWN_READINGS = 2
_WILD_SHARE = 0.5
_SHUT = (False, 0, 0, 0.0, float("-inf"), False)
_ALL_SHUT: tuple[_Gate, ...] = (_SHUT, _SHUT, _SHUT)
_NORMAL = Level.NORMAL


class Judgement:
    """The pressure now, and what must be known to judge the next reading."""

    __slots__ = ("gates", "pressure", "shutdown_hits", "window")

    def __init__(
        self, pressure: Pressure, gates: tuple[_Gate, ...], hits: int, window: tuple[_Point, ...]
    ) -> None:
        self.pressure: Pressure = pressure
        self.gates: tuple[_Gate, ...] = gates  # The three, WARNING first.
        self.shutdown_hits: int = hits  # Readings in a row at or above the shutdown mark.
        # When the last were taken, oldest first, and what they told.
        self.window: tuple[_Point, ...] = window


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
    passing: int = 0,
) -> Judgement:
    """Judge a reading in the light of those before it. Cost: 2 µs, and 2 µs more above NORMAL.

    Raising `used` never lowers the level (property-tested).

    Args:
        reading: What was just read.
        marks: Where the levels begin.
        before: The judgement of the reading before, or None at the first.
        taken_in: Bytes that holders took in so far, and that admission granted: not foretold.
        window: Readings over which growth is taken, at least 2.
        foretold: When a day of samples meets the limit, on the readings' clock, or None.
        floor: Bytes that shrinking was seen not to lower, or 0; told, and raises nothing.
        lines: The marks in bytes for the reading's limit, where they are known already.
        passing: Bytes of a load that fits and will be gone: they count from EMERGENCY's mark on.
    """
    at, used, limit, source = reading.at, reading.used, reading.limit, reading.source
    lines = lines or marks.resolved(limit)
    point: _Point = (at, used, taken_in, source)
    gates, hits, cause = _ALL_SHUT, 0, ""
    seen: tuple[_Point, ...] = (point,)
    if before is not None:
        gates, hits = before.gates, before.shutdown_hits
        seen = (*before.window[1 - window :], point)
    # Figures of two sources do not form a trend; two near their limits may take turns.
    same = [one for one in seen if one[3] == source]
    growth, wild = _growth(same)
    left, judged = None, used - passing if used < lines[3] else used
    if limit is not None and wild > 0 and judged > lines[0]:
        left = max(0.0, (limit - used) / wild)
    level = _NORMAL
    if gates is not _ALL_SHUT or judged >= lines[1] or left is not None or marks.parts:
        watched = at - same[0][0]
        gates, level, cause = _step_gates(
            reading, judged, marks, lines, gates, left=left, watched=watched
        )
        if level and not cause and before is not None:
            cause = before.pressure.cause
    hits = hits + 1 if used >= lines[4] else 0
    if foretold is not None and limit is not None and foretold - at >= FORETOLD_LEAST:
        left = foretold - at if left is None else min(left, foretold - at)
    elsewhere = reading.elsewhere if level else 0
    pressure = Pressure(
        level=level,
        used=used,
        limit=limit,
        excess=_excess(reading, judged, marks, lines[0]),
        growth=growth,
        seconds_left=left,
        cause=cause,
        shutdown=hits >= _SHUTDOWN_READINGS,
        source=source,
        floor=floor,
        elsewhere=elsewhere if elsewhere > used / 2 else 0,
    )
    return Judgement(pressure, gates, hits, seen)


def _growth(seen: list[_Point]) -> tuple[float, float]:
    """Bytes a second that use grew, and the part of it that nobody governs.

    The smaller slope from the first and the middle reading: a burst that is over foretells nothing.
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
    # Below 0 where a load has ended: what stands still grows no more for that.
    wild = growth - max(0.0, governed)
    # Sizes are estimates: a rest below half of the growth is their error, not a trend.
    return growth, wild if wild >= _WILD_SHARE * growth else 0.0


def _step_gates(
    reading: Reading,
    used: int,
    marks: Marks,
    lines: tuple[float, ...],
    before: tuple[_Gate, ...],
    *,
    left: float | None,
    watched: float,
) -> tuple[tuple[_Gate, ...], Level, str]:
    """The three gates after this reading, the level, and why the highest mark is reached."""
    gates, highest, cause = [], _NORMAL, ""
    for (level, horizon), was in zip(HORIZONS.items(), before, strict=True):
        beneath, reason = lines[level - 1], ""
        if used >= lines[level]:
            reason = PART_MARKS[level - 1]
        elif marks.parts and (part := _part_reaches(reading, marks, level, 1.0)):
            reason = part
        elif left is not None and used >= beneath:
            # What is told does not end because a shorter window is looked at more often.
            is_near = left <= horizon and (was[0] or watched >= horizon * WATCHED_SHARE)
            reason = _TIME if is_near else ""
        if reason:
            gate = _raised(was, level, reading.at, reason)
            cause = reason
        elif was[0]:
            is_calm = used <= beneath and not _part_reaches(reading, marks, level, PART_RELEASE)
            gate = _lowered(was, reading.at, is_calm=is_calm)
        else:
            gate = _SHUT
        highest = level if gate[0] else highest
        gates.append(gate)
    stepped = tuple(gates)
    return (_ALL_SHUT if stepped == _ALL_SHUT else stepped), highest, cause


def _part_reaches(reading: Reading, marks: Marks, level: Level, share: float) -> str:
    """The part that is at this share of its own mark, with the mark's name; or an empty text."""
    name = PART_MARKS[level - 1]
    for part, own in marks.parts.items():
        mark, size = own.get(name), reading.parts.get(part)
        if mark is not None and size and size >= in_bytes(mark, reading.limit) * share:
            return f"{part} {name}"
    return ""


def _raised(gate: _Gate, level: Level, at: float, reason: str) -> _Gate:
    is_open, hits, _calm, _since, _reached, is_foretold = gate
    # What is only foretold is never believed on one reading.
    needed = 1 if level is Level.EMERGENCY and reason != _TIME else 2
    is_foretold = reason == _TIME and (is_foretold or not is_open)
    return is_open or hits + 1 >= needed, hits + 1, 0, 0.0, at, is_foretold


def _lowered(gate: _Gate, at: float, *, is_calm: bool) -> _Gate:
    _is_open, _hits, calm, since, reached, is_foretold = gate
    is_calm = is_calm or is_foretold
    since = since if calm and is_calm else at
    calm = calm + 1 if is_calm else 0
    rested = calm >= CALM_READINGS and at - since >= CALM_SECONDS
    if rested or at - reached >= RELEASE_SECONDS:
        return _SHUT
    return True, 0, calm, since, reached, is_foretold


def _excess(reading: Reading, used: int, marks: Marks, low: float) -> int:
    """Bytes above the low mark, or above where a part is calm."""
    excess = used - low
    for part, own in marks.parts.items():
        size = reading.parts.get(part)
        if size is not None and own:
            first = min(in_bytes(mark, reading.limit) for mark in own.values())
            if size >= first:
                excess = max(excess, size - first * PART_RELEASE)
    return int(excess) if excess > 0 else 0
