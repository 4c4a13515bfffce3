"""Events as one line of text each, to the standard library's logging or to standard error."""

from __future__ import annotations

import os
import select
import sys

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
from membudget.core.native import Lock, poll
from membudget.ownership import identity
from membudget.units import human_bytes, human_seconds, one_line, signed, until_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Event, Pressure, Sink

LONGEST = 1000  # Characters of a line; a name has 200 at most, the text of an error any number.
ALWAYS: tuple[type, ...] = (LeakSuspected, LimitForeseen, FloorFound)
"""Events of which a warning is told even to those who asked for quiet: what is done about it takes
longer than the night."""


def line_of(event: Event) -> str | None:
    """The line that tells an event, or None for events that are not told in words."""
    teller = _TELLERS.get(type(event))
    return one_line(teller(event), LONGEST) if teller is not None else None


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
        return (
            f"no limit found, only watching: {human_bytes(reading.used)} used now; "
            f"set one by MEMBUDGET_LIMIT or limit={note}"
        )
    return (
        f"limit {human_bytes(reading.limit)} ({reading.source}); "
        f"{human_bytes(reading.used)} used now ({reading.fraction * 100:.0f} %){note}"
    )


def _stopped(event: Stopped) -> str:
    limit = f" of {human_bytes(event.limit)}" if event.limit is not None else ""
    levels = ", ".join(f"{name} {human_seconds(spent)}" for name, spent in event.levels.items())
    return (
        f"stopped: peak {human_bytes(event.peak)}{limit}; freed {human_bytes(event.reclaimed)}; "
        f"levels {levels or 'NORMAL'}"
    )


def _pressure_changed(event: PressureChanged) -> str:
    pressure = event.pressure
    parts = [f"{event.before.name} → {pressure.level.name}: {describe(pressure)}"]
    if pressure.level > event.before:
        if pressure.cause and pressure.cause != pressure.level.name.lower():
            parts.append(why_raised(pressure.cause))
        if pressure.growth > 0:
            parts.append(f"{signed(pressure.growth)}/s")
        if pressure.seconds_left is not None:
            parts.append(until_limit(pressure.seconds_left, pressure.used - (pressure.limit or 0)))
        if pressure.elsewhere:
            parts.append(f"{human_bytes(pressure.elsewhere)} of it used by other processes")
        elif pressure.floor:
            parts.append(f"{human_bytes(pressure.floor)} of it cannot be freed")
    more = "; `membudget memory -v` shows who holds it"
    return ", ".join(parts) + (more if event.severity >= Severity.ERROR else "")


def why_raised(cause: str) -> str:
    """Why a level began, in words: "by thresholds.rss.warning"."""
    return "the limit is near" if cause == "time" else f"by thresholds.{cause.replace(' ', '.')}"


def _floor(event: FloorFound) -> str:
    pressure = event.pressure
    why = f": {event.held_by}" if event.held_by else ""
    more = "or less memory used there"
    if not event.is_last:
        limit = f" of {human_bytes(pressure.limit)}" if pressure.limit else ""
        kept = f"; caches keep {human_bytes(event.kept)} and are left alone" if event.kept else ""
        return (
            f"{human_bytes(pressure.floor)}{limit} cannot be freed{why}{kept}; "
            f"what helps: a higher limit, {more}"
        )
    grew = f"; look at what grew: {event.culprit}" if event.culprit else ""
    if not pressure.elsewhere:
        brake = "`membudget run --brake` (what cannot fit raises MemoryError)"
        again = "`membudget run --restart`"
        more = ", ".join((brake,) * (not event.is_braked) + (again,) * (not event.ends))
    helps = f"a higher limit, {more}" if more else "a higher limit"
    return f"nothing is left to free at {describe(pressure)}{why}; what helps: {helps}{grew}"


def _reclaimed(event: Reclaimed) -> str:
    rung = f" at {event.rung.name}" if event.rung is not None else ""
    objects = f" ({event.objects:,} objects)" if event.objects is not None else ""
    moved = f"{'fell' if event.measured >= 0 else 'rose'} by {human_bytes(abs(event.measured))}"
    return (
        f"{event.by}{rung}: asked to free {human_bytes(event.asked)}, freed "
        f"{human_bytes(event.claimed)}{objects} in {human_seconds(event.took)}; memory use {moved}"
    )


def _refused(event: AdmissionRefused) -> str:
    waited = f" after {human_seconds(event.waited)}" if event.waited >= 0.001 else ""  # noqa: PLR2004  # a wait
    times = f" ({event.times:,} requests since)" if event.times > 1 else ""
    return (
        f"a request for {human_bytes(event.asked)} was refused{waited}{times}: "
        f"{human_bytes(event.room)} is free; load less at a time, or raise the limit"
    )


def _braked(event: BrakeHit) -> str:
    times = f", {event.times:,} times so far" if event.times > 1 else ""
    return (
        f"the brake refused memory{times}: {human_bytes(event.mapped)} is mapped, "
        f"{human_bytes(event.limit)} is allowed; load less at a time, or raise the limit"
    )


def _exceeded(event: LimitExceeded) -> str:
    if event.unit == "bytes":
        return f"{event.name} holds {human_bytes(event.used)}, over its {human_bytes(event.limit)}"
    if event.unit == "maxlen":  # A deque that has none; the limit is what would do.
        return f"{event.name} holds {event.used:,} items without a maxlen: give it {event.limit:,}"
    return f"{event.name} holds {event.used:,} {event.unit}, over its {event.limit:,}"


def _leak(event: LeakSuspected) -> str:
    if event.confidence == "none":
        return f"a leak is no longer suspected: {event.reason}"
    culprit = f", in {event.culprit}" if event.culprit else ""
    kind = f", {event.kind}" if event.kind else ""
    grown = event.reason or f"{signed(event.rate)}/h"
    if event.severity >= Severity.WARNING:
        grown = f"{grown.rstrip('.')}; `membudget report` tells more"
    return f"a leak is suspected ({event.confidence} confidence{kind}{culprit}): {grown}"


def _foreseen(event: LimitForeseen) -> str:
    limit = f" of {human_bytes(event.limit)}" if event.limit is not None else ""
    if event.seconds_left is None:
        return f"the limit{limit} is no longer near: {human_bytes(event.used)} used"
    growth = (
        f"{human_bytes(event.used)} used, {signed(event.rate)}/h; "
        "`membudget report` tells what grows"
    )
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
    return (
        f"memory was not watched for {human_seconds(event.by)}{times}: code that holds the GIL, "
        "or a busy machine"
    )


def _reloaded(event: SettingsReloaded) -> str:
    applied = ", ".join(event.applied) or "nothing changed"
    waiting = f"; restart the process for {', '.join(event.waiting)}" if event.waiting else ""
    return f"settings reloaded: {applied}{waiting}"


def _applied(event: ProposalApplied) -> str:
    before = f" in place of {event.before}" if event.before else ""
    return f"{event.key} is {event.after} from now on{before}, as proposed: {event.reason}"


def _failed(event: Failed) -> str:
    times = f" ({event.times} times)" if event.times > 1 else ""
    words = one_line(event.error, LONGEST)  # Its own method may raise.
    return f"{event.where} failed{times}: {type(event.error).__name__}: {words}"


_OUTCOMES = {
    "recovered": "memory use is below the shutdown threshold again",
    "not enough": "what could be freed is not enough",
    "exit": "the process ends in good order (emergency.exit)",
    "admission shut": (
        "requests for memory are refused until the level is NORMAL; raise the limit, or restart "
        "the process"
    ),
}

_TELLERS: dict[type, Callable[..., str]] = {
    Started: _started,
    Shortcoming: lambda event: event.what,
    Stopped: _stopped,
    PressureChanged: _pressure_changed,
    FloorFound: _floor,
    Reclaimed: _reclaimed,
    ProtectionTried: lambda event: (
        f"protection attempt {event.attempt} of {event.most}: "
        f"{_OUTCOMES.get(event.outcome, event.outcome)}"
    ),
    AdmissionRefused: _refused,
    BrakeHit: _braked,
    LeakSuspected: _leak,
    LimitExceeded: _exceeded,
    LimitForeseen: _foreseen,
    Late: _late,
    ReportMade: lambda event: f"report written: {event.paths[-1] if event.paths else 'nowhere'}",
    SettingsReloaded: _reloaded,
    ProposalApplied: _applied,
    Failed: _failed,
}

STDERR = 2
_MOST: int = getattr(select, "PIPE_BUF", 512)  # Bytes that a pipe takes at once; Linux 4096.
_PATIENCE = 0.05  # Seconds to wait for another thread's line, which takes microseconds.


def log_sink(name: str = "membudget") -> Sink:
    """A sink that logs each event's line on a logger, the record itself as `extra["event"]`.

    Where the program has not imported logging, which would cost 5 ms, warnings go to standard
    error.
    """
    last_resort = stderr_sink(least=Severity.WARNING)

    def sink(event: Event) -> None:
        logging = sys.modules.get("logging")
        if logging is None:
            last_resort(event)
            return
        logger, severity = logging.getLogger(name), int(event.severity)
        if logger.isEnabledFor(severity) and (line := line_of(event)) is not None:
            logger.log(severity, "%s", line, extra={"event": event})

    return sink


def stderr_sink(*, least: Severity = Severity.INFO) -> Sink:
    """A sink that writes lines to standard error as it is now, by the descriptor."""
    out = StandardError()

    def sink(event: Event) -> None:
        if event.severity >= least and (line := line_of(event)) is not None:
            out.write(f"membudget: {line}")

    return sink


class StandardError:
    """Descriptor 2, as long as it leads where it led when this was made, and never waited for.

    The stream object belongs to the program, which may have closed or replaced it; so may the
    number, and then it can be a file of data. A pipe that nobody reads holds up whoever writes:
    lines are left out meanwhile, and counted. The mode stays, since other processes share it.
    """

    def __init__(self) -> None:
        self._file = identity(STDERR)
        self._lost = 0
        self._lock = Lock()
        self._process = os.getpid()

    def is_in_place(self) -> bool:
        """Whether the number still leads there."""
        return self._file is not None and identity(STDERR) == self._file

    def write(self, line: str) -> None:
        """Write a line, given without its end, or count it as lost. Any thread; cost: 5 µs."""
        if not self.is_in_place():
            return  # The program's own matter.
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), Lock()  # It may be taken by a thread left.
        lock = self._lock  # Without it two lines might go where there is room for one.
        if not lock.acquire(timeout=_PATIENCE):
            self._lost += 1
            return
        try:
            if self._lost:
                lines = "1 line" if self._lost == 1 else f"{self._lost} lines"
                if _put(f"membudget: {lines} lost while nobody read standard error"):
                    self._lost = 0
            if not _put(line):
                self._lost += 1
        finally:
            lock.release()


def _put(line: str) -> bool:
    text = line.encode(errors="backslashreplace")
    if len(text) >= _MOST:
        text = text[: _MOST - 1].decode(errors="ignore").encode()
    try:
        if poll is not None:
            # Only what goes through at once; to a pipe without a reader it would be a signal.
            ready = poll()
            ready.register(STDERR, select.POLLOUT)
            if not any(not state & (select.POLLERR | select.POLLHUP) for _, state in ready.poll(0)):
                return False
        return os.write(STDERR, text + b"\n") > 0
    except OSError:
        return False


MERGE_WITHIN = 1.0  # Seconds within which the rounds of one reclaimer become one event.
_NEVER = float("-inf")


def merged(sink: Sink) -> Sink:
    """The same sink, told the rounds of one reclaimer summed up instead of one by one.

    The first round is told at once, those within the next second when it is over or when any other
    event comes.
    """
    told: dict[str, float] = {}
    held: dict[str, Reclaimed] = {}

    # Events come on any thread, and in signal handlers. Each event is put in and taken out by one
    # operation of a dict, which is whole by itself: no lock that a forked child could find taken.
    def flush(now: float) -> None:
        for by in list(held):
            if (
                now - told.get(by, _NEVER) >= MERGE_WITHIN
                and (event := held.pop(by, None)) is not None
            ):
                told[by] = event.at
                sink(event)

    def merge(event: Event) -> None:
        if not isinstance(event, Reclaimed):
            flush(float("inf"))
            sink(event)
            return
        flush(event.at)
        if event.by in held or event.at - told.get(event.by, _NEVER) < MERGE_WITHIN:
            _hold(held, event)
        else:
            told[event.by] = event.at
            sink(event)

    return merge


def _hold(held: dict[str, Reclaimed], event: Reclaimed) -> None:
    while held.setdefault(event.by, event) is not event:
        before = held.pop(event.by, None)
        if before is not None:
            event = summed(before, event)


def summed(one: Reclaimed, two: Reclaimed) -> Reclaimed:
    """Two rounds of a reclaimer as one; the later one tells when, and at which rung."""
    objects = None
    if one.objects is not None or two.objects is not None:
        objects = (one.objects or 0) + (two.objects or 0)
    return two.replace(
        asked=max(one.asked, two.asked),
        claimed=one.claimed + two.claimed,
        measured=one.measured + two.measured,
        took=one.took + two.took,
        objects=objects,
    )
