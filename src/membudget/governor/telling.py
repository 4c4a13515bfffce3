"""What a governor tells, and whom: events to sinks, samples, news; and the plugins that joined."""

from __future__ import annotations

import contextlib
import sys
from collections import deque

from membudget.callables import check_function
from membudget.core import Failed, FloorFound, LeakSuspected, Level, PressureChanged, Sampled
from membudget.core.nouns import LevelChange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from membudget.core import Clock, Event, Hint, Plugin, Pressure, Reading, Sample, Sink
    from membudget.registry import Registry

FOREIGN = (Exception, SystemExit, GeneratorExit)
"""What foreign code may raise without stopping the loop; a KeyboardInterrupt is the program's."""

REPEAT_AFTER = 60.0  # Seconds until the same failure of a part is told again, with their count.
_MOST_REMEMBERED = 64  # Failures.


class Teller:
    """Passes each event to every sink and turns what they raise into `Failed` events."""

    def __init__(self, sinks: Iterable[Sink], clock: Clock) -> None:
        self.sinks: list[Sink] = []
        for sink in sinks:
            self.add(sink)
        self.given: tuple[Sink, ...] = tuple(self.sinks)  # Before anybody has added one.
        self.untold: int = 0
        self.suspect: str = ""  # What a leak was last said to be in, or "".
        self._clock = clock
        self._failures: dict[tuple[str, str], tuple[float, int]] = {}

    def add(self, sink: Sink) -> None:
        """Tell one more from now on; a ConfigError for what could never be called."""
        check_function(sink, "sink", ("event",))
        self.sinks.append(sink)

    def __call__(self, event: Event) -> None:
        """Tell every sink; a sink that raises is reported to the others."""
        if isinstance(event, LeakSuspected):
            self.suspect = event.culprit if event.confidence != "none" else ""
        for sink, error in _pass_on(event, self.sinks):
            failure = self._as_failure(f"sink {name_of(sink)}", error)
            if failure is not None:
                # A failure to tell a failure is only counted: telling it would never end.
                others = [other for other in self.sinks if other is not sink]
                self.untold += len(_pass_on(failure, others))

    def failed(self, where: str, error: BaseException) -> None:
        """Tell that a part failed, once a minute for the same part and kind of error."""
        failure = self._as_failure(where, error)
        if failure is not None:
            self(failure)

    def _as_failure(self, where: str, error: BaseException) -> Failed | None:
        now, key = self._clock.now(), (where, type(error).__name__)
        told, times = self._failures.get(key, (float("-inf"), 0))
        if now - told < REPEAT_AFTER:
            self._failures[key] = (told, times + 1)
            return None
        if len(self._failures) >= _MOST_REMEMBERED:
            self._failures.clear()
        self._failures[key] = (now, 0)
        # Frames would keep alive what is to be freed.
        return Failed(at=now, where=where, error=error.with_traceback(None), times=times + 1)


def _pass_on(event: Event, sinks: list[Sink]) -> list[tuple[Sink, BaseException]]:
    broken: list[tuple[Sink, BaseException]] = []
    for sink in tuple(sinks):
        try:
            sink(event)
        except FOREIGN as error:  # foreign code is fenced
            broken.append((sink, error.with_traceback(None)))
    return broken


def name_of(part: object) -> str:
    """What a function or an object is called in an event."""
    name = getattr(part, "name", None) or getattr(part, "__qualname__", None)
    return name if isinstance(name, str) else type(part).__name__


class Snapshots:
    """Tells a `Sampled` event every so many seconds, on the governor's thread.

    The sample it carries is made by `take`, set by who takes samples; the start does not wait for
    it.
    """

    def __init__(self, tell: Teller, registry: Registry, interval: float) -> None:
        self._tell, self._registry, self._interval = tell, registry, interval
        self.take: Callable[[Reading], Sample | None] | None = None
        self.begin()

    def begin(self, rest: float = 0.0) -> None:
        """Know of none yet: at first, and in a forked child, which waits for its first."""
        self._at, self._rest = float("-inf"), min(rest, self._interval)

    def follow(self, reading: Reading, pressure: Pressure, *, is_starting: bool = False) -> None:
        """Tell one where it is time; a start does not wait for a sample: the next step takes it."""
        if self._rest:
            self._at, self._rest = reading.at + self._rest - self._interval, 0.0
        is_early = is_starting and self.take is not None
        if is_early or reading.at - self._at < self._interval:
            return
        self._at, sample = reading.at, None
        if self.take is not None:
            try:
                sample = self.take(reading)
            except FOREIGN as error:  # a governor without samples is still one
                self._tell.failed("sample", error)
        self._tell(
            Sampled(
                at=reading.at,
                reading=reading,
                pressure=pressure,
                governed=self._registry.held_bytes(),
                blocks=sys.getallocatedblocks(),
                sample=sample,
            )
        )


class Plugins:
    """The plugins of one governor, in the order in which they joined; see `core.Plugin`."""

    def __init__(self, tell: Teller) -> None:
        self._tell = tell
        self._joined: list[Plugin] = []

    def __iter__(self) -> Iterator[Plugin]:
        return iter(tuple(self._joined))

    def join(self, plugin: Plugin, governor: object) -> None:
        """Take one in."""
        self._joined.append(plugin)
        if (join := getattr(plugin, "join", None)) is not None:
            join(governor)

    def leave(self) -> None:
        """End them all, the last that joined first; nobody is left, and nobody is asked twice."""
        with contextlib.suppress(IndexError):  # None is left.
            while True:
                self.ask(self._joined.pop(), "leave")

    def member(self, name: str) -> Any:
        """What the first of them that has a member of this name has there; None where none has."""
        return next((getattr(one, name) for one in self if hasattr(one, name)), None)

    def each(self, word: str, *arguments: object) -> None:
        """Have each that can do something do it, the last that joined first."""
        for plugin in reversed(self._joined):
            self.ask(plugin, word, *arguments)

    def ask(self, plugin: Plugin, word: str, *arguments: object, **options: object) -> Any:
        """What it answers; None where it cannot, or fails, which is told."""
        if (do := getattr(plugin, word, None)) is not None:
            try:
                return do(*arguments, **options)
            except FOREIGN as error:  # a plugin may be foreign code: it is fenced
                self._tell.failed(f"{word} of {name_of(plugin)}", error)
        return None

    def change_settings(self, before: Any, after: Any) -> None:
        """Have all take settings, or none, and raise the ConfigError of who cannot."""
        takers: list[Any] = [one for one in self if hasattr(one, "take_settings")]
        for place, plugin in enumerate(takers):
            try:
                plugin.take_settings(after)
            except BaseException:
                for earlier in takers[:place]:
                    earlier.take_settings(before)
                raise

    def hints(self, *, is_early: bool) -> list[Hint]:
        """What a new thread waits for."""
        answers = [self.ask(plugin, "hints", is_early=is_early) for plugin in self]
        return [hint for found in answers if found for hint in found]


NEWS_AFTER = {Level.WARNING: 300.0, Level.CRITICAL: 300.0, Level.EMERGENCY: 60.0}
"""Seconds in which a level that is reached again is told as a detail: use may swing about it."""

FLOOR_TOLD_EVERY = 6 * 3600.0  # Seconds until it is told again that shrinking does not help.
CHANGES_KEPT = 50  # Changes of level that are kept for whoever asks.


class News:
    """Tells changes of level, and floors, where they are news, and keeps the latest changes."""

    def __init__(
        self, tell: Teller, clock: Clock, explain: Callable[[Reading], str] | None = None
    ) -> None:
        self._tell, self._clock, self._explain = tell, clock, explain
        self.changes: deque[LevelChange] = deque(maxlen=CHANGES_KEPT)
        self.begin()

    def begin(self) -> None:
        """Have told nothing yet: at first, and in a forked child."""
        self._floor_told, self._floor_told_at = 0, float("-inf")
        self._raised_at: dict[Level, tuple[float, int]] = {}

    def change(self, before: Level, pressure: Pressure) -> None:
        """Tell a change of level; one that was told a short while ago is news to nobody."""
        now, level, again = self._clock.now(), pressure.level, 0
        if level > before:
            told, times = self._raised_at.get(level, (float("-inf"), 0))
            again = times + 1 if now - told < NEWS_AFTER[level] else 0
            self._raised_at[level] = (told if again else now, again)
        self.changes.append(
            LevelChange(
                at=now,
                before=before.name,
                level=level.name,
                used=pressure.used,
                limit=pressure.limit,
                cause=pressure.cause,
            )
        )
        self._tell(PressureChanged(at=now, before=before, pressure=pressure, again=again))

    def floor(
        self,
        reading: Reading,
        pressure: Pressure,
        kept: int,
        *,
        is_last: bool,
        is_braked: bool,
        ends: bool,
    ) -> None:
        """Tell that shrinking does not cure it: once, once more at the last, and after hours."""
        now, news = self._clock.now(), 2 if is_last else 1
        if news <= self._floor_told and now - self._floor_told_at < FLOOR_TOLD_EVERY:
            return
        self._floor_told, self._floor_told_at = news, now
        held_by = ""
        if self._explain is not None:
            try:
                held_by = self._explain(reading)
            except FOREIGN as error:  # it asks the allocator, which may not answer
                self._tell.failed("floor", error)
        self._tell(
            FloorFound(
                at=now,
                pressure=pressure,
                kept=kept,
                is_last=is_last,
                held_by=held_by,
                culprit=self._tell.suspect,
                is_braked=is_braked,
                ends=ends,
            )
        )
