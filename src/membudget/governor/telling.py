"""How events reach the sinks: foreign code, fenced, so that a broken sink stops nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Failed, LeakSuspected, SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from membudget.core import Clock, Event, Sink

FOREIGN = (Exception, SystemExit, GeneratorExit)
"""What foreign code may raise without stopping the loop. An interrupt from the keyboard is the
program's own, and reaches it where it calls `step()` itself."""

REPEAT_AFTER = 60.0
"""Seconds before the same failure of the same part is told again; in between it is counted."""

_MOST_REMEMBERED = 64


class Teller:
    """Passes each event to every sink and turns what they raise into `Failed` events.

    Args:
        sinks: Takers of events, in order.
        clock: For tests.

    Attributes:
        suspect: What a leak was last said to be in, or "".
    """

    def __init__(self, sinks: Iterable[Sink] = (), clock: Clock | None = None) -> None:
        self.sinks = list(sinks)
        self.untold = 0
        self.suspect = ""
        self._clock = clock or SystemClock()
        self._failures: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(self, event: Event) -> None:
        """Tell every sink; a sink that raises is reported to the others."""
        if isinstance(event, LeakSuspected):
            self.suspect = event.culprit if event.confidence != "none" else ""
        broken = self._pass_on(event, self.sinks)
        for sink, error in broken:
            others = [other for other in self.sinks if other is not sink]
            failure = self._as_failure(f"sink {name_of(sink)}", error)
            if failure is not None:
                # A failure to tell a failure is only counted: telling it would never end.
                self.untold += len(self._pass_on(failure, others))

    def failed(self, where: str, error: BaseException) -> None:
        """Tell that a part failed, once a minute for the same part and kind of error."""
        failure = self._as_failure(where, error)
        if failure is not None:
            self(failure)

    def _pass_on(self, event: Event, sinks: list[Sink]) -> list[tuple[Sink, BaseException]]:
        broken: list[tuple[Sink, BaseException]] = []
        for sink in tuple(sinks):
            try:
                sink(event)
            except FOREIGN as error:  # foreign code is fenced
                broken.append((sink, error.with_traceback(None)))
        return broken

    def _as_failure(self, where: str, error: BaseException) -> Failed | None:
        now = self._clock.now()
        key = (where, type(error).__name__)
        told, times = self._failures.get(key, (float("-inf"), 0))
        if now - told < REPEAT_AFTER:
            self._failures[key] = (told, times + 1)
            return None
        if len(self._failures) >= _MOST_REMEMBERED:
            self._failures.clear()
        self._failures[key] = (now, 0)
        # Frames would keep alive what is to be freed.
        return Failed(at=now, where=where, error=error.with_traceback(None), times=times + 1)


def name_of(part: object) -> str:
    """What a function or an object is called in an event."""
    name = getattr(part, "name", None) or getattr(part, "__qualname__", None)
    return name if isinstance(name, str) else type(part).__name__
