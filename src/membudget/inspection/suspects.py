"""Who is suspected: while a leak is, a census at most hourly, and those that grew through three.

And for those who asked for it, once it is sure: the lines, by one window of tracemalloc. Nothing of
it is imported before the first suspicion. Under pressure nobody is counted and nothing traced: what
was found last stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.core.native import Imports
from membudget.governor.telling import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from membudget.core import Clock, Sample
    from membudget.heap.census import Census
    from membudget.heap.freed import Garbage
    from membudget.heap.taker import CensusTaker
    from membudget.heap.window import Line, Window
    from membudget.leaks.culprit import Culprit, PartGrowth
    from membudget.leaks.records import Verdict

_KEPT = 6
"""Censuses compared: half a day of them does not see an hour's growth any more."""

_LONGEST_STEP = 0.002
"""Seconds that a step of ranking or adding up may take: a slice ends while there is time for it."""

_AT_A_TIME = 32
"""Samples gathered in a stretch."""

_HOUR = 3600.0

_WORTH = 0.05
"""Share of the growth from which what a collection freed is told: there is always some garbage."""


class Suspects:
    """The chore that looks for what grows, in slices of at most 5 ms, while somebody suspects.

    Runs on the governor's thread; cost: about 1.5 s of processor time a million objects and look.

    Args:
        standing: Gives the verdict that stands, or None.
        samples: Gives the samples kept, oldest first, in slices.
        accuse: Takes those found, the likeliest first, after each look from the third on.
        held: Gives further roots: what the library's own caches hold, lazily.
        garbage: Gives what a collection before accusing freed, or None where there was none yet.
        lines: Gives the lines of a window of tracemalloc, or none.
        is_calm: Whether there is no pressure now.
        every: Seconds between two looks.
        clock: Where time comes from.
        wall: Unix seconds that samples are dated by, and looks then as well; None leaves those to
            `clock`.
        redact: What texts of the program's are passed through, or None: digits hidden.
        imports: Marks what is imported late.

    Attributes:
        found: Those found last.
    """

    name = "culprits"

    def __init__(
        self,
        standing: Callable[[], Verdict | None],
        samples: Callable[[], Generator[None, None, Sequence[Sample]]],
        accuse: Callable[[tuple[Culprit, ...]], object],
        *,
        held: Callable[[], Iterable[tuple[str, Any]]] = tuple,
        garbage: Callable[[], Garbage | None] = lambda: None,
        lines: Callable[[], tuple[Line, ...]] = tuple,
        is_calm: Callable[[], bool],
        every: float,
        clock: Clock,
        wall: Callable[[], float] | None = None,
        redact: Callable[[str], str] | None = None,
        imports: Imports | None = None,
    ) -> None:
        self._imports = imports or Imports()
        self._standing = standing
        self._samples = samples
        self._accuse = accuse
        self._held = held
        self._garbage = garbage
        self._lines = lines
        self._is_calm = is_calm
        self._every = every
        self._clock = clock
        self._wall = wall
        self._redact = redact
        self._begin()

    def _begin(self) -> None:
        self.found: tuple[Culprit, ...] = ()
        self._censuses: list[Census] = []
        self._taker: CensusTaker | None = None
        self._steps: Generator[None, None, None] | None = None
        self._next = float("-inf")
        # What was freed under an earlier suspicion says nothing of the next one.
        self._told_before = self._ranked = self._garbage()
        self._lined = self._lines()

    def due(self, now: float) -> bool:
        """Whether a look is due or under way; without a suspicion all is forgotten."""
        verdict = self._standing()
        if verdict is None or not verdict.confidence:
            if self._censuses or self._taker is not None:
                self._begin()
            return False
        if self._imports.is_closed:
            return False
        if not self._is_calm():
            # A look that waits keeps objects alive that the program may be letting go of.
            self._taker = None
            return False
        is_under_way = self._taker is not None or self._steps is not None
        return is_under_way or now >= self._next or self._has_news()

    def run(self, until: float) -> int:
        """Look on for a slice if one is due, whoever asks; nothing is let go."""
        if not self.due(self._clock.now()):
            return 0
        if self._steps is not None:
            self._rank_on(self._steps, until)
            return 0
        if self._taker is None and self._has_news():
            self._steps = self._ranking()
            return 0
        taker, self._taker = self._taker or self._new_taker(), None
        census = taker.step(until)  # One that raises is begun anew, an hour later.
        if census is None:
            self._taker = taker
            return 0
        if self._wall is not None:  # Rates of samples and of looks are compared.
            now = self._wall()
            census = census.replace(at=now, wall=now)
        self._censuses = [*self._censuses, census][-_KEPT:]
        self._steps = self._ranking()
        return 0

    def _has_news(self) -> bool:
        """Whether a collection told of garbage, or a window of lines, since the last ranking."""
        return self._garbage() is not self._ranked or self._lines() is not self._lined

    def end(self) -> None:
        """Let go of a look under way; what was found stands."""
        self._taker = self._steps = None

    def after_fork_in_child(self) -> None:
        """Know nothing."""
        self._begin()

    def _new_taker(self) -> CensusTaker:
        self._next = self._clock.now() + self._every
        with self._imports:
            from membudget.heap.taker import CensusTaker  # only where a leak is suspected
        before = self._censuses[-1] if self._censuses else None
        return CensusTaker(before, extra=self._held(), redact=self._redact, now=self._clock.now)

    def _rank_on(self, steps: Generator[None, None, None], until: float) -> None:
        self._steps = None  # What raises is begun anew with the next look.
        for _ in steps:
            if self._clock.now() >= until - _LONGEST_STEP:
                self._steps = steps
                return

    def _ranking(self) -> Generator[None, None, None]:
        from membudget.leaks.culprit import LOOKS, located, ranking

        self._ranked = garbage = self._garbage()
        self._lined = lines = self._lines()
        verdict, parts = self._standing(), []
        if garbage is self._told_before or (verdict and not _is_worth_telling(garbage, verdict)):
            garbage = None
        if verdict is None or (len(self._censuses) < LOOKS and garbage is None and not lines):
            return
        if len(self._censuses) >= LOOKS:
            samples = yield from self._samples()
            parts = yield from gathering(samples)
        if garbage is not None and verdict.rate > 0:
            # As much of the growth as it was: by when it came nobody knows.
            garbage = garbage.replace(over=_HOUR * verdict.growth / verdict.rate)
        found = yield from ranking(self._censuses, verdict.rate, parts, garbage)
        self.found = located(found, lines)
        self._accuse(self.found)


def _is_worth_telling(garbage: Garbage | None, verdict: Verdict) -> bool:
    if garbage is None:
        return False
    return garbage.uncollectable > 0 or garbage.bytes >= _WORTH * verdict.growth


def gathering(samples: Sequence[Sample]) -> Generator[None, None, list[PartGrowth]]:
    """The registered parts without a bound, over time; those with one have told where it ends.

    In slices of about a millisecond.

    Yields:
        Nothing; another thread may have its turn.
    """
    from membudget.leaks.culprit import PartGrowth

    rows: dict[tuple[str, str], list[tuple[float, int, int | None]]] = {}
    newest = samples[-1] if samples else None
    for place, one in enumerate(samples, 1):
        if place % _AT_A_TIME == 0:
            yield
        if newest is None or (one.pid, one.began) != (newest.pid, newest.began):
            continue
        for part in one.parts:
            if part.items is not None and not part.is_bounded:
                row = (one.wall / _HOUR, part.items, part.bytes)
                rows.setdefault((part.name, part.kind), []).append(row)
    return [
        PartGrowth(
            name=name,
            kind=kind,
            hours=tuple(at for at, _, _ in found),
            items=tuple(float(items) for _, items, _ in found),
            bytes=None
            if any(size is None for _, _, size in found)
            else tuple(float(size or 0) for _, _, size in found),
        )
        for (name, kind), found in rows.items()
    ]


def fenced(
    redact: Callable[[str], object], failed: Callable[[str, BaseException], object]
) -> Callable[[str], str]:
    """The program's own redaction, which may fail: then nothing of the text is told.

    Args:
        redact: Takes a text and returns what may be told of it.
        failed: Takes what it raised.
    """

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


_SURE = 2
"""Confidence.MEDIUM, which is imported with the first verdict."""

_RETRY = 3600.0
"""Seconds until it is tried anew where somebody else traces, or memory became short."""


class Tracing:
    """The chore that opens a window once a leak is confirmed, and keeps its lines.

    `leaks.trace` says for how long. Meanwhile the process is several times slower; so it is done
    once a suspicion, never under pressure, and never where somebody else traces already.

    Runs on the governor's thread. Cost beside the tracing itself: at the end of the window other
    threads wait for up to 0.3 s, while the traces are listed; adding them up is done in slices.

    Args:
        standing: Gives the verdict that stands, or None.
        seconds: How long the window is open.
        is_calm: Whether there is no pressure now.
        clock: Where time comes from.
        imports: Marks what is imported late.

    Attributes:
        lines: Where what stayed was allocated, the most first; empty before the end of a window.
    """

    name = "trace"

    def __init__(
        self,
        standing: Callable[[], Verdict | None],
        seconds: float,
        *,
        is_calm: Callable[[], bool],
        clock: Clock,
        imports: Imports | None = None,
    ) -> None:
        self._imports = imports or Imports()
        self._standing = standing
        self.seconds = seconds
        self._is_calm = is_calm
        self._clock = clock
        self._window: Window | None = None
        self._begin()

    def _begin(self) -> None:
        self.end()
        self.lines: tuple[Line, ...] = ()
        self._is_done = False
        self._next = float("-inf")

    def due(self, now: float) -> bool:
        """Whether a window is to be opened, or one that is open has something to do."""
        verdict = self._standing()
        if verdict is None or not verdict.confidence:
            if self._window is not None or self._is_done:
                self._begin()
            return False
        if self._is_done or self._imports.is_closed:
            return False
        if not self._is_calm():
            if self._window is not None:
                self.end()
                self._next = now + _RETRY
            return False
        if self._window is not None:
            return self._window.due()
        return verdict.confidence >= _SURE and now >= self._next

    def run(self, until: float) -> int:
        """Open the window, or see it through for a slice; nothing is let go."""
        now = self._clock.now()
        if not self.due(now):
            return 0
        if self._window is None:
            self._next = now + _RETRY
            self._window = self._opened()
            return 0
        try:
            lines = self._window.step(until - _LONGEST_STEP)
        except BaseException:  # Where memory is short, say: it would be tried at each tick.
            self.end()
            self._next = now + _RETRY
            raise
        if lines is not None:
            self._window, self.lines, self._is_done = None, lines, True
        return 0

    def end(self) -> None:
        """Close a window that is open and trace no more; the lines stand."""
        window, self._window = self._window, None
        if window is not None:
            window.drop()

    def after_fork_in_child(self) -> None:
        """Trace nothing, and know nothing."""
        self._begin()

    def _opened(self) -> Window | None:
        """An open window; None where somebody else traces."""
        with self._imports:
            import tracemalloc

            from membudget.heap.window import Window
        if tracemalloc.is_tracing():
            return None
        window = Window(self.seconds, self._clock.now)
        window.begin()
        return window
