"""Lines to the standard library's logging, or straight to standard error.

Sinks made of sinks.
"""

from __future__ import annotations

import os
import select
import sys

from membudget.core import Reclaimed, Severity
from membudget.core.native import Lock, poll
from membudget.ownership import identity
from membudget.sinks.lines import line_of, to_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from membudget.core import Event, Sink


STDERR = 2

_MOST: int = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe takes at once where it takes any: POSIX has at least 512, Linux 4096."""

_PATIENCE = 0.05
"""Seconds to wait for another thread's line, which takes microseconds."""


def log_sink(name: str = "membudget") -> Sink:
    """A sink that logs each event's line on a logger, the record itself as `extra["event"]`.

    Where the program has not imported logging, warnings go to standard error, as logging's own
    handler of last resort has it, without the 1 MB and 5 ms that importing it would cost.
    """

    def sink(event: Event) -> None:
        severity = int(event.severity)
        logging = sys.modules.get("logging")
        if logging is None:
            last_resort(event)
            return
        logger = logging.getLogger(name)
        if logger.isEnabledFor(severity) and (line := line_of(event)) is not None:
            logger.log(severity, "%s", line, extra={"event": event})

    last_resort = stderr_sink(least=Severity.WARNING)
    return sink


def stderr_sink(*, least: Severity = Severity.INFO) -> Sink:
    """A sink that writes lines to standard error as it is now, by the descriptor."""
    out = StandardError()
    return to_lines(lambda line: out.write(f"membudget: {line}"), least=least)


class StandardError:
    """Descriptor 2, as long as it leads where it led when this was made, and never waited for.

    The stream object belongs to the program, which may have closed or replaced it; so may the
    number, and then it can be a file of data. A pipe that nobody reads takes 64 KiB and then holds
    up whoever writes: lines are left out meanwhile, and counted. The descriptor's own mode stays,
    since other processes share it.
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
            self._put_after_note(line)
        finally:
            lock.release()

    def _put_after_note(self, line: str) -> None:
        if self._lost:
            lines = "1 line" if self._lost == 1 else f"{self._lost} lines"
            if _put(f"membudget: {lines} lost while nobody read standard error"):
                self._lost = 0
        if not _put(line):
            self._lost += 1


def _put(line: str) -> bool:
    text = line.encode(errors="backslashreplace")
    if len(text) >= _MOST:
        text = text[: _MOST - 1].decode(errors="ignore").encode()
    try:
        return _is_ready() and os.write(STDERR, text + b"\n") > 0
    except OSError:
        return False


def _is_ready() -> bool:
    """Whether a write goes through at once; to a pipe without a reader it would be a signal."""
    if poll is None:
        return True
    ready = poll()
    ready.register(STDERR, select.POLLOUT)
    return any(not state & (select.POLLERR | select.POLLHUP) for _, state in ready.poll(0))


MERGE_WITHIN = 1.0
"""Seconds within which the rounds of one reclaimer become one event."""

_NEVER = float("-inf")


def only(sink: Sink, *kinds: type) -> Sink:
    """The same sink for events of these types alone."""

    def chosen(event: Event) -> None:
        if isinstance(event, kinds):
            sink(event)

    return chosen


def tee(*sinks: Sink) -> Sink:
    """One sink that passes each event to several."""

    def split(event: Event) -> None:
        for sink in sinks:
            sink(event)

    return split


def merged(sink: Sink, within: float = MERGE_WITHIN) -> Sink:
    """The same sink, told the rounds of one reclaimer summed up instead of one by one.

    A cleanup under pressure takes a round every 10 ms; people want to read one line of it. The
    first round is told at once, those within the next second when it is over or when any other
    event comes.
    """
    told: dict[str, float] = {}
    held: dict[str, Reclaimed] = {}

    # Events come on any thread, and in signal handlers. Each event is put in and taken out by one
    # operation of a dict, which is whole by itself: no lock that a forked child could find taken.
    def flush(now: float | None = None) -> None:
        for by in list(held):
            if now is None or now - told.get(by, _NEVER) >= within:
                event = held.pop(by, None)
                if event is not None:
                    told[by] = event.at
                    sink(event)

    def merge(event: Event) -> None:
        if not isinstance(event, Reclaimed):
            flush()
            sink(event)
            return
        flush(event.at)
        if event.by in held or event.at - told.get(event.by, _NEVER) < within:
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
