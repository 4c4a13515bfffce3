"""Probes out of probes: a source is a function, and putting sources together is too."""

from __future__ import annotations

import time

from membudget.core import Reading
from membudget.errors import ConfigError, ProbeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Probe


def tightest(*probes: Probe) -> Probe:
    """A probe that reads all of these and tells the one nearest to its limit.

    A source without a limit only adds its parts; where none has one, the first is told, without
    a limit. The parts of all are united, those of the source told taking precedence. A source
    that fails is listed in the reading's errors; its last reading, if it had a limit, still counts,
    since a limit does not end because it cannot be read.

    Args:
        probes: At least one.

    Raises:
        ConfigError: There are none.
    """
    if not probes:
        raise ConfigError("tightest() has no probes to choose from: give it at least one")

    last: list[Reading | None] = [None] * len(probes)

    def read() -> Reading:
        readings: list[Reading] = []
        errors: list[ProbeError] = []
        is_any_new = False
        for place, probe in enumerate(probes):
            try:
                reading = last[place] = probe()
            except Exception as error:  # noqa: BLE001  # a probe may be foreign code: it is fenced
                errors.append(_as_probe_error(probe, error))
                if (before := last[place]) is not None and before.limit is not None:
                    readings.append(before)
            else:
                is_any_new = True
                readings.append(reading)
                errors += reading.errors
        if not is_any_new:
            raise ProbeError("no source can be read: " + "; ".join(map(str, errors)))
        return _united(readings, errors)

    return read


def capped(probe: Probe, limit: int, source: str = "configured") -> Probe:
    """A probe whose readings have at most this limit.

    Args:
        probe: What tells how much is used.
        limit: Bytes, above 0.
        source: What a reading is said to come from when this limit is the one that counts.

    Raises:
        ConfigError: The limit is not above 0.
    """
    if limit <= 0:
        raise ConfigError(f"limit {limit!r} is not above zero: give bytes, or None for no limit")

    def read() -> Reading:
        reading = probe()
        if reading.limit is not None and reading.limit <= limit:
            return reading
        # Not reading.replace(): it costs 2 µs more, at every tick.
        return Reading(
            at=reading.at,
            used=reading.used,
            limit=limit,
            source=source,
            parts=reading.parts,
            errors=reading.errors,
        )

    return read


def every(seconds: float, probe: Probe, now: Callable[[], float] = time.monotonic) -> Probe:
    """A probe that repeats its last reading and asks a slow source only so often.

    A reading told again keeps the time at which it was taken. A source that fails is asked again
    at the next call.
    """
    last: Reading | None = None
    due = 0.0

    def read() -> Reading:
        nonlocal last, due
        at = now()
        if last is None or at >= due:
            last = None
            last = probe()
            due = at + seconds
        return last

    return read


def while_limited(
    probe: Probe,
    rest: float,
    now: Callable[[], float] = time.monotonic,
    *,
    is_due: Callable[[], bool] = lambda: False,
) -> Probe:
    """A probe read at every call while it has a limit, and only so often while it has none.

    A cgroup without a limit costs as much to read as one with; it is looked at now and then, since
    a limit may be set at any time.

    Args:
        probe: The source.
        rest: Seconds for which a reading without a limit is told again.
        now: Monotonic seconds.
        is_due: Whether there is a reason to look at it in any case; asked at every call.
    """
    last: Reading | None = None
    due = 0.0

    def read() -> Reading:
        nonlocal last, due
        at = now()
        if is_due() or last is None or last.limit is not None or at >= due:
            last = probe()
            due = at + rest
        return last

    return read


def or_else(probe: Probe, other: Probe) -> Probe:
    """A probe that reads another one as well while the first has no limit, or cannot be read.

    Args:
        probe: The source that rules.
        other: What is held against where it tells no limit, united as by `tightest`.
    """

    def read() -> Reading:
        errors: list[ProbeError] = []
        readings: list[Reading] = []
        for source in (probe, other):
            try:
                reading = source()
            except ProbeError as error:
                errors.append(error)
                continue
            if source is probe and reading.limit is not None:
                return reading
            readings.append(reading)
            errors += reading.errors
        if not readings:
            raise errors[0]
        return _united(readings, errors)

    return read


def _united(readings: list[Reading], errors: list[ProbeError]) -> Reading:
    limited = [reading for reading in readings if reading.limit is not None]
    told = (limited or readings)[0]
    if len(limited) > 1:  # At each tick: a lambda less.
        told = max(limited, key=lambda reading: reading.fraction)
    parts: dict[str, int] = {}
    for reading in (*reversed(readings), told):
        if reading.parts:
            parts.update(reading.parts)
    return Reading(
        # A reading told again by `every` may be older than the one before it: time never goes back.
        at=max([reading.at for reading in readings]),
        used=told.used,
        limit=told.limit,
        source=told.source,
        parts=parts,
        errors=tuple(errors),
    )


def _as_probe_error(probe: Probe, error: Exception) -> ProbeError:
    if isinstance(error, ProbeError):
        return error
    name = getattr(probe, "__qualname__", type(probe).__qualname__)
    kind = type(error).__name__
    wrapped = ProbeError(f"probe {name} failed ({kind}: {error}): mend it, or leave it out")
    wrapped.__cause__ = error
    return wrapped
