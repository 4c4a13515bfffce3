"""The entries of a cache in order of use, and the index that finds them by key.

A ring of entries linked to each other, oldest use after the root, newest before it; a dict leads
to them. An OrderedDict would be shorter, but its order may break when a key's `__eq__` comes back
to it in the middle of an operation. Here every change of the links and the sums is straight code
without a call, so nothing can come between: no signal handler, no finalizer, no other thread. What
runs foreign code, the dict with its keys' `__hash__` and `__eq__`, is asked once in an operation
and what it answers is looked at again. An entry that the index still leads to although it was
taken out (its key's `__eq__` failed) is not held and counts as absent.

Entries link to each other in circles, which only the garbage collector would find; so a ring that
is let go of takes itself apart, piece by piece.
"""

from __future__ import annotations

from contextlib import suppress
from sys import getsizeof
from typing import Any, Generic, TypeAlias

from membudget.bounded.deadlines import Deadlines
from membudget.bounded.entry import Entry, K, V

_NOTHING: Any = None

_LOOSE_TABLE, _LOOSE_SLOT = 1 << 16, 512
"""Bytes that an index may take, and for each entry: a full one takes 20 to 45."""

Taken: TypeAlias = tuple[K, V, int, float | None]
"""What was taken out: key, value, weight and when it expires. Only the caller still holds it."""


class Ring(Generic[K, V]):
    """Entries in order of use, with their number and bytes. Not for several threads at once."""

    __slots__ = ("bytes", "count", "deadlines", "index", "is_timed", "root")

    def __init__(self) -> None:
        self.index: dict[K, Entry[K, V]] = {}
        self.deadlines = Deadlines()
        self.is_timed = False
        self.bytes = 0
        self.count = 0
        self.root: Any = Entry(None, None, 0, 0.0, None)
        self.root.before = self.root.after = self.root

    def __del__(self) -> None:
        self.root.before = self.root.after = None
        while self.index:
            _, entry = self.index.popitem()
            entry.before = entry.after = None
        self.deadlines.drain()

    def put(self, entry: Entry[K, V]) -> V | None:
        """Take an entry in as the newest; returns the value it replaces, to be dropped outside."""
        held = self.index.setdefault(entry.key, entry)
        replaced = None
        if held is entry:
            self._link(entry)
        else:
            replaced = self._renew(held, entry)
        if held.expires is not None:
            self.is_timed = True
            self.deadlines.add(held, self.count)
        return replaced

    def touch(self, entry: Entry[K, V]) -> None:
        """Make an entry the newest; nothing happens to one that is not held."""
        before, after, root = entry.before, entry.after, self.root
        if before is None or after is None or after is root:
            return
        before.after, after.before = after, before
        newest = root.before
        newest.after = root.before = entry
        entry.before, entry.after = newest, root

    def take(self, key: K) -> Taken[K, V] | None:
        """Take out what stands under a key, expired or not; None where nothing does."""
        entry = self.index.pop(key, None)
        if entry is None:
            return None
        taken = self._unlink(entry)
        entry.weight = 0
        return taken

    def evict(self, now: float) -> Taken[K, V] | None:
        """Take out an expired entry, else the one longest unused; None where there is none."""
        while True:
            entry = self.deadlines.pop_due(now) if self.is_timed else None
            if entry is None:
                entry = self.root.after
            if entry is self.root:
                return None
            taken = self.remove(entry)
            if taken is not None:
                return taken

    def remove(self, entry: Entry[K, V]) -> Taken[K, V] | None:
        """Take out an entry; None where it went by itself meanwhile."""
        try:
            found = self.index.pop(entry.key, None)
        except Exception:  # noqa: BLE001  # its key's __eq__: the entry must go all the same
            found = None
        if found is not None and found is not entry:
            self.index.setdefault(found.key, found)
        return self._unlink(entry)

    def fold(self) -> None:
        """Give back the index's table where most of it is empty: a dict never shrinks by itself."""
        if getsizeof(self.index) <= _LOOSE_TABLE + _LOOSE_SLOT * self.count:
            return
        newest, count = self.root.before, self.count
        with suppress(Exception):  # A key's __eq__ that fails: the index stays as it is.
            index = dict(self.index)
            if self.root.before is newest and self.count == count:
                self.index = index

    def live(self, now: float) -> list[tuple[K, V]]:
        """Keys and values that have not expired, least recently used first."""
        found: list[Entry[K, V]] = []
        while True:
            entry = self.root.after
            while entry is not self.root and entry is not None:
                found.append(entry)
                entry = entry.after
            if len(found) == self.count:
                break
            found.clear()  # A finalizer came in between and used the cache: look again.
        rows = [(one.key, one.value, one.weight, one.expires) for one in found]
        return [(key, value) for key, value, weight, ends in rows if weight and _lasts(ends, now)]

    def _link(self, entry: Entry[K, V]) -> None:
        if entry.after is not None or not entry.weight:
            return
        root = self.root
        newest = root.before
        newest.after = root.before = entry
        entry.before, entry.after = newest, root
        self.bytes += entry.weight
        self.count += 1

    def _renew(self, held: Entry[K, V], entry: Entry[K, V]) -> V:
        """Give an entry of the index what another one holds, and make it the newest."""
        before, after, root = held.before, held.after, self.root
        if before is None or after is None:
            self.bytes += entry.weight
            self.count += 1
        else:
            before.after, after.before = after, before
            self.bytes += entry.weight - held.weight
        newest = root.before
        newest.after = root.before = held
        held.before, held.after = newest, root
        replaced = held.value
        held.value, held.weight = entry.value, entry.weight
        held.born, held.expires = entry.born, entry.expires
        return replaced

    def _unlink(self, entry: Entry[K, V]) -> Taken[K, V] | None:
        before, after = entry.before, entry.after
        if before is None or after is None:
            return None
        before.after, after.before = after, before
        entry.before = entry.after = None
        value, weight = entry.value, entry.weight
        # A stale deadline may still lead to the entry, and must not keep the value.
        entry.value, entry.weight = _NOTHING, 0
        self.bytes -= weight
        self.count -= 1
        return entry.key, value, weight, entry.expires


def _lasts(expires: float | None, now: float) -> bool:
    return expires is None or expires > now
