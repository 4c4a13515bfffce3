"""What each cache is to have of the whole: moved to where a byte earns most hits. Pure.

Each table remembers for a while what it evicted (its ghost). A key set again that is found there
would have been a hit, had the cache been about twice as large. So ghost hits ÷ bytes tells what
more bytes would earn, at no cost beyond a counter. At each decision a share grows or shrinks by
`PACE` times the logarithm of what its cache earns so to what all earn together, a few percent at
most: where all earn alike, nothing moves, and the farther one is off the faster it goes.

Two things keep chance from moving bytes. Hits of about the last ten decisions count, and `DOUBT`
more are added on both sides of the ratio, so that a few say nothing, and an idle process stands
still. And a share that its cache does not fill grows only by what others leave: where it is too
small for one value, say.

Source: hill climbing on shadow queues, Cliffhanger (Cidon et al., NSDI 2016), there with a constant
credit for each hit in a shadow queue; here with multiplicative weights (Freund and Schapire 1997),
since caches of one process differ a thousandfold in size and traffic. The constants were found on
recorded requests, see ADR 18.
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP = 0.02
"""Share of the whole that one decision moves at most."""

PACE = 0.05
"""Part of a share by which it grows where its bytes earn e times as much as all do."""

FARTHEST = 2.0
"""Logarithm from which it goes no faster."""

MEMORY = 0.9
"""Weight that a decision before the last has in one: about ten count."""

DOUBT = 32.0
"""Ghost hits that each cache is taken to have had beside its own, as many as its bytes deserve."""

FLOOR = 0.05
"""Share of an equal part that each cache keeps, however little it earns."""

FILLED = 0.9
"""Part of its share that a cache fills before it may ask for more."""


class Part:
    """One cache and what it is to have.

    Args:
        cache: The cache; it is not kept alive, and whoever uses the part must hold it meanwhile.
        share: Bytes to begin with.

    Attributes:
        share: Bytes that it is to have.
        hits: Its ghost hits of late.
        space: Its share of late, counted alike: what those hits are measured by.
    """

    __slots__ = ("_cache", "_seen", "hits", "share", "space")

    def __init__(self, cache: Any, share: int) -> None:
        self._cache = ref(cache)
        self.share = share
        self.hits = self.space = 0.0
        self._seen = cache.ghost_hits

    @property
    def cache(self) -> Any:
        """The cache."""
        return self._cache()

    @property
    def most(self) -> float:
        """Bytes that the cache may hold by its own bound."""
        own: int | None = self.cache.max_bytes
        return float("inf") if own is None else own

    def learn(self) -> None:
        """Take in the ghost hits since the last decision."""
        hits = self.cache.ghost_hits
        self.hits = MEMORY * self.hits + max(0, hits - self._seen)
        self.space = MEMORY * self.space + self.share
        self._seen = hits

    def worth(self, earned: float) -> float:
        """The logarithm of what its bytes earn to what all earn; at most 0 where it has enough."""
        worth = log((self.hits + DOUBT) / (self.space * earned + DOUBT))
        if worth > 0 and self.cache.held_bytes() < FILLED * self.share:
            return 0.0
        return max(-FARTHEST, min(FARTHEST, worth))


def move(parts: Sequence[Part], whole: int) -> None:
    """Learn, and let each share grow or shrink by what its bytes earn beside those of all."""
    for part in parts:
        part.learn()
    earned = sum(part.hits for part in parts) / max(1.0, sum(part.space for part in parts))
    wanted = [part.share * exp(PACE * part.worth(earned)) for part in parts]
    total = max(1.0, sum(wanted))
    moves = [want * whole / total - part.share for want, part in zip(wanted, parts, strict=True)]
    moved = sum(more for more in moves if more > 0)
    slower = min(1.0, whole * STEP / moved) if moved > 0 else 1.0
    for more, part in zip(moves, parts, strict=True):
        part.share += int(more * slower)


def fit(parts: Sequence[Part], whole: int) -> None:
    """Make the shares sum to the whole: none above what its cache may hold, none below the floor.

    What is too much is taken where it is not used first; what is left goes to those that may hold
    more, in the proportion of their shares.
    """
    floor = int(whole * FLOOR / len(parts))
    for part in parts:
        part.share = int(min(part.most, max(floor, part.share)))
    _take_back(parts, whole, [max(floor, part.cache.held_bytes()) for part in parts])
    _take_back(parts, whole, [floor] * len(parts))
    for _ in range(4):  # Each time some may reach their own bound.
        rest = whole - sum(part.share for part in parts)
        able = [part for part in parts if part.share < part.most]
        if rest <= 0 or not able:
            return
        total = sum(part.share + 1 for part in able)
        for part in able:
            part.share = int(min(part.most, part.share + rest * (part.share + 1) // total))


def _take_back(parts: Sequence[Part], whole: int, least: Sequence[int]) -> None:
    """Take what is beyond the whole, in the proportion of what each has above its least."""
    over = sum(part.share for part in parts) - whole
    spare = [max(0, part.share - low) for part, low in zip(parts, least, strict=True)]
    total = sum(spare)
    if over <= 0 or not total:
        return
    for part, much in zip(parts, spare, strict=True):
        # Rounded up: the sum may end below the whole by some bytes, never above.
        part.share -= min(much, -(-over * much // total))
