"""The objects whose methods are cached: known by identity, and never kept alive.

Entries are kept under a number that is never given again. When the object dies, a weak reference's
callback, which may come anywhere, only queues it; the next load or the governor lets them go.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from membudget.cache.cache import Cache
from membudget.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from membudget.core import Clock

    Parts = Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, ...]]
    KeyOf = Callable[[tuple[Any, ...], dict[str, Any]], Hashable]

_AT_A_TIME, _ENTRY_STEPS = 512, 8
"""Steps that one load does for objects that are gone, 0.1 to 0.2 ms, and what an entry costs."""

OWNER_BYTES, KEY_BYTES = 490, 41  # An object known here, and each note of a key; by tracemalloc.


class Owner(weakref.ref[Any]):
    """A weak reference to an object, its number, and the keys of its entries."""

    __slots__ = ("identity", "keys", "number")

    identity: int
    keys: set[Any]
    number: int


class Owners:
    """The living objects that have entries in a cache; a holder of what is noted of them."""

    def __init__(self, name: str, clock: Clock | None = None) -> None:
        self.name: str = f"cached {name}"
        self._now = time.monotonic if clock is None else clock.now
        self.cache: Cache[Any, Any] | None = None
        self.by_identity: dict[int, Owner] = {}
        self.gone: deque[Owner] = deque()
        self.by_number: dict[int, Owner] = {}
        self._numbers = count()
        # Both are called by what lives longer, and keep this from going.
        own = weakref.ref(self)

        def bury(owner: Owner) -> None:
            if (known := own()) is not None:
                if known.by_identity.get(owner.identity) is owner:
                    del known.by_identity[owner.identity]
                known.gone.append(owner)

        def forget(key: Any, *_: object) -> None:
            known = own()
            owner = None if known is None else known.by_number.get(key[0])
            if known is None or owner is None or known.cache is None:
                return
            if known.cache.peek(key, known) is known:  # Else it is there again.
                owner.keys.discard(key)

        self.forget: Callable[..., None] = forget
        self._bury = bury

    def join(self, one: object) -> Owner:
        """The owner for an object, or a ConfigError: no weak reference to it can be made."""
        owner = self.by_identity.get(id(one))
        if owner is not None and owner() is one:
            return owner
        try:
            owner = Owner(one, self._bury)
        except TypeError:
            kind = type(one).__qualname__
            raise ConfigError(
                f"{self.name} cannot tell when an object of {kind} is gone, since {kind} allows no "
                "weak references: add '__weakref__' to its __slots__, or give key=, such as "
                "key=lambda self, x: (self.id, x)"
            ) from None
        owner.identity, owner.keys, owner.number = id(one), set(), next(self._numbers)
        self.by_number[owner.number] = owner
        # Of two threads that come first together, both go on with the same.
        known = self.by_identity.setdefault(id(one), owner)
        if known is not owner and known() is not one:
            self.by_identity[id(one)] = known = owner
        if known is not owner:
            self.by_number.pop(owner.number, None)
        return known

    def key_from(self, parts: Parts) -> KeyOf:
        """A function that makes the key of a call, whose first argument is an object here."""

        def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
            one, *others = parts(args, kwargs)
            return (self.join(one).number, *others)

        return key_of

    def noting(self, keep: Callable[[Any, Any], object]) -> Callable[[Any, Any], object]:
        """A function that keeps a value, and remembers whose it is."""

        def note_and_keep(key: Any, value: Any) -> object:
            if self.gone:
                self._let_go(_AT_A_TIME)
            owner = self.by_number.get(key[0])
            if owner is not None:
                # First: the cache may let go of it at once, and tell.
                owner.keys.add(key)
            is_kept = keep(key, value)
            if owner is not None and not is_kept:
                owner.keys.discard(key)
            return is_kept

        return note_and_keep

    def held_bytes(self) -> int:
        """Bytes of memory that the notes take, about. No lock."""
        entries = 0 if self.cache is None else len(self.cache)
        return len(self.by_number) * OWNER_BYTES + entries * KEY_BYTES

    def due(self, _now: float) -> bool:
        """Whether an object is gone whose entries are still there."""
        return bool(self.gone)

    def run(self, until: float) -> int:
        """Let go of the entries of objects that are gone, until a monotonic time; the bytes."""
        before = 0 if self.cache is None else self.cache.held_bytes()
        while self.gone and self._now() < until:
            self._let_go(_AT_A_TIME)
        return 0 if self.cache is None else max(0, before - self.cache.held_bytes())

    def _let_go(self, most: int) -> None:
        """Do so many steps at most of letting go of the entries of objects that are gone."""
        while most > 0:
            try:
                owner = self.gone.popleft()
            except IndexError:  # There are none left; maybe another thread does the same.
                return
            while owner.keys and most > 0:
                most -= _ENTRY_STEPS
                with suppress(KeyError):
                    key = owner.keys.pop()
                    if self.cache is not None:
                        Cache.pop(self.cache, key, None)
            if owner.keys:
                self.gone.appendleft(owner)
            else:
                most -= 1
                self.by_number.pop(owner.number, None)


class MethodCache(Cache[Any, Any]):
    """The cache of a method, whose owners are told of what is taken out by hand as well."""

    __slots__ = ("owners",)

    owners: weakref.ref[Owners]

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        if (known := self.owners()) is not None:
            for owner in list(known.by_number.values()):
                for key in list(owner.keys):
                    known.forget(key)

    def delete(self, key: Any) -> bool:
        """Forget a key; returns whether it was there."""
        was_there = super().delete(key)
        self._tell(key)
        return was_there

    def pop(self, key: Any, *default: Any) -> Any:
        """Take out the value of a key, else the default, else raise KeyError."""
        value = super().pop(key, *default)
        self._tell(key)
        return value

    def _tell(self, key: Any) -> None:
        known = self.owners()
        if known is not None and type(key) is tuple and key:
            known.forget(key)
