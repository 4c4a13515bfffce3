"""Probes out of probes: a source is a function, and putting sources together is too."""

from __future__ import annotations

import time

from membudget.core import Reading
from membudget.errors import ConfigError, ProbeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Probe


def tightest(*probes: Probe, otherwise: Probe | None = None) -> Probe:
    """A probe that reads all of these, at least one, and tells the one nearest to its limit.

    Where none has a limit, the first is told. The parts of all are united, those of the source told
    taking precedence. A source that fails is listed in the reading's errors; its last reading, if
    it had a limit, still counts. `otherwise` is read as well while none of these has a limit, or
    can be read.
    """
    if not probes:
        raise ConfigError("tightest() has no probes to choose from: give it at least one")
    last: list[Reading | None] = [None] * len(probes)

    def read() -> Reading:
        readings: list[Reading] = []
        errors: list[ProbeError] = []
        count = 0
        for place, probe in enumerate(probes):
            try:
                reading = last[place] = probe()
            except Exception as error:  # noqa: BLE001  # a probe may be foreign code: it is fenced
                errors.append(_as_probe_error(probe, error))
                before = last[place]
                if before is not None and before.limit is not None:
                    readings.append(before)
            else:
                count += 1
                readings.append(reading)
                errors += reading.errors
        limited = [reading for reading in readings if reading.limit is not None]
        if otherwise is not None and not (limited and count):
            readings = readings if count else []
            try:
                readings.append(otherwise())
                count += 1
            except ProbeError as error:
                errors.append(error)
            limited = [reading for reading in readings if reading.limit is not None]
        if not count:
            raise ProbeError("no source can be read: " + "; ".join(map(str, errors)))
        return _united(readings, limited, errors)

    return read


def _united(readings: list[Reading], limited: list[Reading], errors: list[ProbeError]) -> Reading:
    told = (limited or readings)[0]
    if len(limited) > 1:  # At each tick: a lambda less.
        told = max(limited, key=lambda reading: reading.fraction)
    parts: dict[str, int] = {}
    at = told.at
    for reading in reversed(readings):
        if reading.parts:
            parts.update(reading.parts)
        # A reading told again by `every` may be older than the one before it: time never goes back.
        at = max(at, reading.at)
    if told is not readings[0]:
        parts.update(told.parts)
    return Reading(
        at=at,
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


def every(
    seconds: float,
    probe: Probe,
    now: Callable[[], float] = time.monotonic,
    *,
    is_due: Callable[[Reading], bool] = lambda _last: False,
) -> Probe:
    """A probe that repeats its last reading and asks its source only so often.

    A source that fails is asked again at the next call; so is one for which `is_due` finds a reason
    in the last reading.
    """
    last: Reading | None = None
    due = 0.0

    def read() -> Reading:
        nonlocal last, due
        at = now()
        if last is None or at >= due or is_due(last):
            last = None
            last = probe()
            due = at + seconds
        return last

    return read
