"""What is kept in a table: values with their weight and their time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from membudget.bounded.plain.entry import Entry, K, V
from membudget.bounded.plain.ghost import tag_of
from membudget.bounded.plain.store import Store
from membudget.sizing import checked, entry_bytes, size_of
from membudget.sizing.blocks import ATOMS, SINGLETONS
from membudget.units import MOST_BYTES, MOST_SECONDS, as_bytes, as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.registry import Registry

_NEVER = float("inf")
_WEIGHED_AT_A_TIME = 16


class Weighing(Store[K, V]):
    """A store that makes its entries itself.

    Args:
        max_bytes: The bound in bytes, or None.
        max_entries: The bound in entries, or None.
        ttl: Seconds that an entry lasts where `set` gives no other, or None.
        idle: Seconds without use after which an entry expires, or None.
        policy: "gdsf", "s3fifo" or "lru".
        size: What a value holds, in bytes; None weighs it.
        listens: Whether what is let go is told to `_told`.
        registry: Where the meter of a running budget is found.
        now: Monotonic seconds; None is the monotonic clock.
        entry_bytes: What an entry costs by itself; None is what it does.
    """

    __slots__ = ("_entry_bytes", "_size", "_ttl")

    ENTRY_BYTES = 290
    """Bytes an entry costs beside its key and value: itself 160, its place in the index 20 to 45,
    its weight, tag and time 96, its time of expiry 32 where it has one. Measured with tracemalloc,
    1,000 to 175,000 entries: 272 to 284, timed ones 306 to 316."""

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
        entry_bytes: int | None = None,
    ) -> None:
        super().__init__(
            max_bytes=max_bytes,
            max_entries=max_entries,
            idle=idle,
            policy=policy,
            listens=listens,
            registry=registry,
            now=now,
        )
        self._ttl = ttl
        self._size = size
        self._entry_bytes = self.ENTRY_BYTES if entry_bytes is None else entry_bytes

    def _made(
        self, key: K, value: V, ttl: float | str | None, size: int | str | None
    ) -> Entry[K, V]:
        """An entry for a value, weighed; nothing is changed yet."""
        tag = tag_of(hash(key))
        if ttl is None:
            lasts = self._ttl
        elif type(ttl) in (int, float) and 0 < ttl <= MOST_SECONDS:  # type: ignore[operator]
            lasts = ttl  # type: ignore[assignment]  # a number
        else:
            lasts = as_seconds(ttl, name="ttl")
        weight, is_loose = self._weighed(key, value, size)
        now = self._now()
        never = None if self._is_simple else _NEVER
        expires = never if lasts is None else now + lasts
        entry = Entry(key, value, weight, tag, now, expires, is_loose)
        if self._idle is not None:
            entry.used = self._contents.wheel.tick_of(now)
        return entry

    def _weighed(self, key: K, value: V, size: int | str | None) -> tuple[int, bool]:
        """What an entry weighs, and whether that may change."""
        if size is None and self._size is None:
            is_loose = type(value) not in ATOMS and id(value) not in SINGLETONS
            return entry_bytes(key, value) + self._entry_bytes, is_loose
        if size is None:
            asked: Any = self._size
            name = getattr(self, "name", "")
            held = checked(asked(value), f"the size of a value in cache {name!r}")
        elif type(size) is int and 0 <= size <= MOST_BYTES:
            held = size
        else:
            held = as_bytes(size)
        return held + size_of(key) + self._entry_bytes, False

    def _reweigh(self) -> int:
        """Weigh some entries again whose values may have changed; returns by how many bytes."""
        change = 0
        for entry, value in self._next_loose():
            with suppress(Exception):  # What weighs it is the program's own, and was right once.
                weight = entry_bytes(entry.key, value) + self._entry_bytes
                with self._lock:
                    change += self._contents.reweighed(entry, value, weight)
        return change

    def _next_loose(self) -> list[tuple[Entry[K, V], V]]:
        """The next few entries that may have changed, from where the last call ended."""
        with self._lock:
            contents = self._contents
            if not contents.loose:
                return []
            entries = contents.following(_WEIGHED_AT_A_TIME)
            return [(one, one.value) for one in entries if one.is_loose]
