"""One container of the program's own, watched: told when over its limits, shortened if allowed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from membudget.core import LimitExceeded, PartSample, Record, Rung
from membudget.errors import ConfigError
from membudget.registry import REGISTRY
from membudget.sizing.estimate import Weighing
from membudget.units import as_bytes, as_seconds, checked_name
from membudget.watched.advice import (
    Advice,
    History,
    Observed,
    Reads,
    advise,
    enough_for,
    is_worth_more,
)
from membudget.watched.shape import (
    batch_of,
    can_be_trimmed,
    finder,
    has_length,
    is_endless,
    length_of,
    maxlen_of,
    take_oldest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Clock, Event
    from membudget.registry import Registry

EVERY = 1.0
"""Seconds between two looks at the length."""

ADVISE_AFTER = 60.0
"""Seconds of looking before a deque without maxlen is told with the maxlen it needs."""

RESIZE_EVERY = 300.0
"""Seconds between two changes of a limit that follows use."""

MAXLEN = "maxlen"
"""The unit by which a deque that may grow for ever is told: its limit is what would do."""


BELOW = 0.9
"""Share of the limit below which a crossing is over."""

APART = 300.0
"""Seconds between two tellings at least."""

_LEAST_SHARE = 10
"""Parts of its limit down to which one may be resized, where nothing else is given."""


class WatchedStats(Record):
    """A watched container's figures.

    Attributes:
        name: What it is called.
        items: Items now; None where it is not there (any more).
        bytes: What it holds as of the last weighing, by its length now; None before the first.
        max_items: Its limit in items, or None.
        max_bytes: Its limit in bytes, or None.
        maxlen: The bound it keeps by itself, or None.
        peak: The most items seen.
        exceeded: How often it was told to be over a limit.
        trimmed: Items taken out so far.
    """

    name: str
    items: int | None
    bytes: int | None
    max_items: int | None
    max_bytes: int | None
    maxlen: int | None
    peak: int
    exceeded: int
    trimmed: int


class Alarm:
    """One limit of one container."""

    def __init__(self) -> None:
        self._is_armed = True
        self._told_at = float("-inf")

    def is_due(self, now: float, used: int, limit: int) -> bool:
        """Whether to tell now that `used` is over the limit; then the next crossing is waited for.

        A crossing within five minutes of the last one told waits until these have passed.
        """
        if used < BELOW * limit:
            self._is_armed = True
        if used <= limit or not self._is_armed or now - self._told_at < APART:
            return False
        self._is_armed, self._told_at = False, now
        return True


class WatchedContainer:
    """A container that is not ours, under a limit: a chore that looks, a reclaimer if allowed.

    A look is O(1): length and maxlen. What it holds is weighed by a sample, at most once a minute,
    or when the length has changed by half; 2 ms at most. A limit that is crossed is told as
    `LimitExceeded`, once a crossing; nothing is taken out without pressure (`membudget.adopt` keeps
    a bound at all times). With `trim`, memory pressure (the MODERATE rung) takes the oldest items
    out, down to its limits; where it has none, as many as are asked for. The first keys of a dict,
    the front of a list, the left end of a deque, any of a set.

    It is no holder: what the meter counts as held is what inserting threads are made to give up,
    and no thread inserts here through us. A weighing that comes out higher would be charged to the
    caches. Growth of the container is growth of the process, which the meter sees in any case.

    Looks and trims run on the governor's thread; any thread may call the rest.

    Args:
        name: What it is called in events, and in settings under `components`.
        container: Anything with a length: held weakly where it can be, else kept until `stop()`;
            or a function that returns it, for an attribute that is exchanged.
        max_items: The limit in items.
        max_bytes: The limit in bytes, or text such as "20MiB".
        trim: Whether its oldest items may be taken out.
        resize: Whether `max_items` follows use, every five minutes: between two given numbers, or
            from a tenth of `max_items` up to it. A deque's own maxlen cannot change.
        lock: Held while items are taken out, waited for 20 ms; None says that none is needed.
        every: Seconds between two looks, or text such as "5s".
        tell: Takes `LimitExceeded`; None tells nothing.
        registry: Where it registers; None is the process's own.
        clock: Where time comes from; None is the monotonic clock.

    Raises:
        ConfigError: An argument that cannot be used as given.
    """

    rung = Rung.MODERATE

    def __init__(
        self,
        name: str,
        container: Any,
        *,
        max_items: int | None = None,
        max_bytes: int | str | None = None,
        trim: bool = False,
        resize: bool | tuple[int, int] = False,
        lock: Any = None,
        every: float | str = EVERY,
        tell: Callable[[Event], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = checked_name(name, "it after what it holds")
        self.trimmed = self.exceeded = 0
        self._find = finder(container, self.stop)
        self._is_exchanged = not has_length(container)
        self._trims = trim
        self._lock = _checked_lock(lock, name)
        self._every = as_seconds(every, name="every")
        self._tell = tell if tell is not None else lambda _: None
        self._registry = registry if registry is not None else REGISTRY
        self._now = time.monotonic if clock is None else clock.now
        self._bounds: tuple[int, int] | None = None
        self.limit(max_items=max_items, max_bytes=max_bytes)
        self._bounds = _checked_bounds(resize, self._max_items, name)
        self._history = History(self._every)
        self._reads: Reads | None = None
        self._alarms = {"items": Alarm(), "bytes": Alarm()}
        self._weighing = Weighing()
        self._began = self._resized_at = self._now()
        self._looked_at = float("-inf")
        self._is_told_endless = False
        self._seen: tuple[str, int | None] = ("container", None)
        if trim and (there := self._find()) is not None:
            _check_trim(there, name)
        self._registry.add(self, keep=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._length() or 0} items)"

    def limit(self, *, max_items: int | None = None, max_bytes: int | str | None = None) -> None:
        """Set both limits anew; None is no limit.

        Raises:
            ConfigError: A limit that is none.
        """
        self._max_items = _checked_items(max_items, self.name)
        self._max_bytes = None if max_bytes is None else as_bytes(max_bytes, name="max_bytes")
        if self._bounds is not None and max_items is not None:
            self._bounds = (min(self._bounds[0], max_items), max(self._bounds[1], max_items))

    def stop(self, _gone: object = None) -> None:
        """Watch it no longer, and let go of it; a second call does nothing."""
        self._registry.remove(self)
        self._find = lambda: None

    def stats(self) -> WatchedStats:
        """The figures now."""
        container, length = self._find(), self._length()
        return WatchedStats(
            name=self.name,
            items=length,
            bytes=self._weighing.bytes_of(length or 0),
            max_items=self._max_items,
            max_bytes=self._max_bytes,
            maxlen=maxlen_of(container),
            peak=self._history.peak,
            exceeded=self.exceeded,
            trimmed=self.trimmed,
        )

    def as_part(self) -> PartSample:
        """How it stood at the last look, for a sample; the container itself is left alone."""
        last, (kind, maxlen) = self._history.last, self._seen
        return PartSample(
            name=self.name,
            kind=f"watched {kind}",
            items=last if self._history.looks else None,
            bytes=self._weighing.bytes_of(last),
            most_items=min((n for n in (self._max_items, maxlen) if n is not None), default=None),
            most_bytes=self._max_bytes,
        )

    def advice(self) -> Advice:
        """What its use so far says about its bound: how full, how old, how much of it is read."""
        container = self._find()
        own = maxlen_of(container)
        return advise(
            self.name,
            container,
            self._history,
            self._now(),
            length=self._length() or 0,
            limit=own if own is not None else self._max_items,
            is_endless=is_endless(container),
            reads=self._reads,
        )

    def observed(self) -> Observed:
        """The container to read through, so that advice and `resize` know what is read of it.

        It is the readers' own: it keeps the container, and serves them when watching has ended.

        Raises:
            ConfigError: Watching has ended, or the container is gone.
        """
        found = self._find()
        if found is None:
            raise ConfigError(
                f"{self.name} is watched no longer, or is gone: read the container itself"
            )
        if self._reads is None:
            self._reads = Reads()
        return Observed(self._find if self._is_exchanged else lambda: found, self._reads)

    def due(self, now: float) -> bool:
        """Whether it is time for a look."""
        return now - self._looked_at >= self._every

    def run(self, until: float) -> int:  # noqa: ARG002  # 2 ms at most
        """Look: note the length, weigh now and then, tell what is over its limit.

        Raises:
            Exception: What the container, or the function that finds it, raised.
        """
        now = self._looked_at = self._now()
        container = self._find()
        if container is None:
            return 0
        length = length_of(container)
        self._history.note(now, length)
        self._seen = (type(container).__name__, maxlen_of(container))
        try:
            self._weighing.follow(container, length, now)
        finally:  # A registered function that fails is no reason to keep silent.
            self._tell_excess(length, now)
        if is_endless(container):
            self._tell_endless(length, now)
        if self._bounds is not None and now - self._resized_at >= RESIZE_EVERY:
            self._resize(container, self._bounds, now)
        return 0

    def reclaimable(self) -> int | None:
        """Bytes it could let go now: 0 where it may not be trimmed, None before it was weighed."""
        length = self._length() if self._trims else 0
        if not length or self._weighing.each is None:
            return None if length else 0
        return int(self._spare(length) * self._weighing.each)

    def reclaim(self, target: int, until: float) -> int:
        """Take the oldest items out under the container's lock; what they hold goes after it.

        Raises:
            Exception: What the container raised.
        """
        container, freed = self._find(), 0
        while self._trims and container is not None and freed < target:
            length = length_of(container)
            if self._weighing.each is None:
                self._weighing.follow(container, length, self._now())
            each = max(1.0, self._weighing.each or 1.0)
            wanted = min(self._spare(length), max(1, -int(-(target - freed) // each)))
            if wanted <= 0:
                break
            gone = take_oldest(container, batch_of(container, length, wanted, each), self._lock)
            if not gone:
                break
            self.trimmed += len(gone)
            freed += int(len(gone) * each)
            gone.clear()  # Finalizers may do anything, so they run outside the lock.
            if self._now() >= until:
                break
        return freed

    def _length(self) -> int | None:
        container = self._find()
        return None if container is None else length_of(container)

    def _spare(self, length: int) -> int:
        """How many items may go: those over its limits, or all where it has none."""
        if self._max_items is None and self._max_bytes is None:
            return length
        return self._weighing.over(length, self._max_items, self._max_bytes)

    def _tell_excess(self, length: int, now: float) -> None:
        held = self._weighing.bytes_of(length)
        for unit, used, limit in (
            ("items", length, self._max_items),
            ("bytes", held, self._max_bytes),
        ):
            if used is None or limit is None or not self._alarms[unit].is_due(now, used, limit):
                continue
            self.exceeded += 1
            self._tell(LimitExceeded(at=now, name=self.name, used=used, limit=limit, unit=unit))

    def _tell_endless(self, length: int, now: float) -> None:
        """Tell once that a deque has no bound, its own or one of ours, and what would do."""
        has_limit = self._max_items is not None or self._max_bytes is not None
        enough = enough_for(self._history.mostly())
        if has_limit or self._is_told_endless or enough is None or now - self._began < ADVISE_AFTER:
            return
        self._is_told_endless = True
        self._tell(LimitExceeded(at=now, name=self.name, used=length, limit=enough, unit=MAXLEN))

    def _resize(self, container: Any, bounds: tuple[int, int], now: float) -> None:
        self._resized_at = now
        found, limit = self.advice(), self._max_items
        if found.enough is None or limit is None or maxlen_of(container) is not None:
            return
        if found.enough > limit and not is_worth_more(found.mostly, limit, found.hit_rate):
            return
        self._max_items = max(bounds[0], min(bounds[1], found.enough))


def _checked_items(count: object, name: str) -> int | None:
    """A limit in items, or None.

    Raises:
        ConfigError: It is no whole number from 1 on.
    """
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ConfigError(
            f"max_items {count!r:.80} of {name} is not a count: give a whole number >= 1"
        )
    return count


def _check_trim(container: object, name: str) -> None:
    """Refuse what cannot be trimmed.

    Raises:
        ConfigError: Its oldest items cannot be taken out.
    """
    if not can_be_trimmed(container):
        raise ConfigError(
            f"{name} is a {type(container).__name__}, whose oldest items cannot be taken out: "
            "leave trim=False, or watch a dict, list, deque, set or what has popitem()"
        )


def _checked_lock(lock: Any, name: str) -> Any:
    """A lock for threads: an asyncio lock cannot be had from another thread.

    Raises:
        ConfigError: It is none.
    """
    has_both = hasattr(lock, "acquire") and hasattr(lock, "release")
    if lock is None or (has_both and not type(lock).__module__.startswith("asyncio")):
        return lock
    raise ConfigError(f"lock {lock!r} of {name} cannot be acquired: give a threading.Lock or RLock")


def _checked_bounds(
    resize: bool | tuple[int, int],  # noqa: FBT001  # as the user gave it
    max_items: int | None,
    name: str,
) -> tuple[int, int] | None:
    """Between which numbers the limit may move, or None.

    Raises:
        ConfigError: There is no limit, or it is not between them.
    """
    if resize is False:
        return None
    if max_items is None:
        raise ConfigError(
            f"{name} has no max_items to resize: give max_items, and resize=(least, most) or True"
        )
    if resize is True:
        return max(1, max_items // _LEAST_SHARE), max_items
    given: object = resize
    is_pair = isinstance(given, tuple) and [type(one) for one in given] == [int, int]
    least, most = resize if is_pair else (0, 0)  # Which never holds the limit.
    if not 1 <= least <= max_items <= most:
        raise ConfigError(
            f"resize {resize!r} of {name} does not hold max_items {max_items}: give two numbers "
            "from 1 on, the first not above it and the second not below"
        )
    return least, most
