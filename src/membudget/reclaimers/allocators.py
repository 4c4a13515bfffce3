"""The allocators of this process that can be asked to give back: malloc, and those beside it.

Nothing is loaded for that: libraries are taken from `sys.modules`, symbols from what is mapped.
Asked are glibc's malloc, jemalloc, tcmalloc and mimalloc where they stand in for it (LD_PRELOAD),
pyarrow's pools, and torch's cache of pinned memory. Each keeps to `Trim`'s pace. Not asked:

- polars: it has a jemalloc of its own and shows no symbol of it;
- CUDA's cache: it holds memory of the GPU, not of the process;
- SQLite and DuckDB: a connection is its owner's, who may `adopt` it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from membudget.core import Rung
from membudget.reclaimers.trim import Later, Trim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from membudget.core import Clock, Purgeable, Reclaimer

UNREACHABLE = {"polars": "an allocator of its own, which cannot be asked to give back"}
"""Libraries whose allocator is out of reach, and what to say of it."""

_POOLS = ("mimalloc_memory_pool", "jemalloc_memory_pool")
"""pyarrow's pools beside malloc's own."""


class Allocators:
    """What may be asked, each as a reclaimer. Used by the governor's thread.

    Args:
        own: Reads the bytes of the process now.
        native: The C library's malloc first, then what stands in for it
            (`probes.allocator.purgeable`).

    Attributes:
        malloc: The trim of the C library's malloc.
        is_pressed: Whether memory is so short that a long stall is better than what else comes.
    """

    def __init__(
        self, own: Callable[[], int], native: Iterable[Purgeable], *, clock: Clock | None = None
    ) -> None:
        self.is_pressed: Callable[[], bool] = lambda: False
        self._own = own
        self._clock = clock
        self.malloc, *preloaded = (self._trim(*one) for one in native)
        arrow = self._trim("pyarrow pools", _release_arrow, _arrow_free)
        self._early = [*preloaded, arrow, self.malloc]
        # Giving pinned memory back waits for the GPU.
        self._late = self._trim("torch pinned memory", _release_pinned, _pinned_free)

    def reclaimers(self) -> Sequence[Reclaimer]:
        """All of them, for a ladder: first asked before anything that is in use is let go."""
        rungs, every = (Rung.AGGRESSIVE, Rung.EMERGENCY), [self._late, *self._early]
        return [*self._early, *(Later(one, rung) for rung in rungs for one in every)]

    @property
    def given_back(self) -> int:
        """Bytes that all of them gave back so far."""
        return sum(one.given_back for one in (*self._early, self._late))

    def ready(self) -> int:
        """Bytes that may come back where they are asked for at GENTLE now; at the most."""
        return sum(one.promised for one in self._early if one.reclaimable() != 0)

    def rows(self) -> list[Mapping[str, Any]]:
        """Who gave back how much and may give how much more, and who cannot be asked, and why."""
        asked = [
            {"name": one.name, "free": one.promised, "given_back": one.given_back, "why": ""}
            for one in (*self._early, self._late)
            if one.promised or one.given_back
        ]
        untouched = [
            {"name": name, "free": 0, "given_back": 0, "why": why}
            for name, why in UNREACHABLE.items()
            if name in sys.modules
        ]
        return [*asked, *untouched]

    def _trim(
        self, name: str, release: Callable[[], object], free: Callable[[], int | None]
    ) -> Trim:
        return Trim(
            name,
            release,
            self._own,
            free=free,
            is_pressed=lambda: self.is_pressed(),  # noqa: PLW0108  # set once the governor is there
            clock=self._clock,
        )


def _arrow_pools() -> list[Any]:
    """Pyarrow's pools that ever held anything; none where the program has not imported it."""
    arrow = sys.modules.get("pyarrow")
    pools = []
    for name in _POOLS:
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


def _release_pinned() -> None:
    _torch()._C._host_emptyCache()  # noqa: SLF001  # its public name is years younger
