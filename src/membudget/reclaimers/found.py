"""The caches of a program, found: functools' as they are made, others by a search of its modules.

A handful of entries stays: it often is the one engine or settings object of a program. A cachetools
cache is changed only under the lock that `cachetools.cached` was given.
"""

from __future__ import annotations

import functools
import sys
import time
import weakref
from functools import partial

from membudget.core import PartSample, Record, Rung
from membudget.reclaimers.adopted import AdoptedCache
from membudget.reclaimers.names import FIRST, NamedCaches, attributes_of, lookup, visible_values
from membudget.reclaimers.wrappers import FEWEST, WRAPPER, Checked, Kept, name_of
from membudget.sizing.foreign import length_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from membudget.core import Clock, Meter
    from membudget.reclaimers.wrappers import Wrapper
    from membudget.registry import Registry

HANDFUL = "a handful of entries"  # Why most caches are left alone.
_MANY, _LOOK_EVERY = 1000, 1.0  # More caches than this are looked through once in so many seconds.
_COUNT_EVERY = 10.0
_SEARCH_EVERY = 600.0
_LOOK_AT_CLOCK = 64
_MOST_TOLD = 50


class Untouched(Record):
    """A cache that was seen and is left alone."""

    name: str
    kind: str
    entries: int
    why: str


class FoundCache(Record):
    """One cache as it stands (hits and misses as functools counts them)."""

    name: str
    entries: int
    held: int | None  # Bytes it is believed to hold, or None where nobody weighed it.
    most: int | None  # The entries it may hold, or None.
    hits: int
    misses: int
    dropped: int  # Entries let go so far.
    why: str  # Why it is left alone, or an empty text where it may be shrunk.


class FoundCaches:
    """All functools caches seen so far: a holder, a reclaimer at AGGRESSIVE, a chore.

    At AGGRESSIVE unbounded ones lose their oldest entries, the largest first; then bounded ones are
    cleared. Any thread may call `make` and `note`. `foreign` is who keeps this in a register.
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
        self._seen: dict[int, Kept] = {}
        self._large: list[Kept] = []
        self._looked_at = self._counted_at = float("-inf")
        self._held = 0

    def make(self, function: Any, *, typed: bool = False) -> Wrapper:
        """An unbounded wrapper as functools makes it, looked after. Cost: 3 µs more."""
        wrapper: Wrapper
        kept, called = Kept(), function
        try:
            if callable(function) and not self._is_spared(name_of(function)):
                called = Checked(function, kept, self._claim).way()
        except Exception:  # noqa: BLE001, S110  # the program's object, which may answer as it likes
            pass
        wrapper = WRAPPER(called, None, typed, functools._CacheInfo)  # noqa: SLF001  # as functools does
        parameters = {"maxsize": None, "typed": typed}
        wrapper.cache_parameters = parameters.copy  # type: ignore[method-assign, assignment]
        functools.update_wrapper(wrapper, function)
        return self.note(wrapper, kept)

    def note(self, wrapper: Wrapper, kept: Kept | None = None) -> Wrapper:
        """Take note of a wrapper, weakly; returns it. A bounded one of the library is its own."""
        key = id(wrapper)
        if key not in self._seen and not _is_of_the_library(wrapper):
            kept = kept or Kept()
            kept.wrapper = weakref.ref(wrapper, lambda _: self._forget(key))
            self._seen[key] = kept
        return wrapper

    def _forget(self, key: int) -> None:
        if (kept := self._seen.pop(key, None)) is not None:
            self._held -= kept.counted

    def _claim(self, kept: Kept, weight: int) -> int:
        self._held += kept.recount()
        meter = self._meter()
        return meter.claim(weight) if meter is not None else 0

    def follow_functools(self) -> Callable[[], None]:
        """Note every wrapper from its making on, by functools; returns what ends that."""
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

    def held_bytes(self) -> int:
        """Bytes of the unbounded ones, as far as they were weighed."""
        return self._held

    def reclaimable(self) -> int | None:
        """What the large ones hold; None where one of them has not been weighed."""
        total = 0
        for wrapper, kept in self._large_ones():
            if kept.weight is None:
                return None
            total += wrapper.cache_info().currsize * kept.weight
        return total

    def reclaim(self, target: int, until: float) -> int:
        """Drop the oldest entries of unbounded ones; clear bounded ones where it is too little."""
        freed = 0
        for wrapper, kept in self._large_ones():
            if freed >= target or self._now() >= until:
                break
            if wrapper.cache_info().maxsize is None:
                freed += kept.drop(target - freed, until, self._now)
                self._held += kept.recount()
            else:
                freed += self._clear(wrapper, kept)
        return freed

    def _clear(self, wrapper: Wrapper, kept: Kept) -> int:
        meter, count = self._meter(), wrapper.cache_info().currsize
        before = meter.estimate() if meter is not None else 0
        wrapper.cache_clear()
        fell = max(0, before - meter.estimate()) if meter is not None else 0
        kept.dropped += count
        kept.weight = fell // max(1, count)
        return fell

    def _large_ones(self) -> Iterator[tuple[Wrapper, Kept]]:
        """Those of more than a handful: unbounded first, the most entries first."""
        now = self._now()
        if len(self._seen) <= _MANY or now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            large = [
                one
                for one in _alive(self._seen.values())
                if _is_large(*one) and not self._is_spared(name_of(one[0]))
            ]
            large.sort(key=lambda one: -one[0].cache_info().currsize)
            large.sort(key=lambda one: one[0].cache_info().maxsize is not None)
            self._large = [kept for _, kept in large]
        yield from (one for one in _alive(self._large) if _is_large(*one))

    def due(self, now: float) -> bool:
        """Whether what all hold should be counted anew."""
        return now - self._counted_at >= _COUNT_EVERY

    def run(self, until: float) -> int:  # noqa: ARG002  # 0.2 µs a cache
        """Count anew what all hold: threads that count at once may lose some."""
        self._counted_at = self._now()
        seen = list(self._seen.values())
        for kept in seen:
            kept.recount()
        self._held = sum(kept.counted for kept in seen)
        return 0

    def contents(self, fewest: int = 0) -> Iterator[FoundCache]:
        """Every cache of the program's with so many entries, as it stands; changes nothing."""
        for wrapper, kept in _alive(self._seen.values()):
            info = wrapper.cache_info()
            if info.currsize < fewest or (name := name_of(wrapper)).startswith("membudget."):
                continue
            why = "" if _is_large(wrapper, kept) else HANDFUL
            yield FoundCache(
                name=name,
                entries=info.currsize,
                held=info.currsize * kept.weight if kept.weight is not None else None,
                most=info.maxsize,
                hits=info.hits,
                misses=info.misses,
                dropped=kept.dropped,
                why="spared by name" if self._is_spared(name) else why,
            )

    def as_parts(self) -> Iterator[PartSample]:
        """Those of more than a handful of entries, for a sample."""
        for one in self.contents(FEWEST):
            yield PartSample(
                name=one.name,
                kind="lru_cache",
                items=one.entries,
                bytes=one.held,
                most_items=one.most,
            )


def _alive(seen: Iterable[Kept]) -> Iterator[tuple[Wrapper, Kept]]:
    for kept in list(seen):
        if (wrapper := kept.wrapper()) is not None:
            yield wrapper, kept


def _is_of_the_library(wrapper: Wrapper) -> bool:
    """Whether it is a bounded one of the standard library: `typing` alone has dozens."""
    module = getattr(wrapper, "__module__", None)
    is_library = isinstance(module, str) and module.partition(".")[0] in sys.stdlib_module_names
    return is_library and wrapper.cache_info().maxsize is not None


def _is_large(wrapper: Wrapper, kept: Kept) -> bool:
    info = wrapper.cache_info()
    return info.currsize >= (FEWEST if info.maxsize is not None else kept.staying() + 1)


class Search:
    """A chore that looks through the program's modules, in slices. The governor's thread only.

    Caches `named` by their owner, as module:NAME, are looked up anew each time.
    """

    name = "search for caches"
    comes_early = True

    def __init__(
        self,
        found: FoundCaches,
        registry: Registry,
        clock: Clock,
        *,
        named: Sequence[str] = (),
        is_spared: Callable[[str], bool] = lambda _: False,
        names_only: bool = False,
    ) -> None:
        self.untouched: list[Untouched] = []
        self.named: list[AdoptedCache] = [
            AdoptedCache(name, partial(lookup, name), now=clock.now) for name in named
        ]
        self._found = found
        self._registry = registry
        self._clock = clock
        self._is_spared = is_spared
        self._locked: dict[int, AdoptedCache] = {}
        self._bare: dict[int, tuple[str, Any]] = {}
        self._values: Iterator[tuple[str, Any]] | None = None
        self._next = float("inf") if names_only else clock.now() + FIRST
        for one in self.named:
            registry.add(one)

    def due(self, now: float) -> bool:
        """Whether a search is under way, or it is time for the next."""
        # Without cachetools there is nothing to find, and looks copy pages that a fork shares.
        return self._values is not None or (now >= self._next and "cachetools" in sys.modules)

    def run(self, until: float) -> int:
        """Look through the next slice; 0, since nothing is let go."""
        if not self.due(self._clock.now()):
            return 0
        if self._values is None:
            self._values, self._bare = visible_values(), {}
        for number, (name, value) in enumerate(self._values):
            if type(value) is WRAPPER:
                self._found.note(value)
            elif _is_cachetools(value):
                self._bare[id(value)] = (name, value)
            elif _is_cachetools(cache := (own := attributes_of(value)).get("cache")):
                self._adopt(name, cache, own.get("cache_lock"))
            if number % _LOOK_AT_CLOCK == 0 and self._clock.now() >= until:
                return 0
        self._end()
        return 0

    def _adopt(self, name: str, cache: Any, lock: Any) -> None:
        if not hasattr(lock, "acquire") or self._is_spared(name):
            self._bare[id(cache)] = (name, cache)
            return
        known = self._locked.get(id(cache))
        if known is None or known.entries is None:
            adopted = AdoptedCache(name, weakref.ref(cache), lock, now=self._clock.now)
            self._locked[id(cache)] = adopted
            self._registry.add(adopted)

    def _end(self) -> None:
        self._values, self._next = None, self._clock.now() + _SEARCH_EVERY
        self._locked = {key: one for key, one in self._locked.items() if one.entries is not None}
        known = {*self._locked, *(id(lookup(one.name)) for one in self.named)}
        self.untouched = [
            Untouched(
                name=name,
                kind=type(cache).__name__,
                entries=length_of(cache) or 0,
                why="spared by name"
                if self._is_spared(name)
                else f"no lock of its own is known: --adopt {name} says that none is needed",
            )
            for key, (name, cache) in self._bare.items()
            if key not in known
        ]
        self._bare = {}


class ForeignCaches:
    """The plugin of what may be shrunk in a program that knows nothing of it.

    That is what `caches.adopt` names and, where `is_launched`, what is found.
    """

    name = "foreign caches"

    def __init__(self, settings: Any, registry: Registry, *, is_launched: bool) -> None:
        self._registry = registry
        self._is_launched = is_launched
        self._named: tuple[str, ...] = settings["caches.adopt"]
        self._is_spared = _matcher(settings["caches.spare"])
        self.found: FoundCaches = FoundCaches(lambda: registry.meter, self._is_spared)
        self.search: Search | None = None
        self._unfollow: Callable[[], object] = bool

    def join(self, governor: Any) -> None:
        """Take in what is due; one that has left may join the governor that takes its place."""
        self.search = Search(
            self.found,
            self._registry,
            governor.clock,
            named=self._named,
            is_spared=self._is_spared,
            names_only=not self._is_launched,
        )
        governor.chores += [
            self.search,
            NamedCaches(self._named, self._registry.note, governor.clock.now),
        ]
        if self._is_launched:
            # The register keeps it: a budget that the program starts by itself takes it over.
            self.found.foreign = self
            self._registry.add(self.found, keep=True)
            self._unfollow = self.found.follow_functools()

    def leave(self) -> None:
        """End what `join` began; a second call does nothing."""
        self._unfollow()
        self._unfollow, self.search, self.found.foreign = bool, None, None
        self._registry.remove(self.found)

    def status(self) -> Mapping[str, Any]:
        """Found and untouched caches, the largest first, at most 50 of each."""
        found = sorted(self.found.contents(), key=lambda one: -one.entries)
        untouched = self.search.untouched if self.search is not None else []
        return {
            "found": found[:_MOST_TOLD],
            "found_count": len(found),
            "untouched": untouched[:_MOST_TOLD],
        }


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    if not patterns:
        return lambda _: False
    from fnmatch import translate  # only for who spares something
    from re import compile as compiled

    wanted = compiled("|".join(map(translate, patterns)))
    # Found caches are told as module:NAME, functions as module.NAME.
    return lambda name: bool(wanted.match(name) or wanted.match(name.replace(":", ".")))


def _is_cachetools(value: object) -> bool:
    library = sys.modules.get("cachetools")
    return library is not None and issubclass(type(value), library.Cache)
