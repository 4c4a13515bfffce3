"""Who is suspected, while a leak is: a census at most hourly, and what grew through three.

And for those who asked for it, once it is sure: the lines, by one window of tracemalloc. Nothing of
it is imported before the first suspicion, and under pressure nobody is counted, nothing traced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Level
from membudget.governor.telling import FOREIGN
from membudget.inspection.leak_watch import HOUR, LONGEST_STEP, left_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from membudget.governor import Governor
    from membudget.heap import Census, Garbage
    from membudget.heap.taker import CensusTaker
    from membudget.heap.window import Line, Window
    from membudget.inspection.leak_watch import LeakWatch
    from membudget.leaks import Verdict
    from membudget.leaks.culprit import Culprit

_KEPT = 6  # Censuses compared: half a day of them does not see an hour's growth any more

_WORTH = 0.05
"""Share of the growth from which what a collection freed is told: there is always some garbage."""

_SURE = 2  # Confidence.MEDIUM, which is imported with the first verdict
_RETRY = HOUR  # Seconds until it is traced anew where somebody else does, or memory became short


class _WhileSuspected:
    """A chore for as long as a leak is suspected and there is no pressure; each time anew."""

    def __init__(self, governor: Governor, watch: LeakWatch) -> None:
        self._governor = governor
        self._watch = watch
        self._clock = governor.clock
        self._begin()

    def _begin(self) -> None:
        self.end()
        self._is_on = False
        self._next = float("-inf")

    def end(self) -> None:
        """Have nothing under way; what was found stands."""

    def after_fork_in_child(self) -> None:
        """Know nothing."""
        self._begin()

    def _suspicion(self) -> Verdict | None:
        """The verdict, while there is a suspicion and no pressure; without one all is forgotten."""
        verdict = self._watch.verdict
        if verdict is None or not verdict.confidence:
            if self._is_on:
                self._begin()
            return None
        self._is_on = True
        if self._governor.imports.is_closed:
            return None
        if self._governor.pressure.level is not Level.NORMAL:
            self._give_way()
            return None
        return verdict

    def _give_way(self) -> None:
        self.end()


class Suspects(_WhileSuspected):
    """Looks for what grows, in slices of at most 5 ms, while somebody suspects.

    Cost: about 1.5 s of processor time a million objects and look. Those found from the third look
    on, the likeliest first, are told to the watch; the collector says what a collection freed.
    Looks are dated by the clock of samples, `wall`: their rates are compared.
    """

    name = "culprits"

    def __init__(
        self,
        governor: Governor,
        watch: LeakWatch,
        *,
        tracing: Tracing | None = None,
        wall: Callable[[], float],
        redact: Callable[[str], object] | None = None,
    ) -> None:
        self._tracing = tracing
        self._wall = wall
        self._every = governor.settings["leaks.census_every"]
        self._redact = None if redact is None else fenced(redact, governor.tell.failed)
        super().__init__(governor, watch)

    def _begin(self) -> None:
        super()._begin()
        self.found: tuple[Culprit, ...] = ()
        self._censuses: list[Census] = []
        # What was freed under an earlier suspicion says nothing of the next one.
        self._told_before = self._ranked = self._garbage()
        self._lined = self._lines()

    def end(self) -> None:
        """Let go of a look under way; what was found stands."""
        self._taker: CensusTaker | None = None
        self._steps: Generator[None, None, None] | None = None

    def _give_way(self) -> None:
        # A look that waits keeps objects alive that the program may be letting go of.
        self._taker = None

    def due(self, now: float) -> bool:
        """Whether a look is due or under way."""
        if self._suspicion() is None:
            return False
        is_under_way = self._taker is not None or self._steps is not None
        return is_under_way or now >= self._next or self._has_news()

    def run(self, until: float) -> int:
        """Look on for a slice if one is due, whoever asks; nothing is let go."""
        if not self.due(self._clock.now()):
            return 0
        # What raises is begun anew with the next look.
        steps, self._steps = self._steps, None
        if steps is not None:
            self._steps = left_of(steps, self._clock, until)
            return 0
        if self._taker is not None or not self._has_news():
            taker, self._taker = self._taker or self._new_taker(), None
            census = taker.step(until)
            if census is None:
                self._taker = taker
                return 0
            self._censuses = [*self._censuses, census.replace(at=self._wall())][-_KEPT:]
        self._steps = self._ranking()
        return 0

    def _garbage(self) -> Garbage | None:
        """What a collection before accusing freed, or None where there was none yet."""
        collector = self._governor.collector
        garbage: Garbage | None = None if collector is None else collector.garbage
        return garbage

    def _lines(self) -> tuple[Line, ...]:
        return () if self._tracing is None else self._tracing.lines

    def _has_news(self) -> bool:
        """Whether a collection told of garbage, or a window of lines, since the last ranking."""
        return self._garbage() is not self._ranked or self._lines() is not self._lined

    def _new_taker(self) -> CensusTaker:
        self._next = self._clock.now() + self._every
        with self._governor.imports:
            from membudget.heap.taker import CensusTaker  # only where a leak is suspected
            from membudget.inspection.roots import held_values
        before = self._censuses[-1] if self._censuses else None
        held = held_values(self._governor.registry)
        return CensusTaker(before, extra=held, redact=self._redact, now=self._clock.now)

    def _ranking(self) -> Generator[None, None, None]:
        from membudget.leaks.culprit import LOOKS, components, located, ranking

        self._ranked = garbage = self._garbage()
        self._lined = lines = self._lines()
        if (verdict := self._watch.verdict) is None:
            return
        if garbage is self._told_before:
            garbage = None
        elif garbage is not None and not garbage.uncollectable:
            garbage = garbage if garbage.bytes >= _WORTH * verdict.growth else None
        has_looked = len(self._censuses) >= LOOKS
        if not has_looked and garbage is None and not lines:
            return
        parts = []
        if has_looked:
            parts = yield from components((yield from self._watch.ring.reading()))
        if garbage is not None and verdict.rate > 0:
            # As much of the growth as it was: by when it came nobody knows.
            garbage = garbage.replace(over=HOUR * verdict.growth / verdict.rate)
        found = yield from ranking(self._censuses, verdict.rate, parts, garbage)
        self.found = located(found, lines)
        self._watch.accuse(self.found)


def fenced(
    redact: Callable[[str], object], failed: Callable[[str, BaseException], object]
) -> Callable[[str], str]:
    """The program's own redaction, which may fail: then nothing of the text is told."""

    def redacted(text: str) -> str:
        try:
            told = redact(text)
            if isinstance(told, str):
                return told
            raise TypeError(f"redact returned a {type(told).__name__}: return the text to tell")
        except FOREIGN as error:  # foreign code
            failed("redact", error)
            return f"<{len(text)} characters>"

    return redacted


class Tracing(_WhileSuspected):
    """Opens a window of tracemalloc once a leak is confirmed, and keeps its lines.

    `leaks.trace` says for how long. Meanwhile the process is several times slower; so it is done
    once a suspicion, never under pressure, and never where somebody else traces already. At the end
    of the window other threads wait for up to 0.3 s, while the traces are listed; adding them up is
    done in slices. `lines` is where what stayed was allocated, the most first; empty before that.
    """

    name = "trace"

    def __init__(self, governor: Governor, watch: LeakWatch) -> None:
        self._seconds = governor.settings["leaks.trace"]
        self._window: Window | None = None
        super().__init__(governor, watch)

    def _begin(self) -> None:
        super()._begin()
        self.lines: tuple[Line, ...] = ()
        self._is_done = False

    def end(self) -> None:
        """Close a window that is open and trace no more; the lines stand."""
        window, self._window = self._window, None
        if window is not None:
            window.drop()

    def due(self, now: float) -> bool:
        """Whether a window is to be opened, or one that is open has something to do."""
        if (verdict := self._suspicion()) is None:
            return False
        if self._window is not None:
            return self._window.due()
        return not self._is_done and verdict.confidence >= _SURE and now >= self._next

    def run(self, until: float) -> int:
        """Open the window, or see it through for a slice; nothing is let go."""
        now = self._clock.now()
        if not self.due(now):
            return 0
        self._next = now + _RETRY  # Where somebody else traces, or memory is short.
        if self._window is None:
            with self._governor.imports:
                import tracemalloc

                from membudget.heap.window import Window
            if not tracemalloc.is_tracing():
                self._window = Window(self._seconds, self._clock.now)
            return 0
        try:
            lines = self._window.step(until - LONGEST_STEP)
        except BaseException:
            self.end()
            raise
        if lines is not None:
            self._window, self.lines, self._is_done = None, lines, True
        return 0
