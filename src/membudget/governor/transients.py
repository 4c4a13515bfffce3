"""What comes and goes: memory that requests need for a moment, learned so that room is kept for it.

*Apart* is what the process holds beside its holders, and beside the *holes* that they left: what
they let go of and the meter has not shown. It is held against its own minimum of the last seconds;
what rose above that and fell again by half was a *transient*, and its peak is learned at once. What
stays, such as a leak, is in the minimum after `WINDOW` at the latest, and is no transient.
"""

from __future__ import annotations

from collections import deque

from membudget.core.nouns import Transience

WINDOW = 30.0  # Seconds after which what has not gone again is none of it.
_AT_LEAST, _SHARE = 8 << 20, 1 / 64  # Bytes, and share of the limit, below which none is learned.
_MARGIN = 1 / 12  # Of the highest, kept free above it.
_FULL, _GONE = 3600.0, 6 * 3600.0
"""Seconds for which a peak counts in full, and until it counts for nothing."""

_APART = 600.0  # Seconds of which the highest is kept.
_LOOK_EVERY = 5.0  # Seconds between two looks at what has faded, and at what does not change.


class Transients:
    """Learns what comes and goes. Used by the governor's thread only; time is that of readings.

    Attributes:
        kept: Bytes to be kept free for it, and `passing` what is there of it now, at most that.
        resting: Bytes that the process holds, beside its holders, while nothing of it is there.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know nothing: at first, and in a forked child."""
        self.kept: int = 0
        self.passing: int = 0
        self.resting: int = 0
        self._highest = self._counted = self._latest = 0
        self._own = self._held = self._holes = self._peak = self._most = 0
        self._lowest: tuple[int, int] | None = None  # Of this half of the window, and that before.
        self._since = self._due = float("-inf")
        # When each ten minutes began, the highest of them, and how many there were.
        self._seen: deque[tuple[float, int, int]] = deque()

    def follow(self, at: float, own: int, held: int, limit: int | None, at_once: int = 0) -> None:
        """Take note of what the process and its holders hold. Cost: 1.5 µs, 0.1 where it stays.

        Of it holders took in `at_once` in large values: what was there of them beside did not go.
        """
        if own == self._own and held == self._held and at < self._due:
            return
        rose, grew = own - self._own, held - self._held - at_once
        self._most = max(self._most, self._held + self._holes + at_once)
        if self._lowest is None:
            self._lowest, self._since, self._peak = (own - held, own - held), at, own - held
        elif grew < 0:
            self._holes += max(0, min(-grew, rose - grew))
        elif grew > 0:
            self._holes -= max(0, min(self._holes, grew - rose))
        self._own, self._held = own, held
        self._most = max(self._most, held + self._holes)
        apart, low = own - held - self._holes, min(self._lowest)
        self._peak -= at_once
        if apart < low and self._holes:  # They were given back, or filled with what holders miss.
            filled = min(self._holes, low - apart)
            self._holes -= filled
            apart += filled
        self._measure(at, apart, low, max(_AT_LEAST, (limit or 0) * _SHARE), grew - rose)
        if at >= self._due:
            self._draw(at)
        if at - self._since >= WINDOW / 2:
            self._lowest, self._since = (apart, self._lowest[0]), at
        elif apart < self._lowest[0]:
            self._lowest = apart, self._lowest[1]
        low = min(self._lowest)
        self.resting = low + self._holes
        self.passing = min(self.kept, apart - low)

    def _measure(self, at: float, apart: int, low: int, least: float, fell: int) -> None:
        """Learn what rose above the lowest and has fallen by half.

        Where holders let go and gave it back while it rose, the fall shows how much it was.
        """
        self._peak = max(self._peak, apart)
        height = self._peak - low
        if height < least:
            self._peak = apart
        elif self._peak - apart >= height / 2:
            self.learn(at, max(height, fell))
            self._peak = apart

    def peaked(self, own: int) -> None:
        """The process held so much at most since the last call; 0 where that is not known."""
        self._peak, self._due = max(self._peak, own - self._most), float("-inf")
        self._most = self._held + self._holes

    def learn(self, at: float, size: int) -> None:
        """One of so many bytes has come and gone."""
        self._latest = max(self._latest, size)
        began, highest, count = self._seen.pop() if self._seen else (at, 0, 0)
        if at - began >= _APART:
            self._seen.append((began, highest, count))
            began, highest, count = at, 0, 0
        self._seen.append((began, max(highest, size), count + 1))
        self._draw(at)

    def recall(self, at: float, size: int) -> None:
        """One came and went in an earlier life, before all that are known."""
        self._seen.appendleft((at, size, 0))
        self._due = float("-inf")

    def _draw(self, at: float) -> None:
        self._due, seen = at + _LOOK_EVERY, self._seen
        while seen and at - seen[0][0] >= _GONE:
            seen.popleft()
        highest, count = 0.0, 0
        for began, most, many in seen:
            age = at - began
            highest = max(highest, most * min(1.0, (_GONE - age) / (_GONE - _FULL)))
            count += many if age < _FULL else 0
        self._highest, self._counted = int(highest), count
        self.kept = int(highest * (1 + _MARGIN))

    def latest(self) -> int:
        """The highest since the last call, for a sample."""
        latest, self._latest = self._latest, 0
        return latest

    def state(self) -> Transience:
        """How it stands, for `Status`."""
        return Transience(kept=self.kept, highest=self._highest, an_hour=self._counted)
