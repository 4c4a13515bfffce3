"""The functools caches of a program, found as they are made, and what may be let go of them.

Entries are dropped where there are many: a cache of a handful often holds the one database engine
or settings object of a program, and a second one would be worse than the bytes.
"""

from __future__ import annotations

import functools
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from membudget.core import PartSample, Record, Rung
from membudget.reclaimers.adopted.wrappers import (
    FEWEST,
    WRAPPER,
    Checked,
    Kept,
    entries_of,
    name_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from membudget.core import Meter
    from membudget.reclaimers.adopted.wrappers import Wrapper

HANDFUL = "a handful of entries"
"""Why most caches are left alone."""

_MANY = 1000
_LOOK_EVERY = 1.0
"""With more caches than this, the large ones are picked out once in so many seconds."""

_COUNT_EVERY = 10.0


class FoundCache(Record):
    """One cache as it stands (hits and misses as functools counts them).

    Attributes:
        held: Bytes it is believed to hold, or None where nobody weighed it.
        most: The entries it may hold, or None.
        dropped: Entries let go so far.
        why: Why it is left alone, or an empty text where it may be shrunk.
    """

    name: str
    entries: int
    held: int | None
    most: int | None
    hits: int
    misses: int
    dropped: int
    why: str


class _Seen:
    """A wrapper, known weakly, and its entries."""

    __slots__ = ("kept", "wrapper")

    def __init__(self, wrapper: weakref.ref[Wrapper], kept: Kept) -> None:
        self.wrapper = wrapper
        self.kept = kept


class FoundCaches:
    """All functools caches seen so far: a holder, a reclaimer at AGGRESSIVE, a chore.

    Unbounded ones pay as our own caches do, on the thread that fills them. At AGGRESSIVE they lose
    their oldest entries in slices, the largest first; then bounded ones are cleared. Any thread
    may call `make` and `note`; the governor's thread does the rest.

    Args:
        meter: Finds the meter of the budget that runs, or None.
        is_spared: Whether a cache of this name is left alone.
        now: Monotonic seconds.

    Attributes:
        foreign: Whoever keeps this in a register, for the budget that comes next.
    """

    name = "functools caches"
    rung = Rung.AGGRESSIVE

    def __init__(
        self,
        meter: Callable[[], Meter | None],
        is_spared: Callable[[str], bool] = lambda _: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.foreign: Any = None
        self._meter = meter
        self._is_spared = is_spared
        self._now = now
        self._seen: dict[int, _Seen] = {}
        self._large: list[_Seen] = []
        self._looked_at = self._counted_at = float("-inf")
        self._held = 0

    def make(self, function: Any, *, typed: bool = False) -> Wrapper:
        """An unbounded wrapper as functools makes it, looked after.

        Cost: 3 µs more.

        Raises:
            TypeError: As functools raises it.
        """
        wrapper: Wrapper
        kept, called = Kept(), function
        if self._is_looked_after(function):
            called = Checked(function, kept, self._claim).way()
        wrapper = WRAPPER(called, None, typed, functools._CacheInfo)  # noqa: SLF001  # as functools does
        parameters = {"maxsize": None, "typed": typed}
        wrapper.cache_parameters = parameters.copy  # type: ignore[method-assign, assignment]
        functools.update_wrapper(wrapper, function)
        return self.note(wrapper, kept)

    def note(self, wrapper: Wrapper, kept: Kept | None = None) -> Wrapper:
        """Take note of a wrapper, weakly; returns it."""
        key = id(wrapper)
        if key not in self._seen:
            kept = kept if kept is not None else Kept()
            reference = weakref.ref(wrapper, lambda _: self._forget(key))
            if wrapper.cache_info().maxsize is None:
                kept.follow(lambda: entries_of(reference()), FEWEST)
            self._seen[key] = _Seen(reference, kept)
        return wrapper

    def _is_looked_after(self, function: Any) -> bool:
        try:
            return callable(function) and not self._is_spared(name_of(function))
        except Exception:  # noqa: BLE001  # the program's object, which may answer as it likes
            return False

    def held_bytes(self) -> int:
        """Bytes of the unbounded ones, as far as they were weighed."""
        return self._held

    def reclaimable(self) -> int | None:
        """What the large ones hold; None where one of them has not been weighed."""
        total = 0
        for seen, wrapper in self._alive_large():
            if seen.kept.weight is None:
                return None
            total += wrapper.cache_info().currsize * seen.kept.weight
        return total

    def reclaim(self, target: int, until: float) -> int:
        """Drop the oldest entries of unbounded ones; clear bounded ones where that is too little.

        Returns:
            Bytes believed to have gone: weighed for unbounded ones, measured for bounded ones.
        """
        freed = 0
        for seen, wrapper in self._alive_large():
            if freed >= target or self._now() >= until:
                break
            if wrapper.cache_info().maxsize is None:
                freed += seen.kept.drop(target - freed, until, self._now)
                self._held += seen.kept.recount()
            else:
                freed += self._clear(seen.kept, wrapper)
        return freed

    def due(self, now: float) -> bool:
        """Whether what all hold should be counted anew."""
        return now - self._counted_at >= _COUNT_EVERY

    def run(self, until: float) -> int:  # noqa: ARG002  # 0.2 µs a cache
        """Count anew what all hold: threads that count at once may lose some."""
        self._counted_at = self._now()
        for seen in list(self._seen.values()):
            seen.kept.recount()
        self._held = sum(seen.kept.counted for seen in list(self._seen.values()))
        return 0

    def contents(self) -> Iterator[FoundCache]:
        """Every cache seen, as it stands; reading changes nothing."""
        for seen in list(self._seen.values()):
            wrapper = seen.wrapper()
            if wrapper is not None and not name_of(wrapper).startswith("membudget."):
                yield self._describe(wrapper, seen.kept)

    def as_parts(self) -> Iterator[PartSample]:
        """Those of more than a handful of entries, for a sample. Cost: 0.5 µs a cache."""
        for seen in list(self._seen.values()):
            wrapper = seen.wrapper()
            if wrapper is None or (info := wrapper.cache_info()).currsize < FEWEST:
                continue
            if not (name := name_of(wrapper)).startswith("membudget."):
                weight = seen.kept.weight
                yield PartSample(
                    name=name,
                    kind="lru_cache",
                    items=info.currsize,
                    bytes=None if weight is None else info.currsize * weight,
                    most_items=info.maxsize,
                )

    def follow_functools(self) -> Callable[[], None]:
        """Note every wrapper from its making on; returns what ends that.

        `functools.lru_cache` is exchanged, which `functools.cache` calls by name; the wrappers
        themselves stay what they were.
        """
        before = functools.lru_cache

        @functools.wraps(before)
        def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:  # noqa: FBT001, FBT002  # functools' own signature
            if maxsize is None:
                return partial(self.make, typed=typed)
            made = before(maxsize, typed)
            return self.note(made) if type(made) is WRAPPER else lambda one: self.note(made(one))

        functools.lru_cache = lru_cache

        def end() -> None:
            if functools.lru_cache is lru_cache:
                functools.lru_cache = before

        return end

    def _claim(self, kept: Kept, weight: int) -> int:
        self._held += kept.recount()
        meter = self._meter()
        return meter.claim(weight) if meter is not None else 0

    def _clear(self, kept: Kept, wrapper: Wrapper) -> int:
        meter, count = self._meter(), wrapper.cache_info().currsize
        before = meter.estimate() if meter is not None else 0
        wrapper.cache_clear()
        fell = max(0, before - meter.estimate()) if meter is not None else 0
        kept.dropped += count
        kept.weight = fell // max(1, count)
        return fell

    def _alive_large(self) -> Iterator[tuple[_Seen, Wrapper]]:
        self._look()
        for seen in self._large:
            wrapper = seen.wrapper()
            if wrapper is not None and _is_large(wrapper, seen.kept):
                yield seen, wrapper

    def _look(self) -> None:
        """Pick out the large ones: unbounded first, the most entries first."""
        now = self._now()
        if len(self._seen) > _MANY and now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        large = []
        for key, seen in list(self._seen.items()):
            if (wrapper := seen.wrapper()) is None:
                continue
            info = wrapper.cache_info()
            if _is_large(wrapper, seen.kept) and not self._is_spared(name_of(wrapper)):
                large.append((info.maxsize is not None, -info.currsize, key, seen))
        self._large = [seen for *_, seen in sorted(large)]

    def _forget(self, key: int) -> None:
        if (seen := self._seen.pop(key, None)) is not None:
            self._held -= seen.kept.counted

    def _describe(self, wrapper: Wrapper, kept: Kept) -> FoundCache:
        info, name = wrapper.cache_info(), name_of(wrapper)
        why = "" if _is_large(wrapper, kept) else HANDFUL
        return FoundCache(
            name=name,
            entries=info.currsize,
            held=info.currsize * kept.weight if kept.weight is not None else None,
            most=info.maxsize,
            hits=info.hits,
            misses=info.misses,
            dropped=kept.dropped,
            why="spared by name" if self._is_spared(name) else why,
        )


def _is_large(wrapper: Wrapper, kept: Kept) -> bool:
    info = wrapper.cache_info()
    return info.currsize >= (FEWEST if info.maxsize is not None else kept.staying() + 1)
