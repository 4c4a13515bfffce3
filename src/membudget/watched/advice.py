"""What use says about a container's bound: how full, how old, how much of it is read."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.units import human_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLES = 120  # Samples kept, 150 bytes each.
LONGEST = 720.0  # Seconds between two samples at most: 120 of them make a day.
HEADROOM = 1.5  # Of what it held for 95 % of the time, or what was read: room for a busier day.
FULL = 0.9  # Share of the limit from which a container counts as full.
FEWEST_READS = 100  # Reads before they say anything.
_MOSTLY = 0.95
_RARELY = 0.05  # Share of lookups with a result, below which a longer one is not read either.
_MISSING: Any = object()


class _Sample:
    __slots__ = ("at", "dropped", "length", "most")

    def __init__(self, at: float, length: int, dropped: int) -> None:
        self.at = at
        self.length = self.most = length
        self.dropped = dropped


class History:
    """The lengths seen, in samples whose distance (`every`, seconds) doubles as they get many.

    One writer; reading is safe beside it. `peak` is the greatest length seen, `looks` their number.
    """

    def __init__(self, every: float) -> None:
        self.peak: int = 0
        self.looks: int = 0
        self.last: int = 0
        self._every = every
        self._samples: list[_Sample] = []
        self._dropped = 0

    def note(self, at: float, length: int) -> None:
        """Note a length seen now (monotonic seconds). Cost: under 1 µs."""
        self.looks += 1
        self.peak = max(self.peak, length)
        self._dropped += max(0, self.last - length)
        self.last = length
        samples = self._samples
        # A little early counts as in time, or every second look would be left out.
        if samples and at - samples[-1].at < 0.9 * self._every:
            samples[-1].most = max(samples[-1].most, length)
            return
        samples.append(_Sample(at, length, self._dropped))
        if len(samples) <= SAMPLES:
            return
        if self._every >= LONGEST:
            del samples[0]
            return
        self._every = min(LONGEST, 2 * self._every)
        for before, one in pairwise(tuple(samples)):
            before.most = max(before.most, one.most)
        self._samples = samples[::2]

    def mostly(self) -> int:
        """The length below which it stayed for 95 % of the time."""
        lengths = sorted(one.most for one in tuple(self._samples))
        return lengths[min(len(lengths) - 1, int(len(lengths) * _MOSTLY))] if lengths else 0

    def growth(self) -> float:
        """Items a second that it gained, from the oldest sample to the last; below 0 it shrank."""
        samples = tuple(self._samples)
        if len(samples) < 2:  # noqa: PLR2004  # a rate takes two
            return 0.0
        first, last = samples[0], samples[-1]
        return (last.length - first.length) / max(1e-9, last.at - first.at)

    def oldest(self, now: float) -> float | None:
        """Seconds since which the oldest item is there, at most; None where that is not to be told.

        From the lengths alone: what has shrunk by as much as it once held has, first in first out,
        nothing of that time left. A deque that stands at its maxlen never shrinks.
        """
        for one in reversed(tuple(self._samples)):
            if self._dropped - one.dropped >= one.length:
                return max(0.0, now - one.at)
        return None


class Reads:
    """How often a container was read, counted without a lock: threads that race may lose a count.

    `depth` is how many items back from the newest was read, of a list or deque, or None.
    """

    def __init__(self) -> None:
        self.hits = self.misses = 0
        self.depth: int | None = None

    def note_depth(self, depth: int) -> None:
        """Note that so many items back was read."""
        self.depth = depth if self.depth is None else max(self.depth, depth)


class Observed:
    """A container as its readers see it: lookups are counted, all else goes to the container.

    Reading cannot be seen from outside, so the readers must use this; writers may use the container
    itself. Cost: about 0.3 µs a lookup.
    """

    def __init__(self, find: Callable[[], Any], reads: Reads) -> None:
        self._find = find
        self._reads = reads

    def __getitem__(self, key: Any) -> Any:
        container, reads = self._find(), self._reads
        try:
            value = container[key]
        except LookupError:
            reads.misses += 1
            raise
        reads.hits += 1
        if isinstance(container, dict):
            return value
        if isinstance(key, slice):
            reads.note_depth(len(container) - min(key.indices(len(container))[:2], default=0))
        elif isinstance(key, int):
            reads.note_depth(-key if key < 0 else len(container) - key)
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        """The value under a key of a mapping, else the default."""
        found = self._find().get(key, _MISSING)
        self._count(is_hit=found is not _MISSING)
        return default if found is _MISSING else found

    def __contains__(self, key: object) -> bool:
        return self._count(is_hit=key in self._find())

    def __iter__(self) -> Iterator[Any]:
        return self._each(iter(self._find()), is_backward=False)

    def __reversed__(self) -> Iterator[Any]:
        return self._each(reversed(self._find()), is_backward=True)

    def __len__(self) -> int:
        return len(self._find())

    def __getattr__(self, name: str) -> Any:
        if name in {"_find", "_reads"}:  # One that is being copied has none yet.
            raise AttributeError(name)
        return getattr(self._find(), name)

    def _count(self, *, is_hit: bool) -> bool:
        self._reads.hits += is_hit
        self._reads.misses += not is_hit
        return is_hit

    def _each(self, items: Iterator[Any], *, is_backward: bool) -> Iterator[Any]:
        container, reads = self._find(), self._reads
        has_depth = not isinstance(container, dict)
        if has_depth and not is_backward:
            reads.note_depth(len(container))  # It begins with the oldest.
        for number, item in enumerate(items, 1):
            reads.hits += 1
            if has_depth and is_backward:
                reads.note_depth(number)
            yield item


class Advice(Record):
    """What was seen of a container over the last day, and the bound that this suggests.

    `length` is now, `limit` its bound, `peak` the most it ever held, `mostly` what it did not
    exceed for 95 % of the time, `fill` that as a share of the limit, `growth` in items a second.
    `oldest` is for how many seconds the oldest item is there, at most, where lengths tell. Where
    lookups are counted, `hit_rate` is the share that found something, and `depth` how many items
    back from the newest was read. `enough` is the bound it would have needed, None while nothing
    was seen; `text` all that in words, with what to do.
    """

    name: str
    length: int
    limit: int | None
    peak: int
    mostly: int
    fill: float | None
    growth: float
    oldest: float | None
    hit_rate: float | None
    depth: int | None
    enough: int | None
    text: str


def enough_for(mostly: int, depth: int | None = None) -> int | None:
    """The bound for what was mostly held, or for what was read of it where that is known."""
    needed = mostly if depth is None else min(mostly, depth)
    return rounded_up(needed * HEADROOM) if needed else None


def rounded_up(number: float) -> int:
    """The next number with two digits before the zeros: 1,203 becomes 1,300."""
    whole = max(1, -int(-number // 1))
    step: int = 10 ** max(0, len(str(whole)) - 2)
    return -(-whole // step) * step


def is_worth_more(mostly: int, limit: int, hit_rate: float | None) -> bool:
    """Whether a full container should be longer: it is full, and what it holds is not unread."""
    return mostly >= FULL * limit and (hit_rate is None or hit_rate >= _RARELY)


def hits_of(container: Any, reads: Reads | None) -> tuple[float | None, int | None]:
    """Share of lookups that found something, and how far back; as we, or itself, counted enough."""
    ask = getattr(container, "stats", None)
    try:
        own = ask() if callable(ask) else None
    except Exception:  # noqa: BLE001  # the program's object, which may answer as it likes
        own = None
    for figures in (reads, own):
        hits, misses = getattr(figures, "hits", None), getattr(figures, "misses", None)
        if isinstance(hits, int) and isinstance(misses, int) and hits + misses >= FEWEST_READS:
            return hits / (hits + misses), reads.depth if reads and figures is reads else None
    return None, None


def in_words(advice: Advice, *, is_endless: bool) -> str:
    """What was seen, and what to do; a deque that may grow for ever needs more."""
    mostly = f"mostly up to {advice.mostly:,}"
    if advice.limit is not None and advice.fill is not None:
        mostly += f" of {advice.limit:,} ({advice.fill:.0%})"
    parts = [f"{advice.name}: {advice.length:,} items", mostly, f"{advice.peak:,} at most"]
    if advice.growth > 0:
        parts.append(f"growing by {advice.growth * 3600:,.0f} an hour")
    if advice.oldest is not None:
        parts.append(f"none older than {human_seconds(advice.oldest)}")
    if advice.hit_rate is not None:
        parts.append(f"{advice.hit_rate:.0%} of lookups found something")
    if advice.depth is not None:
        parts.append(f"the last {advice.depth:,} were read")
    return f"{', '.join(parts)}; {_to_do(advice, is_endless=is_endless)}"


def _to_do(advice: Advice, *, is_endless: bool) -> str:
    if advice.enough is None:
        return "nothing seen yet to advise from"
    if is_endless:
        return (
            f"a deque's maxlen is fixed when it is made: make it with maxlen={advice.enough}, or "
            "watch it with max_items and trim=True"
        )
    if advice.limit is None:
        return f"max_items={advice.enough} would do"
    if is_worth_more(advice.mostly, advice.limit, advice.hit_rate) and advice.depth is None:
        return f"it is full: give it {advice.enough:,}, if what went would have been used"
    if advice.enough < advice.limit / 2:
        return f"{advice.enough:,} would do"
    return "the limit fits"
