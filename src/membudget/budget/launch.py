"""The budget of a program that was started by `membudget run` and knows nothing of it.

Its lines are for people who read them for weeks. The first of a kind is told at once, of changes of
level the first four. Its like is held, for 10 s at first and then four times as long each, up to an
hour, and summed up in one line. Beyond 20 lines in an hour only what is grave and new (and its
end), and what is told anyway, is not held. What is held is told once any event passes, or the end.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from itertools import pairwise

from membudget.budget import process_name
from membudget.budget.reexec import LAUNCHED, TREE, keep_through_exec
from membudget.core import (
    AdmissionRefused,
    BrakeHit,
    Failed,
    FloorFound,
    Late,
    Level,
    LimitExceeded,
    PressureChanged,
    ProtectionTried,
    Reclaimed,
    Severity,
    Started,
    Stopped,
)
from membudget.core.native import Lock
from membudget.errors import MembudgetError
from membudget.sinks import ALWAYS, LONGEST, StandardError, describe, line_of, summed
from membudget.units import human_seconds, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from membudget.budget.start import Budget
    from membudget.core import Event

_HELPERS = ("resource_tracker", "forkserver")
_SHARED = ("cgroup", "system")  # How the sources begin that several processes have in common.
_NO_FIGURES = str.maketrans("", "", "0123456789.")
_LEVEL_FOR = 600.0  # Seconds for which no other process tells a level of what is shared.
_START_FOR = 3600.0  # Seconds for which none tells the limit kept.


def start_launched() -> Budget | None:
    """Start the budget that the launcher asked for; whatever goes wrong is one line."""
    mode = os.environ.get(LAUNCHED)
    helper = helper_of(sys.orig_argv)
    if mode is None or helper == "resource_tracker":
        return None
    import atexit  # only launched programs get here

    from membudget.budget.start import start

    out, name = StandardError(), process_name()

    def write(line: str) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        out.write(f"membudget: {now} {os.getpid()} {name()}: {line}")

    try:
        import resource  # there is one where a launcher could be

        if resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY:
            # The limit that the brake of a parent has set was the parent's own.
            from membudget.brake import restore_launch_limit  # where there is a brake

            restore_launch_limit(os.environ)
        least = Severity.ERROR if mode == "quiet" else Severity.INFO
        sink = Condensed(write, least=least, is_news=_News(os.environ.get(TREE)))
        budget = start(sinks=[sink], is_launched=True)
    except (MembudgetError, OSError, ValueError) as error:
        write(f"no budget for this process: {one_line(error, LONGEST)}")
        return None
    except ImportError as error:  # Lent to an environment of another's: PyYAML is none of ours.
        write(
            f"no budget for this process: {sys.executable} has no {error.name}: install it there, "
            "or write the settings as TOML"
        )
        return None

    def end() -> None:
        # The program's own budget may have taken over the lines.
        governor: Any = budget.governor.registry.governor
        if governor is not None and sink in governor.tell.sinks:
            governor.stop()

    atexit.register(end)
    keep_through_exec()
    if helper == "forkserver":
        budget.governor.watch.park()
    return budget


def helper_of(words: Sequence[str]) -> str:
    """Which of multiprocessing's own helpers a command line starts, or "": they hold nothing.

    A server of forks has governed children. joblib's are called alike.
    """
    code = next((code for flag, code in pairwise(words) if flag == "-c"), "")
    first, _, rest = code.partition(" import main")
    name = first.removeprefix("from ").rpartition(".")[2]
    is_helper = name in _HELPERS and first.startswith("from ") and not rest[:1].isalnum()
    return name if is_helper else ""


class _News:
    """Whether another process of the launch has told an event already; they note it by `mark`."""

    def __init__(self, mark: str | None) -> None:
        self._told = None
        self._speaker = 0  # The process that tells its end: the launched one, or who told a start.
        if mark is not None and sys.platform == "linux":
            from membudget.host.launch import Told  # Linux only

            self._told = Told(mark, time.time)
            pid = mark.rpartition("-")[0].rpartition("-")[2]
            self._speaker = int(pid) if pid.isdecimal() else 0

    def __call__(self, event: Event) -> bool:
        if self._told is None:
            return True
        if isinstance(event, Started):
            note = f" {event.note}" if "no brake" in event.note else ""
            kept = f"start {event.reading.limit} {event.reading.source}{note}"
            if not self._told.is_news(kept, _START_FOR):
                return False
            self._speaker = os.getpid()
            return True
        if isinstance(event, Stopped):
            is_calm = not event.reclaimed and set(event.levels) <= {"NORMAL"}
            return self._speaker == os.getpid() or not is_calm
        subject = _shared(event)
        return subject is None or self._told.is_news(subject, _LEVEL_FOR, again=True)


def _shared(event: Event) -> str | None:
    """What all who are judged by the same source see of an event, in words; None for one's own."""
    if isinstance(event, (PressureChanged, FloorFound)):
        source, level = event.pressure.source, event.pressure.level.name
        seen = f"{type(event).__name__} {level}"
    elif isinstance(event, ProtectionTried) and event.outcome != "exit":  # Its own end.
        source, seen = event.source, f"attempt {event.attempt} {event.outcome}"
    else:
        return None
    if isinstance(event, FloorFound) and not event.pressure.elsewhere:
        # Ten workers of one kind hold the same, each a little more or less.
        seen += f" {event.held_by.translate(_NO_FIGURES)}"
    return f"{seen} {source}" if source.startswith(_SHARED) else None


FIRST_PAUSE, FACTOR, LONGEST_PAUSE = 10.0, 4.0, 3600.0  # Seconds for which a kind is held.
CHANGES = 4  # Changes of level told at once: two times up, and down again.
SETTLED = 300.0  # Seconds after which another level than the one told last has come to stay.
MOST, HOUR = 20, 3600.0  # Lines within so many seconds, from which on all but news is held.
_MOST_KINDS = 64
_PATIENCE = 0.05
_LEVEL = ("level",)
_COUNTED = (AdmissionRefused, BrakeHit, Failed, Late)  # They say themselves how many.


class _Kind:
    """What is known of one kind of event."""

    def __init__(self, free: int) -> None:
        self.told_at = float("-inf")
        self.pause = FIRST_PAUSE
        self.free = free  # How many may be told at once.
        self.told: Any = None  # The latest that was told.
        self.held: Any = None  # The sum of what was not, and since when, and of how many.
        self.since = 0.0
        self.times = 0
        self.worst = -1  # How grave what was told of it was at most.

    def rest(self) -> None:
        """Be held for longer."""
        self.pause = min(LONGEST_PAUSE, self.pause * FACTOR)

    def is_fresh(self, now: float) -> bool:
        """Whether something is held, or was told within the hour."""
        return self.held is not None or now - self.told_at <= LONGEST_PAUSE

    def hold(self, event: Any) -> None:
        """Sum up what is not told."""
        before, self.times = self.held, self.times + 1
        if before is None:
            self.since = event.at
        elif isinstance(event, Reclaimed):
            event = summed(before, event)
        elif isinstance(event, PressureChanged):
            event = event.replace(before=max(before.before, event.before))
        elif isinstance(event, (AdmissionRefused, Failed)):
            event = event.replace(times=before.times + event.times)
        self.held = event


class Condensed:
    """A sink that writes lines, condensed. Any thread may call it.

    Events below `least` are left out, but for those that are told always. `is_news` says whether
    nobody else has told an event that several processes see.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        least: Severity = Severity.INFO,
        is_news: Callable[[Event], bool] = lambda _event: True,
    ) -> None:
        self._write, self._least, self._is_news = write, least, is_news
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = Lock()
        self._kinds: dict[tuple[str, ...], _Kind] = {}
        self._lines: deque[float] = deque(maxlen=MOST)

    def __call__(self, event: Event) -> None:
        """Tell or hold an event. Cost: 5 µs, and that of a line."""
        if self._pid != os.getpid():
            self._begin()  # What is held is the parent's to tell.
        if not self._lock.acquire(timeout=_PATIENCE):
            if self._is_told(event):  # In a signal's handler, over a line of ours.
                self._put(event, line_of(event), event.at)
            return
        try:
            self._take(event)
        finally:
            self._lock.release()

    def _is_told(self, event: Event) -> bool:
        is_always = isinstance(event, ALWAYS) and event.severity >= Severity.WARNING
        return is_always or event.severity >= self._least

    def _take(self, event: Event) -> None:
        now = event.at
        is_over, like = isinstance(event, Stopped), _key_of(event)
        for key, kind in list(self._kinds.items()):
            if key != like and kind.held is not None and (is_over or self._is_due(kind, now)):
                self._tell_held(key, kind, now)
        if not self._is_told(event) or (line := line_of(event)) is None:
            return
        if like is None:
            self._put(event, line, now)
            return
        kind = self._kind(like, now)
        # A level that flutters waits for the next event: by then it may have gone back.
        is_rested = like != _LEVEL and now >= kind.told_at + kind.pause
        is_first = kind.held is None and (kind.free or is_rested)
        if _is_grave_news(event, kind) or (is_first and self._has_room(now)):
            if kind.held is not None:
                self._tell_held(like, kind, now)
            elif kind.free:
                kind.free -= 1
            else:
                kind.rest()
            self._put(event, line, now, kind)
        else:
            kind.hold(event)
            if kind.times > 1 and self._is_due(kind, now):
                self._tell_held(like, kind, now)

    def _kind(self, like: tuple[str, ...], now: float) -> _Kind:
        """What is known of a kind; nothing once it was quiet for an hour."""
        found = self._kinds.get(like)
        if found is not None and found.is_fresh(now):
            return found
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds = {key: one for key, one in self._kinds.items() if one.is_fresh(now)}
        kind = self._kinds[like] = _Kind(CHANGES if like == _LEVEL else 1)
        return kind

    def _is_due(self, kind: _Kind, now: float) -> bool:
        is_due = now >= kind.told_at + kind.pause or (
            isinstance(kind.held, PressureChanged)
            and kind.told is not None
            and now >= kind.held.at + SETTLED
            and kind.held.pressure.level is not kind.told.pressure.level
        )
        return is_due and self._has_room(now)

    def _has_room(self, now: float) -> bool:
        return len(self._lines) < MOST or now - self._lines[0] >= HOUR

    def _tell_held(self, key: tuple[str, ...], kind: _Kind, now: float) -> None:
        event, times, span = kind.held, kind.times, human_seconds(now - kind.since)
        kind.held, kind.times = None, 0
        kind.rest()
        line = line_of(event)
        if times > 1 and key == _LEVEL:  # Its `before` is the highest they came from.
            level = event.pressure.level
            line = (
                f"{times:,} changes of level within {span}, up to "
                f"{max(event.before, level).name}; now {level.name}: {describe(event.pressure)}"
            )
        elif times > 1 and not isinstance(event, _COUNTED):
            line = f"{line} ({times:,} times within {span})"
        self._put(event, line, now, kind)

    def _put(self, event: Event, line: str | None, now: float, kind: _Kind | None = None) -> None:
        if kind is not None:
            kind.worst = max(_rank(event), kind.worst)
            kind.told, kind.told_at = event, now
        if line is not None and self._is_news(event):
            self._lines.append(now)
            self._write(line)


def _key_of(event: Event) -> tuple[str, ...] | None:
    """What an event repeats, or None for one that is told each time."""
    if isinstance(event, Reclaimed):
        return ("reclaimed", event.by)
    if isinstance(event, PressureChanged):
        return _LEVEL
    if isinstance(event, LimitExceeded):
        return ("exceeded", event.name)
    if isinstance(event, Failed):
        return ("failed", event.where, type(event.error).__name__)
    if isinstance(event, (AdmissionRefused, BrakeHit, Late, ProtectionTried)):
        return (type(event).__name__,)
    return None


def _rank(event: Event) -> int:
    """How grave: a level counts by itself, whichever way it was reached."""
    return int(event.pressure.level) if isinstance(event, PressureChanged) else int(event.severity)


def _is_grave_news(event: Event, kind: _Kind) -> bool:
    """Whether it is graver than all of its kind that was told, or the end of what was grave."""
    if event.severity >= Severity.ERROR:
        return _rank(event) > kind.worst
    is_change = isinstance(event, PressureChanged) and isinstance(kind.told, PressureChanged)
    return is_change and kind.told.pressure.level >= Level.CRITICAL
