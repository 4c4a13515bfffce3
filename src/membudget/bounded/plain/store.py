"""Contents under one lock that keep a bound, and let go in steps.

Nothing foreign runs under the lock but the keys' own `__hash__` and `__eq__`. What is let go is
taken out under the lock, a batch at a time, and dropped and told after it: a finalizer or a
listener may use the table, and no thread waits for one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

from membudget.bounded.locked import Locked
from membudget.bounded.plain.contents import Contents
from membudget.bounded.plain.entry import Entry, K, V
from membudget.bounded.plain.steps import BATCH, BATCH_BYTES, DEFAULT_ENTRIES, Cause, Gone, Step
from membudget.bounded.plain.wheel import Wheel
from membudget.bounded.plain.worth import Worth
from membudget.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.registry import Registry

CLAIM_QUANTUM = 1 << 14
"""Bytes taken in between two claims: below what matters, and no claim for each small value."""

_SWEPT_AT_A_SET = 2

_CauseOf: TypeAlias = "Callable[[int], Cause | None]"
"""Why to let one more go, after so many bytes; None at the end."""


class Store(Locked, Generic[K, V]):
    """Bounded contents under a lock.

    Any thread may call any method. `held_bytes` and `len` take no lock.

    Args:
        max_bytes: The bound in bytes, or None.
        max_entries: The bound in entries, or None.
        idle: Seconds without use after which an entry expires, or None.
        policy: "gdsf", "s3fifo" or "lru".
        listens: Whether what is let go is collected and told.
        registry: Where the meter of a running budget is found.
        now: Monotonic seconds.

    Attributes:
        share: Bytes, or None: a bound that the budget sets.
        free_entries: Entries kept without a bound and without a budget, and then also what a budget
            had let it hold; -1 is 1000, and no more.
    """

    __slots__ = (
        "_bytes_evicted",
        "_claimed",
        "_contents",
        "_evictions",
        "_expirations",
        "_find",
        "_idle",
        "_is_lru",
        "_is_simple",
        "_kept_entries",
        "_listens",
        "_misses",
        "_now",
        "_policy",
        "_refused",
        "_registry",
        "_sets",
        "claim_quantum",
        "forgotten_hits",
        "free_entries",
        "hits",
        "max_bytes",
        "max_entries",
        "share",
    )

    def __init__(
        self,
        *,
        max_bytes: int | None,
        max_entries: int | None,
        idle: float | None,
        policy: str,
        listens: bool,
        registry: Registry,
        now: Callable[[], float] | None,
    ) -> None:
        if hasattr(self, "_lock"):
            raise ConfigError("this table was made already: make a new one")
        self.max_bytes, self.max_entries = max_bytes, max_entries
        self.share: int | None = None
        self.free_entries = self._kept_entries = -1
        self.claim_quantum = CLAIM_QUANTUM
        self._claimed = 0
        self._idle = idle
        self._is_lru = policy == "lru"
        # Where neither the order nor the time asks for it, a hit takes no lock.
        self._is_simple = idle is None and not self._is_lru
        self._listens = listens
        self._registry = registry
        self.hits = self.forgotten_hits = self._misses = self._sets = self._refused = 0
        self._evictions = {"bytes": 0, "entries": 0, "pressure": 0, "share": 0}
        self._bytes_evicted = self._expirations = 0
        clock = time.monotonic if now is None else now
        self._policy = policy
        self._fill(self._empty(Wheel(clock(), idle)))
        self._now = clock
        super().__init__()  # Last: what has a lock is complete.

    def __len__(self) -> int:
        return self._contents.count

    def held_bytes(self) -> int:
        """The bytes all entries weigh. Cost: 0.1 µs, no lock."""
        return self._contents.bytes

    def clear(self) -> None:
        """Forget all entries at once, then free them in steps. This is no eviction."""
        with self._lock:
            old = self._renewed()
        del old  # It takes itself apart here, outside the lock.

    @property
    def ghost_hits(self) -> int:
        """Values taken in whose keys had been evicted shortly before. Takes no lock."""
        return self._contents.ghost_hits

    @property
    def _is_behind(self) -> bool:
        """Whether there may be more to sweep although the last step found none."""
        return self._contents.wheel.is_behind

    @property
    def _loose(self) -> int:
        """How many entries may weigh something else by now. Takes no lock."""
        return self._contents.loose

    def _soonest(self) -> float | None:
        """A time before which nothing expires; None for never. Takes no lock."""
        return self._contents.wheel.soonest()

    def _set_bounds(self, max_bytes: int | None, max_entries: int | None) -> None:
        """Change the bounds; what is beyond them stays until `_enforce`."""
        with self._lock:
            self.max_bytes, self.max_entries = max_bytes, max_entries
            self._kept_entries = -1
            self._contents.by_count = max_bytes is None and max_entries is not None

    def _evict(self, target: int, cause: Cause, until: float | None = None) -> Step[K, V]:
        """Let go of at most a batch, until so many bytes of this step are freed."""
        return self._step(lambda freed: cause if freed < target else None, until)

    def _enforce(self, until: float | None = None) -> Step[K, V]:
        """Let go of at most a batch of what is beyond the bounds."""
        return self._step(self._excess, until)

    def _sweep(self, until: float | None = None) -> Step[K, V]:
        """Let go of at most a batch of what has expired."""
        return self._step(lambda _: "expired", until)

    def _fold(self, until: float | None = None) -> bool:
        """Give memory of the index back where it is mostly empty; whether more is to be done."""
        self._under_lock(until, self._folded)
        return False

    def _counts(self) -> dict[str, Any]:
        """All figures at one moment."""
        with self._lock:
            contents = self._contents
            held, entries = contents.bytes, contents.count
            known = contents.ghost.known(entries)
            return {
                "entries": entries,
                "bytes": held,
                "hits": self.hits,
                "misses": self._misses,
                "sets": self._sets,
                "refused": self._refused,
                "evictions": self._evictions.copy(),
                "bytes_evicted": self._bytes_evicted,
                "expirations": self._expirations,
                "forgotten_hits": self.forgotten_hits,
                "ghost_hits": contents.ghost_hits,
                "ghost_bytes": known * held // entries if entries else 0,
                "oldest_born": contents.oldest(),
            }

    def _told(self, gone: list[Gone[K, V]]) -> None:
        """Take note of what was let go; a subclass tells whoever listens."""

    def _claim(self, weight: int) -> None:
        """Take note of bytes taken in; a subclass asks the budget."""

    def _empty(self, wheel: Wheel) -> Contents[K, V]:
        is_by_worth = self._policy == "gdsf"
        new: Contents[K, V] = Worth(wheel) if is_by_worth else Contents(wheel, is_lru=self._is_lru)
        new.by_count = self.max_bytes is None and self.max_entries is not None
        return new

    def _fill(self, contents: Contents[K, V]) -> None:
        self._contents = contents
        self._find = contents.index.get

    def _mend(self) -> None:
        self._renewed()

    def _renewed(self) -> Contents[K, V]:
        """Begin anew; returns the old contents, to be dropped outside the lock."""
        old = self._contents
        new = self._empty(Wheel(old.wheel.epoch, self._idle))
        new.ghost_hits = old.ghost_hits
        self._fill(new)
        return old

    def _settle(self, gone: list[Gone[K, V]]) -> None:
        """Tell and drop what a set took out, let go of what is still too much, make the claim.

        Raises:
            Exception: What a listener raised first, once everything is in order.
        """
        errors = [self._heard(gone)]
        while self._excess() is not None:
            freed, more = self._enforce()
            if not freed:
                break
            errors.append(self._heard(more or []))
        if self._claimed >= self.claim_quantum:
            with self._lock:
                claimed, self._claimed = self._claimed, 0
            try:
                self._claim(claimed)
            except Exception as error:  # noqa: BLE001  # raised below, in its turn
                errors.append(error)
        for first in errors:
            if first is not None:
                raise first

    def _heard(self, gone: list[Gone[K, V]]) -> Exception | None:
        """Tell what was let go, and drop it; returns what a listener raised."""
        try:
            if gone and self._listens:
                self._told(gone)
        except Exception as error:  # noqa: BLE001  # raised by the caller, at the end
            return error
        finally:
            gone.clear()
        return None

    def _folded(self) -> None:
        contents = self._contents
        contents.fold()
        self._fill(contents)

    def _step(self, cause_of: _CauseOf, until: float | None) -> Step[K, V]:
        gone: list[Gone[K, V]] = []
        freed = 0

        def let_go() -> None:
            nonlocal freed
            freed = self._batch(cause_of, gone, self._now())

        self._under_lock(until, let_go)
        return freed, gone if self._listens else None

    def _batch(self, cause_of: _CauseOf, gone: list[Gone[K, V]], now: float) -> int:
        """Take out for as long as there is a cause, a batch at most; returns the bytes."""
        contents, freed = self._contents, 0
        while len(gone) < BATCH and freed < BATCH_BYTES:
            cause = cause_of(freed)
            if cause is None:
                break
            entry = contents.wheel.next_due(now) if contents.wheel.count else None
            if entry is None and cause != "expired":
                entry = contents.victim()
            if entry is None:
                break
            freed += self._let_go(contents, entry, cause, gone, now)
        return freed

    def _sweep_some(self, contents: Contents[K, V], gone: list[Gone[K, V]], now: float) -> None:
        """Take out two entries that have expired, if there are any."""
        for _ in range(_SWEPT_AT_A_SET):
            due = contents.wheel.next_due(now)
            if due is None:
                return
            self._let_go(contents, due, "expired", gone, now)

    def _let_go(
        self,
        contents: Contents[K, V],
        entry: Entry[K, V],
        cause: Cause,
        gone: list[Gone[K, V]],
        now: float,
    ) -> int:
        """Take out and count an entry; one that had expired anyway is no eviction."""
        tag = entry.tag if contents.is_remembered(entry) else 0
        taken = contents.remove(entry)
        if taken is None:
            return 0
        key, value, weight, expires, used = taken
        has_ended = expires is not None and contents.wheel.has_ended(expires, used, now)
        if has_ended or cause == "expired":
            self._expirations += 1
            cause = "expired"
        else:
            self._evictions[cause] += 1
            self._bytes_evicted += weight
            if tag:
                contents.ghost.add(tag, contents.count)
        gone.append((key, value, weight, cause))
        return weight

    def _excess(self, _freed: int = 0) -> Cause | None:
        """Which bound is broken now. Without one, a running budget is; else so many entries."""
        contents, most = self._contents, self.max_entries
        if self.max_bytes is None:
            if most is None:
                most = self._free_bound()
        elif contents.bytes > self.max_bytes:
            return "bytes"
        if most is not None and contents.count > most:
            return "entries"
        return "share" if self.share is not None and contents.bytes > self.share else None

    def _free_bound(self) -> int | None:
        """The bound in entries of a table that was given none; None where a budget runs."""
        if self._registry.meter is not None:
            self._kept_entries = -1
            return None
        if self.free_entries < 0:
            return DEFAULT_ENTRIES
        if self._kept_entries < 0:  # What a budget let it hold is not dropped when that ends.
            self._kept_entries = max(self.free_entries, self._contents.count)
        return self._kept_entries
