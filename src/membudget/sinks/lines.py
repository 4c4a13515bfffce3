"""Events as one line of text each, for people."""

from __future__ import annotations

from membudget.core import (
    AdmissionRefused,
    BrakeHit,
    Failed,
    FloorFound,
    Late,
    LeakSuspected,
    LimitExceeded,
    LimitForeseen,
    PressureChanged,
    ProposalApplied,
    ProtectionTried,
    Reclaimed,
    ReportMade,
    SettingsReloaded,
    Severity,
    Shortcoming,
    Started,
    Stopped,
)
from membudget.units import human_bytes, human_seconds, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Event, Pressure, Sink

LONGEST = 1000
"""Characters of a line; a name has 200 at most, and the text of an error may have any number."""

ALWAYS: tuple[type, ...] = (LeakSuspected, LimitForeseen, FloorFound)
"""Events of which a warning is told even to those who asked for quiet: what is done about it takes
longer than the night."""


def line_of(event: Event) -> str | None:
    """The line that tells an event, or None for events that are not told in words."""
    teller = _TELLERS.get(type(event))
    return one_line(teller(event), LONGEST) if teller is not None else None


def to_lines(write: Callable[[str], object], *, least: Severity = Severity.INFO) -> Sink:
    """A sink that writes each event's line.

    Args:
        write: Takes a line without its end.
        least: Events below this severity are left out.
    """

    def sink(event: Event) -> None:
        if event.severity >= least and (line := line_of(event)) is not None:
            write(line)

    return sink


def describe(pressure: Pressure) -> str:
    """Use, limit and share in words: "324 MiB of 400 MiB (81 %)"."""
    if pressure.limit is None:
        return f"{human_bytes(pressure.used)}, no limit"
    share = pressure.fraction * 100
    return f"{human_bytes(pressure.used)} of {human_bytes(pressure.limit)} ({share:.0f} %)"


def _started(event: Started) -> str:
    reading = event.reading
    note = f"; {event.note}" if event.note else ""
    if reading.limit is None:
        return f"no limit found, only watching; now {human_bytes(reading.used)}{note}"
    return (
        f"keeping {human_bytes(reading.limit)} ({reading.source}); "
        f"now {human_bytes(reading.used)}, {reading.fraction * 100:.0f} %{note}"
    )


def _shortcoming(event: Shortcoming) -> str:
    return event.what


def _stopped(event: Stopped) -> str:
    limit = f" of {human_bytes(event.limit)}" if event.limit is not None else ""
    levels = ", ".join(f"{name} {human_seconds(spent)}" for name, spent in event.levels.items())
    return (
        f"peak {human_bytes(event.peak)}{limit}; reclaimed {human_bytes(event.reclaimed)}; "
        f"levels {levels or 'NORMAL'}"
    )


def _pressure_changed(event: PressureChanged) -> str:
    pressure = event.pressure
    parts = [f"{event.before.name} → {pressure.level.name}: {describe(pressure)}"]
    if pressure.level > event.before:
        if pressure.cause and pressure.cause != pressure.level.name.lower():
            parts.append(f"by {pressure.cause}")
        if pressure.growth > 0:
            parts.append(f"+{human_bytes(pressure.growth)}/s")
        if pressure.seconds_left is not None:
            parts.append(f"limit in {human_seconds(pressure.seconds_left)}")
        if pressure.elsewhere:
            parts.append(f"{human_bytes(pressure.elsewhere)} of it not this process's")
        elif pressure.floor:
            parts.append(f"{human_bytes(pressure.floor)} of it beyond shrinking")
    return ", ".join(parts)


def _floor(event: FloorFound) -> str:
    pressure = event.pressure
    why = f": {event.held_by}" if event.held_by else ""
    if not event.is_last:
        return (
            f"shrinking does not bring it below {human_bytes(pressure.floor)} of "
            f"{human_bytes(pressure.limit or 0)}{why}; caches keep {human_bytes(event.kept)} and "
            "are left alone meanwhile"
        )
    grew = f"; look at what grew: {event.culprit}" if event.culprit else ""
    more = "or less held there"
    if not pressure.elsewhere:
        more = "`membudget run --brake` (what cannot fit raises MemoryError), `--restart`"
    return (
        f"nothing is left to let go at {describe(pressure)}{why}; what helps: a higher limit, "
        f"{more}{grew}"
    )


def _reclaimed(event: Reclaimed) -> str:
    rung = f" at {event.rung.name}" if event.rung is not None else ""
    objects = f", {event.objects:,} objects" if event.objects is not None else ""
    moved = "fell" if event.measured >= 0 else "rose"
    return (
        f"{event.by}{rung}: asked {human_bytes(event.asked)}, let go {human_bytes(event.claimed)}"
        f"{objects}; the meter {moved} {human_bytes(abs(event.measured))} "
        f"in {human_seconds(event.took)}"
    )


def _protection(event: ProtectionTried) -> str:
    return f"protection attempt {event.attempt} of {event.most}: {event.outcome}"


def _refused(event: AdmissionRefused) -> str:
    waited = f" after {human_seconds(event.waited)}" if event.waited else ""
    times = f" ({event.times:,} requests since)" if event.times > 1 else ""
    room = human_bytes(event.room)
    return f"refused {human_bytes(event.asked)}{waited}: {room} of room{times}"


def _braked(event: BrakeHit) -> str:
    times = f", {event.times:,} times so far" if event.times > 1 else ""
    return (
        f"the brake refused memory{times}: {human_bytes(event.mapped)} mapped, "
        f"{human_bytes(event.limit)} allowed"
    )


def _exceeded(event: LimitExceeded) -> str:
    if event.unit == "bytes":
        return f"{event.name} holds {human_bytes(event.used)}, over {human_bytes(event.limit)}"
    if event.unit == "maxlen":  # A deque that has none; the limit is what would do.
        return f"{event.name} holds {event.used:,} items without a maxlen: {event.limit:,} would do"
    return f"{event.name} holds {event.used:,} {event.unit}, over {event.limit:,}"


def _leak(event: LeakSuspected) -> str:
    if event.confidence == "none":
        return f"no leak any more: {event.reason}"
    culprit = f", in {event.culprit}" if event.culprit else ""
    kind = f", {event.kind}" if event.kind else ""
    grown = event.reason or f"+{human_bytes(event.rate)}/h"
    return f"a leak is suspected ({event.confidence}{kind}{culprit}): {grown}"


def _foreseen(event: LimitForeseen) -> str:
    limit = f" of {human_bytes(event.limit)}" if event.limit is not None else ""
    if event.seconds_left is None:
        return f"the limit{limit} is near no more, at {human_bytes(event.used)}"
    growth = f"{human_bytes(event.used)}, +{human_bytes(event.rate)}/h"
    if not event.seconds_left:
        return f"the limit{limit} is reached: {growth}"
    near = event.soonest if event.soonest is not None else event.seconds_left
    far = f"to {human_seconds(event.latest)}" if event.latest is not None else "or more"
    return (
        f"the limit{limit} will be reached in {human_seconds(event.seconds_left)} "
        f"({human_seconds(near)} {far}): {growth}"
    )


def _late(event: Late) -> str:
    times = f", {event.times} times so far" if event.times > 1 else ""
    late = human_seconds(event.by)
    return f"woke {late} late{times}: nobody watched meanwhile (a held GIL, a busy machine?)"


def _report(event: ReportMade) -> str:
    return f"report written: {event.paths[-1] if event.paths else 'nowhere'}"


def _reloaded(event: SettingsReloaded) -> str:
    applied = ", ".join(event.applied) or "nothing changed"
    waiting = f"; only a restart applies {', '.join(event.waiting)}" if event.waiting else ""
    return f"settings read anew: {applied}{waiting}"


def _applied(event: ProposalApplied) -> str:
    before = f" in place of {event.before}" if event.before else ""
    return f"{event.key} is {event.after} from now on{before}, as proposed: {event.reason}"


def _failed(event: Failed) -> str:
    times = f" ({event.times} times)" if event.times > 1 else ""
    words = one_line(event.error, LONGEST)  # Its own method may raise.
    return f"{event.where} failed{times}: {type(event.error).__name__}: {words}"


_TELLERS: dict[type, Callable[..., str]] = {
    Started: _started,
    Shortcoming: _shortcoming,
    Stopped: _stopped,
    PressureChanged: _pressure_changed,
    FloorFound: _floor,
    Reclaimed: _reclaimed,
    ProtectionTried: _protection,
    AdmissionRefused: _refused,
    BrakeHit: _braked,
    LeakSuspected: _leak,
    LimitExceeded: _exceeded,
    LimitForeseen: _foreseen,
    Late: _late,
    ReportMade: _report,
    SettingsReloaded: _reloaded,
    ProposalApplied: _applied,
    Failed: _failed,
}
