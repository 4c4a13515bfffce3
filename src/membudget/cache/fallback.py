"""The table in plain Python, for where there is no compiled core or MEMBUDGET_PURE=1 asks for it.

It answers as the compiled one does (`_native/_core.pyi`), but what was unused for longest goes
first, whatever policy a cache names. Nothing foreign runs under the lock but the keys' own
`__hash__` and `__eq__`. What belongs together changes without a call in between, so that no signal
handler finds it half done.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from heapq import heapify, heappop, heappush
from sys import getsizeof
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from membudget.cache.entries import FEWEST_KNOWN, NEVER, Entry, Ghost, Mark
from membudget.cache.table import DEFAULT_ENTRIES, ForkLock
from membudget.errors import ConfigError
from membudget.sizing import checked, entry_bytes, size_of
from membudget.sizing.kinds import ATOMS, SINGLETONS
from membudget.units import as_bytes, as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from membudget.cache.table import Cause, Gone
    from membudget.registry import Registry

    _Step = tuple[int, list[Gone[Any, Any]]]

K = TypeVar("K")
V = TypeVar("V")
_BATCH, _BATCH_BYTES = 64, 1 << 20  # Let go at a stretch: well below a millisecond.
_CLAIM_QUANTUM = 1 << 14  # Bytes taken in between two claims: none for each small value.
_PATIENCE = 1.0  # Seconds that a step waits for the lock: a key's `__eq__` may take for ever.
_SWEPT_AT_A_SET, _WEIGHED_AT_A_TIME, _FORGET_EVERY = 2, 16, 1024  # Sets; then hits count half.
_LOOKED_AT, _SPARE_MARKS = 1024, 64  # Times looked at in one search; and held beside 2 an entry.
_LOOSE_TABLE, _LOOSE_SLOT = 1 << 16, 512  # Bytes a dict may take, and for each entry: of 20 to 45.
_MISSING: Any = object()


class Table(ForkLock, Generic[K, V]):
    """A bounded mapping in the order of use. Any thread may call any method; heeds no policy."""

    __slots__ = ("__dict__",)

    ENTRY_BYTES = 320
    """Itself 96, its places in index and order 130, weight and time 64; a mark, if any, 90 more."""

    def __init__(
        self,
        *,
        max_bytes: int | None,
        max_entries: int | None,
        ttl: float | None,
        idle: float | None,
        policy: str,
        size: Callable[[V], int] | None,
        listens: bool,
        registry: Registry,
        now: Callable[[], float] | None,
    ) -> None:
        del policy, listens  # It always tells.
        if hasattr(self, "_lock"):
            raise ConfigError("this table was made already: make a new one")
        self.max_bytes, self.max_entries, self._claimed = max_bytes, max_entries, 0
        self.share: int | None = None
        self.free_entries = self._kept_entries = -1
        self.claim_quantum: int = _CLAIM_QUANTUM
        self._ttl, self._idle, self._size, self._registry = ttl, idle, size, registry
        self._now = time.monotonic if now is None else now
        self._counted = {"sets": 0, "refused": 0, "bytes_evicted": 0, "expirations": 0}
        self._evictions = {"bytes": 0, "entries": 0, "pressure": 0, "share": 0}
        self.hits: int = 0
        self.misses: int = 0
        self.forgotten_hits: int = 0
        self.ghost_hits: int = 0
        self._mend()
        super().__init__()  # Last: what has a lock is complete.

    def _mend(self) -> None:
        order, ghost = OrderedDict[Entry, None](), Ghost()
        self._index: dict[Any, Entry] = {}  # Finds them, and may lead to one that was taken out.
        self._order, self._ghost = order, ghost
        self._marks: list[Mark] = []  # A heap; the soonest is the first.
        self._round: list[Entry] = []
        self._bytes, self._loose, self._is_behind = 0, 0, False  # Whether a search stopped early.

    ghost_added: property = property(lambda self: self._ghost.added)  # As the compiled one has it.
    ghost_ages: property = property(lambda self: self._ghost.ages)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, key: object) -> bool:
        return self.peek(key, _MISSING) is not _MISSING  # type: ignore[arg-type]  # any may be asked

    def __iter__(self) -> Iterator[K]:
        return iter(self.keys())

    def __getitem__(self, key: K) -> V:
        value: V = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self.set(key, value)

    def __delitem__(self, key: K) -> None:
        self.pop(key)

    def get(self, key: K, default: Any = None) -> Any:
        """The value under a key, which counts as used; else the default."""
        gone: list[Gone[K, V]] = []
        with self._lock:
            now = self._now() if self._idle is not None else 0.0
            entry = self._live(key, gone)
            if entry is not None:
                value, entry.since = entry.value, now or entry.since
                self._order.move_to_end(entry)
                self.hits += 1
                return value
            self.misses += 1
        if gone:
            self._told(gone)
        return default

    def peek(self, key: K, default: Any = None) -> Any:
        """The value under a key, else the default; changes nothing, not even the statistics."""
        with self._lock:
            entry = self._live(key)
            return default if entry is None else entry.value

    def set(self, key: K, value: V, *, ttl: Any = None, size: Any = None) -> bool:
        """Keep a value under a key, and make room for it; whether it was taken in."""
        return self._set(key, value, ttl, size)

    def _set(self, key: K, value: V, ttl: Any, size: Any, there: list[V] | None = None) -> bool:
        """Take a value in; what stands there already stays where there is a list for it."""
        hashed, lasts = hash(key), self._ttl if ttl is None else as_seconds(ttl, name="ttl")
        new = Entry(key, value, self._weighed(key, value, size))
        gone: list[Gone[K, V]] = []
        is_refused = new.weight >= _BATCH_BYTES and self._refuses(new.weight)
        with self._lock:
            new.since = now = self._now()
            if there is not None:
                entry = self._live(key)
                if entry is not None:
                    self._order.move_to_end(entry)
                    entry.since = now
                    there.append(entry.value)
                    return False
            if self.max_bytes is self.max_entries is None:
                self._free_bound()  # Before this one comes in.
            if is_refused or (self.max_bytes is not None and new.weight > self.max_bytes):
                entry = self._index.get(key)
                replaced: Any = None if entry is None else self._unlink(entry)
                self._counted["refused"] += 1
                return False
            if lasts is not None:
                new.expires = now + lasts
            replaced, weight = self._link(new, hashed), new.weight
            self._counted["sets"] += 1
            if not self._counted["sets"] % _FORGET_EVERY:
                self.forgotten_hits += (self.hits - self.forgotten_hits) // 2
            for _ in range(_SWEPT_AT_A_SET):
                if (due := self._next_expired(now)) is not None:
                    self._let_go(due, "expired", gone)
            self._claimed += weight
            gone += self._enforce()[1]
        del replaced  # Its finalizer may do anything, so it goes outside the lock.
        if gone or self._claimed >= self.claim_quantum:
            self._settle(gone)
        return True

    def set_many(self, pairs: Mapping[K, V] | Iterable[tuple[K, V]], *, ttl: Any = None) -> int:
        """Keep many values, as one `set` after the other; returns how many were taken in."""
        given: Any = pairs
        found = given.items() if hasattr(given, "items") else given
        return sum([self.set(key, value, ttl=ttl) for key, value in found])

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """The values found under keys; each counts as a lookup."""
        found = ((key, self.get(key, _MISSING)) for key in keys)
        return {key: value for key, value in found if value is not _MISSING}

    def pop(self, key: K, default: Any = _MISSING) -> Any:
        """Take a value out and return it, else the default. No lookup in the statistics."""
        gone: list[Gone[K, V]] = []
        with self._lock:
            entry = self._live(key, gone)
            taken = None if entry is None else self._unlink(entry)
        if gone:
            self._told(gone)
        if taken is not None and taken[2]:
            return taken[1]
        if default is _MISSING:
            raise KeyError(key)
        return default

    def delete(self, key: K) -> bool:
        """Forget a key; returns whether a value stood there."""
        absent: Any = object()
        return Table.pop(self, key, absent) is not absent  # A subclass may have another.

    def _setdefault(self, key: K, value: V) -> V:
        there: list[V] = []
        self._set(key, value, None, None, there)
        return there[0] if there else value

    def _popitem(self, newest: bool) -> tuple[K, V] | None:  # noqa: FBT001  # as the compiled one
        with self._lock:
            while self._order:
                with suppress(RuntimeError):  # A signal's handler came between: look again.
                    entry = next(reversed(self._order) if newest else iter(self._order))
                    key, value, weight = self._unlink(entry)
                    if weight:
                        return key, value
        return None

    def _move_to_end(self, key: K, newest: bool) -> bool:  # noqa: FBT001  # as the compiled one
        with self._lock:
            entry = self._live(key)
            if entry is not None:
                self._order.move_to_end(entry, newest)
            return entry is not None

    def ttl_left(self, key: K) -> float | None:
        """Seconds until a value expires if it is not used, None for never; changes nothing."""
        with self._lock:
            entry = self._live(key)
            if entry is None:
                raise KeyError(key)
            ends = self._ends(entry)
            return None if ends == NEVER else ends - self._now()

    def keys(self) -> list[K]:
        """The keys now, the longest unused first."""
        return [key for key, _ in Table.items(self)]  # A subclass may give a view.

    def values(self) -> list[V]:
        """The values now, in the order of the keys."""
        return [value for _, value in Table.items(self)]

    def items(self) -> list[tuple[K, V]]:
        """Keys and values now, in the order of the keys. Reading them changes nothing."""
        with self._lock:
            now = self._now() if self._marks else 0.0
            entries = list(self._order)
            return [(one.key, one.value) for one in entries if self._ends(one) > now and one.weight]

    def held_bytes(self) -> int:
        """The bytes all entries weigh."""
        return self._bytes

    def clear(self) -> None:
        """Forget all entries at once, then free them. This is no eviction."""
        with self._lock:
            _old = self._order, self._index  # Freed outside the lock.
            self._mend()

    def _set_bounds(self, max_bytes: int | None, max_entries: int | None) -> None:
        self.max_bytes, self.max_entries, self._kept_entries = max_bytes, max_entries, -1

    def _evict(self, target: int, cause: Cause) -> _Step:
        return self._step(lambda freed: cause if freed < target else None)

    def _enforce(self) -> _Step:
        # Asked first, since each set does and there seldom is.
        return self._step(self._excess) if self._excess() is not None else (0, [])

    def _sweep(self) -> _Step:
        return self._step(lambda _: "expired")

    def _fold(self) -> bool:
        """Have the dicts give memory back where they are mostly empty; False: no more is to do."""
        with self._lock, suppress(Exception):  # A key's __eq__ may fail: it stays as it is then.
            if getsizeof(self._index) > _LOOSE_TABLE + _LOOSE_SLOT * len(self):
                sets = self._counted["sets"]
                index, order = dict(self._index), OrderedDict(self._order)
                if len(order) == len(self._order) and self._counted["sets"] == sets:
                    self._index, self._order = index, order
        return False

    def _reweigh(self) -> int:
        """Weigh some entries again whose values may have changed; returns by how many bytes."""
        with self._lock:
            if not self._round and self._loose:
                self._round = [one for one in list(self._order) if one.is_loose]
            some = [(one, one.value) for one in self._round[-_WEIGHED_AT_A_TIME:]]
            del self._round[-_WEIGHED_AT_A_TIME:]
        change = 0
        for entry, value in some:
            with suppress(Exception):  # What weighs it is the program's own, and was right once.
                weight = entry_bytes(entry.key, value) + self.ENTRY_BYTES
                with self._lock:
                    if entry in self._order and entry.value is value:
                        change += weight - entry.weight
                        self._bytes += weight - entry.weight
                        entry.weight = weight
        return change

    def _soonest(self) -> float | None:
        return self._marks[0] if self._marks else None

    def _counts(self) -> dict[str, Any]:
        with self._lock:
            known = min(max(FEWEST_KNOWN, len(self)), self._ghost.added)
            return {
                **self._counted,
                "evictions": self._evictions.copy(),
                "entries": len(self),
                "bytes": self._bytes,
                "hits": self.hits,
                "misses": self.misses,
                "forgotten_hits": self.forgotten_hits,
                "ghost_hits": self.ghost_hits,
                "ghost_bytes": known * self._bytes // max(1, len(self)),
                "oldest_born": next((one.since for one in list(self._order)[:1]), None),
            }

    def _told(self, gone: list[Gone[K, V]]) -> None: ...  # A subclass tells whoever listens,

    def _refuses(self, weight: int) -> bool | None: ...  # and asks the budget.
    def _claim(self, weight: int) -> None: ...

    def _weighed(self, key: K, value: V, size: int | str | None) -> tuple[int, bool]:
        """What an entry weighs, and whether that may change."""
        if size is not None:
            held = 0 if type(size) is int and not size else as_bytes(size)
        elif self._size is not None:
            what = f"the size of a value in cache {getattr(self, 'name', '')!r}"
            held = checked(self._size(value), what)
        else:
            is_loose = type(value) not in ATOMS and id(value) not in SINGLETONS
            return entry_bytes(key, value) + self.ENTRY_BYTES, is_loose
        return held + size_of(key) + self.ENTRY_BYTES, False

    def _link(self, new: Entry, hashed: int) -> Any:
        """Take a value in as the newest; returns the one it replaces, to be dropped outside."""
        new.due = ends = self._ends(new)
        entry, replaced = self._index.setdefault(new.key, new), None
        if is_new := entry not in self._order:
            entry.key = new.key
        else:
            replaced = entry.value
            self._bytes -= entry.weight
            self._loose -= entry.is_loose
        self._order[entry] = None
        self._bytes += new.weight
        self._loose += new.is_loose
        entry.value, entry.weight, entry.is_loose = new.value, new.weight, new.is_loose
        entry.since, entry.expires, entry.due = new.since, new.expires, ends
        self._order.move_to_end(entry)
        if ends != NEVER:
            self._mark(entry)
            if (count := len(self._marks)) > 2 * len(self) + _SPARE_MARKS:  # Most count no more.
                heapify(marks := [one for one in self._marks if one == one.entry.due])
                self._marks = marks if len(self._marks) == count else self._marks
        self.ghost_hits += is_new and self._ghost.take(hashed, len(self) - 1)
        return replaced

    def _unlink(self, entry: Entry) -> tuple[K, V, int]:
        """Take an entry out; returns its key, value and weight, which is 0 where it was out."""
        key, value, weight = entry.key, entry.value, 0
        with suppress(Exception):  # Its key's __eq__: the entry must go all the same.
            found = self._index.pop(key, entry)
            if found is not entry and found in self._order:
                self._index.setdefault(found.key, found)
        if entry in self._order:
            weight = entry.weight
            del self._order[entry]
            self._bytes -= weight
            self._loose -= entry.is_loose
        # The index may still lead to it, and a mark: neither is to keep what it held.
        entry.key = entry.value = None
        entry.weight, entry.is_loose, entry.due = 0, False, -NEVER
        return key, value, weight

    def _live(self, key: K, gone: list[Gone[K, V]] | None = None) -> Entry | None:
        """The entry under a key; one that has expired is let go where there is a list for that."""
        now = self._now() if self._marks else -NEVER
        entry: Entry | None = self._index.get(key)
        if entry is None or entry not in self._order:
            return None
        ends = entry.expires if self._idle is None else self._ends(entry)
        if ends > now:  # A handler may have come since: the last look is this.
            return entry if entry in self._order else None
        if gone is not None:
            self._let_go(entry, "expired", gone)
        return None

    def _ends(self, entry: Entry) -> float:
        """When an entry expires if it is not used any more; infinite for never."""
        idle = self._idle
        return entry.expires if idle is None else min(entry.expires, entry.since + idle)

    def _mark(self, entry: Entry) -> None:
        mark = Mark(entry.due)
        mark.entry = entry
        heappush(self._marks, mark)

    def _next_expired(self, now: float) -> Entry | None:
        marks, self._is_behind = self._marks, False
        for _ in range(_LOOKED_AT):
            if not marks or not marks[0] <= now:
                return None
            mark = heappop(marks)
            entry: Entry = mark.entry
            if mark == entry.due:
                ends = self._ends(entry)
                if ends <= now:
                    return entry
                entry.due = ends  # It was used since, for which the heap is not touched.
                self._mark(entry)
        self._is_behind = True
        return None

    def _oldest(self) -> Entry | None:
        for one in self._order:  # Unlike next(), no call that a signal's handler could follow.
            return one
        return None

    def _let_go(self, entry: Entry, cause: Cause, gone: list[Gone[K, V]]) -> int:
        """Take out and count an entry; returns its bytes."""
        key, value, weight = self._unlink(entry)
        if not weight:
            return 0
        if cause == "expired":
            self._counted["expirations"] += 1
        else:
            self._evictions[cause] += 1
            self._counted["bytes_evicted"] += weight
            with suppress(Exception):  # A hash of the program's own.
                self._ghost.add(hash(key), len(self))
        gone.append((key, value, weight, cause))
        return weight

    def _step(self, cause_of: Callable[[int], Cause | None]) -> _Step:
        """Take out for as long as there is a cause, a batch at most; the bytes and the entries."""
        freed, gone = 0, list[Any]()
        if not self._lock.acquire(timeout=_PATIENCE):
            return freed, gone
        try:
            now = self._now()
            while len(gone) < _BATCH and freed < _BATCH_BYTES and (cause := cause_of(freed)):
                if (entry := self._next_expired(now)) is not None:
                    cause = "expired"
                elif cause == "expired" or (entry := self._oldest()) is None:
                    break
                freed += self._let_go(entry, cause, gone)
        finally:
            self._lock.release()
        return freed, gone

    def _settle(self, gone: list[Gone[K, V]]) -> None:
        """Tell and drop what a set took out, let go of what is still too much, make the claim."""
        freed, errors = 1, list[Exception]()
        while freed:
            try:
                if gone:
                    self._told(gone)
                if self._claimed >= self.claim_quantum:
                    claimed, self._claimed = self._claimed, 0
                    self._claim(claimed)
            except Exception as error:  # noqa: BLE001  # raised at the end
                errors.append(error)
            freed, gone = self._enforce()
        if errors:
            raise errors[0]

    def _excess(self, _freed: int = 0) -> Cause | None:
        """Which bound is broken now. Without one, a running budget is; else so many entries."""
        most, held = self.max_entries, self._bytes
        if self.max_bytes is None:
            if most is None:
                most = self._free_bound()
        elif held > self.max_bytes:
            return "bytes"
        if most is not None and len(self) > most:
            return "entries"
        return "share" if self.share is not None and held > self.share else None

    def _free_bound(self) -> int | None:
        """The bound in entries of a table that was given none; None where a budget runs."""
        if self._registry.meter is not None:
            self._kept_entries = -1
            return None
        if self.free_entries < 0:
            return DEFAULT_ENTRIES
        if self._kept_entries < 0:  # What a budget let it hold is not dropped when that ends.
            self._kept_entries = max(self.free_entries, len(self))
        return self._kept_entries
