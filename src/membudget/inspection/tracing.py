"""The line of a leak that is sure: one window of tracemalloc, for those who asked for it.

`leaks.trace` says for how long. Meanwhile the process is several times slower; so it is done once a
suspicion, never under pressure, and never where somebody else traces already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core.native import Imports

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Clock
    from membudget.heap.window import Line, Window
    from membudget.leaks.records import Verdict

_SURE = 2
"""Confidence.MEDIUM, which is imported with the first verdict."""

_RETRY = 3600.0
"""Seconds until it is tried anew where somebody else traces, or memory became short."""

_LONGEST_STEP = 0.002
"""Seconds that one step of adding up may take: a slice ends while there is time for one more."""


class Tracing:
    """The chore that opens a window once a leak is confirmed, and keeps its lines.

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
