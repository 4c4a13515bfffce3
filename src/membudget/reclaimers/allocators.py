"""What libraries can be asked to give back: their allocators, and the standard library's caches.

Freeing 1 GB of 2 KB strings returned 7 % by itself and 99.8 % after a trim of 70 ms, for which all
who allocate wait; 215 MiB free once gave back 2. So it is done at once where the free bytes rose by
16 MiB, else after a pause that doubles while next to nothing comes, for a twentieth of the time;
below CRITICAL only where the stall foreseen is short. Nothing is loaded for it.
"""

from __future__ import annotations

import sys
from functools import partial

from membudget.core import Rung, SystemClock
from membudget.reclaimers import SHORT
from membudget.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from membudget.core import Clock, Purgeable, Reclaimer

RISE = 16 * MIB  # Bytes by which what is free has to rise to be worth a try before its time.
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 3600.0  # Seconds between two tries: at first, and at most.
_SHARE, _LOOK_SHARE = 0.05, 0.002  # Of the time: to give back, and to ask how much is free.
_SECONDS_A_BYTE = 0.12e-9  # What a trim takes before one was seen: 88 to 123 ms for each GB.

_PAYS, _PAYS_SHARE = MIB, 1 / 16
"""Bytes that make a try worthwhile, or share of those wanted, if less."""


class Trim:
    """A reclaimer that has one allocator give back what it holds free. For one thread.

    `free` tells that at the most (None: not known), `given_back` by what the process shrank so far.
    """

    paces_itself = True
    rung = Rung.GENTLE

    def __init__(
        self,
        name: str,
        release: Callable[[], object],
        own: Callable[[], int],
        *,
        free: Callable[[], int | None] = lambda: None,
        is_pressed: Callable[[], bool] = lambda: False,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.given_back: int = 0
        self._release = release
        self._own = own
        self._ask_free = free
        self._is_pressed = is_pressed
        self._clock = clock or SystemClock()
        self._free: int | None = None
        self._left = self._shrunk_to = 0
        self._pause = FIRST_PAUSE
        self._paid = True
        self._seconds_a_byte, self._scanning = _SECONDS_A_BYTE, 0.0
        self._look_at = self._rests_until = self._pause_ends = float("-inf")

    @property
    def promised(self) -> int:
        """Bytes freed since the last try, as seen last: what another would give at the most."""
        return max(0, (self._free or 0) - self._left)

    def reclaimable(self, *, may_stall: bool = False) -> int | None:
        """Not known, since pages that were given back count as free as well; 0 while it rests."""
        now = self._clock.now()
        if now < self._rests_until:
            return 0
        free = self._look(now)
        if free is None:
            return None if now >= self._pause_ends else 0
        is_due = now >= self._pause_ends or free - self._left >= RISE
        if free < _PAYS or not is_due:
            return 0
        is_short = self._due() * self._seconds_a_byte + self._scanning <= SHORT
        return None if is_short or may_stall or self._is_pressed() else 0

    def reclaim(self, target: int, until: float) -> int:  # noqa: ARG002  # it cannot be cut short
        """Have it give back, and claim what the process shrank by."""
        began, before, due, freed = self._clock.now(), self._own(), self._due(), 0
        try:
            self._release()
            self._shrunk_to = self._own()
            freed = max(0, before - self._shrunk_to)
        finally:
            took = self._clock.now() - began
            self._learn(took, due, freed)
            self._paid = freed >= min(target, max(_PAYS, target * _PAYS_SHARE))
            now = self._clock.now()
            self._rests_until = now + took * (1 / _SHARE - 1)
            self._pause_ends = now + self._pause
            self._pause = FIRST_PAUSE if self._paid else min(2 * self._pause, LONGEST_PAUSE)
            self._look_at = float("-inf")
            self._left = self._look(now) or 0
        self.given_back += freed
        return freed

    def _look(self, now: float) -> int | None:
        if now >= self._look_at:
            self._free = self._ask_free()
            took = self._clock.now() - now
            self._look_at = now + took / _LOOK_SHARE
            # What was given back and is in use again makes the next try worthwhile; where nothing
            # came, the free bytes lie between others, and as many of them promise nothing anew.
            if self._paid and self._free is not None:
                self._left = min(self._left, self._free)
        return self._free

    def _due(self) -> int:
        """Bytes that may go now, at the most: freed since the last time, or come back since."""
        return min(self._free or 0, self.promised + max(0, self._own() - self._shrunk_to))

    def _learn(self, took: float, due: int, freed: int) -> None:
        """Take note of how long it took, for each byte and for looking through the rest."""
        if freed >= max(RISE, due / 2):
            self._seconds_a_byte = took / max(due, freed)
        else:
            self._scanning = max(0.0, took - freed * self._seconds_a_byte)


class Later:
    """A trim asked once more at a late rung, where a long stall is better than what else comes."""

    paces_itself = True

    def __init__(self, trim: Trim, rung: Rung) -> None:
        self.name: str = trim.name
        self.rung: Rung = rung
        self.reclaim: Callable[[int, float], int] = trim.reclaim
        self._trim = trim

    def reclaimable(self) -> int | None:
        """As the trim says."""
        return self._trim.reclaimable(may_stall=True)


UNREACHABLE = {"polars": "an allocator of its own, which cannot be asked to give back"}


class Allocators:
    """What may be asked, each as a reclaimer; `native` is malloc, then what stands in for it.

    One thread. `is_pressed` tells whether a long stall is better than what else comes.
    """

    malloc: Trim

    def __init__(
        self, own: Callable[[], int], native: Iterable[Purgeable], *, clock: Clock | None = None
    ) -> None:
        self.is_pressed: Callable[[], bool] = lambda: False
        pressed: Callable[[], bool] = lambda: self.is_pressed()  # noqa: PLW0108, E731  # set later
        trim = partial(Trim, own=own, is_pressed=pressed, clock=clock)
        self.malloc, *preloaded = (trim(name, give, free=free) for name, give, free in native)
        arrow = trim("pyarrow pools", _release_arrow, free=_arrow_free)
        self._early = [*preloaded, arrow, self.malloc]

        def release_pinned() -> None:  # Which waits for the GPU.
            _torch()._C._host_emptyCache()  # noqa: SLF001  # its public name is years younger

        late = trim("torch pinned memory", release_pinned, free=_pinned_free)
        self._all = [*self._early, late]

    def reclaimers(self) -> Sequence[Reclaimer]:
        """All of them, for a ladder: first asked before anything that is in use is let go."""
        late = [*self._all[-1:], *self._early]
        rungs = (Rung.AGGRESSIVE, Rung.EMERGENCY)
        return [*self._early, *(Later(one, rung) for rung in rungs for one in late)]

    @property
    def given_back(self) -> int:
        """Bytes that all of them gave back so far."""
        return sum(one.given_back for one in self._all)

    def ready(self) -> int:
        """Bytes that may come back where they are asked for at GENTLE now; at the most."""
        return sum(one.promised for one in self._early if one.reclaimable() != 0)

    def rows(self) -> list[Mapping[str, Any]]:
        """Who gave back how much and may give how much more, and who cannot be asked, and why."""
        asked = ((one.name, one.promised, one.given_back, "") for one in self._all)
        known = [one for one in asked if one[1] or one[2]]
        known += [(name, 0, 0, why) for name, why in UNREACHABLE.items() if name in sys.modules]
        return [dict(zip(("name", "free", "given_back", "why"), one, strict=True)) for one in known]


def _arrow_pools() -> list[Any]:
    """Pyarrow's pools, beside malloc's own, that ever held anything."""
    arrow = sys.modules.get("pyarrow")
    pools = []
    for name in ("mimalloc_memory_pool", "jemalloc_memory_pool"):
        make = getattr(arrow, name, None)
        try:
            pool = make() if make is not None else None
        except NotImplementedError:  # It was built without.
            continue
        if pool is not None and pool.max_memory():
            pools.append(pool)
    return pools


def _arrow_free() -> int:
    """At the most: what they held at their peak and hold no longer."""
    return sum(pool.max_memory() - pool.bytes_allocated() for pool in _arrow_pools())


def _release_arrow() -> None:
    allocate = sys.modules["pyarrow"].allocate_buffer
    for pool in _arrow_pools():
        # mimalloc does nothing on a thread that has never had memory of it.
        allocate(64, memory_pool=pool)
        pool.release_unused()


def _torch() -> Any:
    """torch, where the program uses a GPU with it: asking must not be what initialises that."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    is_initialized = getattr(cuda, "is_initialized", None)
    return torch if is_initialized is not None and is_initialized() else None


def _pinned_free() -> int | None:
    core: Any = getattr(_torch(), "_C", None)
    if not hasattr(core, "_host_emptyCache"):
        return 0
    if not hasattr(core, "_cuda_hostMemoryStats"):  # Before torch 2.7.
        return None
    stats = core._cuda_hostMemoryStats()  # noqa: SLF001  # torch.cuda builds a table of it
    return int(stats["allocated_bytes"]["current"] - stats["active_bytes"]["current"])


class StandardCaches:
    """Compiled patterns, source lines and the like: what CPython's own test runner clears."""

    name = "standard library caches"
    rung = Rung.MODERATE

    def __init__(self, own: Callable[[], int]) -> None:
        self._own = own

    def reclaimable(self) -> int | None:
        """Not known."""
        return None

    def reclaim(self, target: int, until: float) -> int:  # noqa: ARG002  # they are small
        """Clear them all; returns what the process shrank by. Cost: about 1 ms."""
        before = self._own()
        for name, clear in _CLEARED.items():
            if (module := sys.modules.get(name)) is not None:
                clear(module)
        return max(0, before - self._own())


def _drop_source_lines(linecache: Any) -> None:
    """Drop lines that can be read again from their file; notebooks put cells there, too."""
    for path, entry in list(linecache.cache.items()):
        if len(entry) > 1 and entry[1] is not None:
            linecache.cache.pop(path, None)


_CLEARED: dict[str, Callable[[Any], object]] = {
    "re": lambda module: module.purge(),
    "linecache": _drop_source_lines,
    "urllib.parse": lambda module: module.clear_cache(),
    "filecmp": lambda module: module.clear_cache(),
    "_strptime": lambda module: module._regex_cache.clear(),  # noqa: SLF001
    "typing": lambda module: [clear() for clear in list(module._cleanups)],  # noqa: SLF001
}
