"""One container of the program's own, watched: told when over its limits, shortened if allowed."""

from __future__ import annotations

import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from membudget.core import LimitExceeded, PartSample, Record, Rung
from membudget.errors import ConfigError
from membudget.registry import REGISTRY
from membudget.sizing.foreign import (
    Weighing,
    check_count,
    check_lock,
    length_of,
    most_at_once,
    take_oldest,
    under,
)
from membudget.units import as_bytes, as_seconds, checked_name
from membudget.watched.advice import (
    Advice,
    History,
    Observed,
    Reads,
    enough_for,
    hits_of,
    in_words,
    is_worth_more,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Clock, Event
    from membudget.registry import Registry
    from membudget.units import Duration

EVERY = 1.0  # Seconds between two looks at the length.
ADVISE_AFTER = 60.0  # Seconds of looking before a deque is told with the maxlen it needs.
RESIZE_EVERY = 300.0  # Seconds between two changes of a limit that follows use.
MAXLEN = "maxlen"  # The unit of what a deque without a bound is told with.
BELOW = 0.9  # Share of the limit below which a crossing is over.
APART = 300.0  # Seconds between two tellings at least.
_LEAST_SHARE = 10  # Parts of its limit down to which one is resized, unless told.


class WatchedStats(Record):
    """A watched container's figures.

    `items` is None where it is not there (any more); `bytes` is what it holds as of the last
    weighing, by its length now, and None before the first. `maxlen` is the bound it keeps by
    itself, `peak` the most items seen, `exceeded` how often it was told to be over a limit,
    `trimmed` the items taken out so far.
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


class WatchedContainer:
    """A container that is not ours, under a limit: a chore that looks, a reclaimer if allowed.

    A look is O(1), and now and then 2 ms to weigh a sample. A limit that is crossed is told as
    `LimitExceeded`, once a crossing; nothing is taken out without pressure (`membudget.adopt` keeps
    a bound at all times). With `trim`, memory pressure (the MODERATE rung) takes the oldest items
    out, down to its limits; where it has none, as many as are asked for: the first keys of a dict,
    the front of a list, the left end of a deque, any of a set. Looks and trims run on the
    governor's thread; any thread may call the rest.

    It is no holder, whose bytes inserting threads are made to give up: none inserts through us.

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
        replace: Whether whatever had its name is watched no longer; else it gets a number.

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
        every: Duration = EVERY,
        tell: Callable[[Event], object] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
        replace: bool = False,
    ) -> None:
        self.name: str = checked_name(name, "it after what it holds")
        self.trimmed: int = 0
        self.exceeded: int = 0
        self._find = _finder(container, self.stop)
        self._is_exchanged = not _has_length(container)
        self._trims = trim
        self._lock = lock
        check_lock(lock, name)
        self._every = as_seconds(every, name="every")
        self._tell = tell if tell is not None else lambda _: None
        self._registry = registry if registry is not None else REGISTRY
        self._now = time.monotonic if clock is None else clock.now
        self._bounds: tuple[int, int] | None = None
        self.limit(max_items=max_items, max_bytes=max_bytes)
        self._bounds = _checked_bounds(resize, self._max_items, name)
        self._history = History(self._every)
        self._reads: Reads | None = None
        self._armed = {"items", "bytes"}  # Limits whose next crossing is told.
        self._told_at = dict.fromkeys(self._armed, float("-inf"))
        self._weighing = Weighing()
        self._began = self._resized_at = self._now()
        self._looked_at = float("-inf")
        self._is_told_endless = False
        self._seen: tuple[str, int | None] = ("container", None)
        there = self._find() if trim else None
        gives = isinstance(there, dict | list | set) or hasattr(there, "popleft")
        if there is not None and not gives and not hasattr(there, "popitem"):
            raise ConfigError(
                f"{name} is a {type(there).__name__}, whose oldest items cannot be taken out: "
                "leave trim=False, or watch a dict, list, deque, set or what has popitem()"
            )
        self._registry.enter(self, replace=replace, keep=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self._length() or 0} items)"

    def limit(self, *, max_items: int | None = None, max_bytes: int | str | None = None) -> None:
        """Set both limits anew; None is no limit."""
        check_count(max_items, self.name)
        self._max_items = max_items
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
            maxlen=_maxlen_of(container),
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
        container, history = self._find(), self._history
        own = _maxlen_of(container)
        limit = self._max_items if own is None else own
        mostly = history.mostly()
        hit_rate, depth = hits_of(container, self._reads)
        found = Advice(
            name=self.name,
            length=self._length() or 0,
            limit=limit,
            peak=history.peak,
            mostly=mostly,
            fill=mostly / limit if limit else None,
            growth=history.growth(),
            oldest=history.oldest(self._now()),
            hit_rate=hit_rate,
            depth=depth,
            enough=enough_for(mostly, depth),
            text="",
        )
        return found.replace(text=in_words(found, is_endless=_is_endless(container)))

    def observed(self) -> Observed:
        """The container to read through, so that advice and `resize` know what is read of it.

        It serves its readers when watching has ended; to ask for it then is a ConfigError.
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
        """Look: note the length, weigh at times, tell what is over. Raises what it raised."""
        now = self._looked_at = self._now()
        container = self._find()
        if container is None:
            return 0
        length = length_of(container) or 0
        self._history.note(now, length)
        self._seen = (type(container).__name__, _maxlen_of(container))
        try:
            self._weighing.follow(container, length, now)
        finally:  # A registered function that fails is no reason to keep silent.
            self._tell_excess(length, now)
        if _is_endless(container):
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
        """Take the oldest items out under the container's lock; what they hold goes after it."""
        container, freed = self._find(), 0
        while self._trims and container is not None and freed < target:
            length = length_of(container) or 0
            if self._weighing.each is None:
                self._weighing.follow(container, length, self._now())
            each = max(1.0, self._weighing.each or 1.0)
            wanted = min(self._spare(length), max(1, -int(-(target - freed) // each)))
            if wanted <= 0:
                break
            with under(self._lock) as is_ours:
                most = most_at_once(container, length, each)
                gone = take_oldest(container, min(wanted, most)) if is_ours else []
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
            if used is None or limit is None:
                continue
            if used < BELOW * limit:
                self._armed.add(unit)
            elif used > limit and unit in self._armed and now - self._told_at[unit] >= APART:
                self._armed.remove(unit)
                self._told_at[unit] = now
                self.exceeded += 1
                told = LimitExceeded(at=now, name=self.name, used=used, limit=limit, unit=unit)
                self._tell(told)

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
        if found.enough is None or limit is None or _maxlen_of(container) is not None:
            return
        if found.enough > limit and not is_worth_more(found.mostly, limit, found.hit_rate):
            return
        self._max_items = max(bounds[0], min(bounds[1], found.enough))


def _checked_bounds(
    resize: bool | tuple[int, int],  # noqa: FBT001  # as the user gave it
    max_items: int | None,
    name: str,
) -> tuple[int, int] | None:
    """Between which numbers the limit may move, or None; refuses those not around it."""
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


def _has_length(container: object) -> bool:
    """Whether it says how many items it holds: `len`, or `qsize` as queues have."""
    return hasattr(container, "__len__") or hasattr(container, "qsize")


def _maxlen_of(container: object) -> int | None:
    bound = getattr(container, "maxlen", None)
    return bound if isinstance(bound, int) else None


def _is_endless(container: object) -> bool:
    return isinstance(container, deque) and container.maxlen is None


def _finder(container: Any, at_its_end: Callable[[object], object]) -> Callable[[], Any]:
    """What returns the container, or None once it is gone: held weakly where it can be."""
    if _has_length(container):
        try:
            return weakref.ref(container, at_its_end)
        except TypeError:
            return lambda: container
    if callable(container):
        find: Callable[[], Any] = container
        return find
    raise ConfigError(
        f"{container!r:.80} is a {type(container).__name__}, which has no length: watch a dict, "
        "list, deque, set or queue, or give a function that returns one"
    )
