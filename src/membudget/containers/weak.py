"""Values by key for as long as somebody holds them; the last used, if asked, kept alive.

The callback of a dying value may come in the middle of anything, so it takes no lock: it only puts
the reference into a queue, whose entries the next operation or the governor sweeps.
"""

from __future__ import annotations

import weakref
from collections import deque
from itertools import count
from sys import maxsize
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from membudget.cache.table import bytes_bound, check_functions
from membudget.containers import INFINITE, KEEP, Holding, K, V, part_of
from membudget.containers.ordered import BoundedDict
from membudget.core import Record
from membudget.errors import ConfigError, hinted, missing
from membudget.registry import Registry
from membudget.sizing import checked, size_of
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from membudget.core import Clock, PartSample

D = TypeVar("D")
MISSING: Any = object()  # Instead of a value that is not there.
_REF_BYTES = 180  # Bytes of the weak reference, its number and its weight.
ENTRY_BYTES = BoundedDict.ENTRY_BYTES + _REF_BYTES  # Bytes of an entry beside its key and value.
_SWEPT = 64  # Entries of dead values that one operation sweeps at most.
_SLICE = 1 << 20  # Bytes let go between two looks at the clock.


class _Parts(Registry):
    """Where the tables of weak caches register, by any name: no budget asks them, the caches do."""

    def enter(self, member: Any, **_: object) -> None:
        self.add(member)


_PARTS = _Parts()


class WeakCacheStats(Record):
    """A weak cache's figures since it was made.

    Of all `entries` that can be found, the cache itself keeps `strong` alive, `max_strong` at most
    (None where only `max_bytes` bounds them); they weigh `strong_bytes`, keys and weak references
    `index_bytes`. `hits` and `misses` are lookups, `sets` values taken in; of these `died` when
    nobody held them any more, and `released` are no longer kept alive, for the cache's bounds or
    for the budget.
    """

    name: str
    entries: int
    strong: int
    strong_bytes: int
    index_bytes: int
    max_strong: int | None
    max_bytes: int | None
    hits: int
    misses: int
    sets: int
    died: int
    released: int


class _Ref(weakref.ref[Any]):
    """Where a value is found while it lives: its key, number and weight."""

    __slots__ = ("key", "number", "weight")


class _Kept:
    """The same of one without weak references, found while the cache keeps it alive."""

    __slots__ = ("key", "number", "value", "weight")

    key: Any
    number: int
    weight: int | None

    def __init__(self, value: Any) -> None:
        self.value = value


class WeakCache(Holding, Generic[K, V]):
    """Values by key, each found for as long as somebody holds it.

    With `strong` or `max_bytes` the cache itself keeps the values used last alive, so many and so
    many bytes of them; then it also takes values to which there are no weak references, such as a
    str or a list: these are found for as long as they are among those. A value is handed out by
    every thread as the same object. Any thread may call any method.

    Cost: 0.7 µs for `get`, 1.5 µs for `set`, and with a strong part what weighing the value takes.

    Args:
        name: What it is called in reports, events and settings.
        strong: How many values it keeps alive; 0 is none, and with `max_bytes` any number.
        max_bytes: How many bytes of values it keeps alive, or text such as "50MiB".
        size: What a value holds, in bytes; None weighs it with `size_of`. All others are as in a
            `BoundedDict`.
    """

    _most: int | None = 0
    """How many it keeps alive at most; None where only bytes bound them."""

    _most_bytes: int | None = None

    if not TYPE_CHECKING:  # They would take it that there is every attribute.
        __getattr__ = missing

    @hinted
    def __init__(
        self,
        name: str,
        *,
        strong: int = 0,
        max_bytes: int | str | None = None,
        size: Callable[[V], int] | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
        replace: bool = False,
    ) -> None:
        super().__init__(name, registry, clock)
        check_functions(size, None)
        self._size = size
        self._numbers = count()
        self._hits = self._misses = self._sets = self._died = 0
        self._dead: deque[Any] = deque()
        # What was kept alive, for as long as the lock is held: a finalizer may do anything.
        self._gone: deque[Any] = deque()
        dead, gone = self._dead, self._gone

        def release(_number: int, value: Any, _cause: str) -> None:
            gone.append(value)
            if type(value) is _Kept:
                dead.append(value)

        self._refs: BoundedDict[K, Any]
        self._refs = BoundedDict(self.name, max_items=maxsize, registry=_PARTS)
        self._strong: BoundedDict[int, Any]
        self._strong = BoundedDict(self.name, on_drop=release, registry=_PARTS)
        self.resize(strong=strong, max_bytes=max_bytes)
        self._registry.enter(self, replace=replace)

    def __len__(self) -> int:
        with self._lock:
            self._sweep()
            return len(self._refs)

    def __contains__(self, key: object) -> bool:
        return self.peek(key, MISSING) is not MISSING  # type: ignore[arg-type]  # any object

    def __iter__(self) -> Iterator[K]:
        return iter([key for key, _ in self.items()])

    def __repr__(self) -> str:
        held = human_bytes(self.held_bytes())
        return f"{type(self).__name__}({self.name!r}, {len(self)} entries, {held})"

    def __getitem__(self, key: K) -> V:
        value: V = self.get(key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self.set(key, value)

    def __delitem__(self, key: K) -> None:
        self.pop(key)

    @overload
    def get(self, key: K, default: None = None) -> V | None: ...
    @overload
    def get(self, key: K, default: D) -> V | D: ...
    def get(self, key: K, default: Any = None) -> Any:
        """The value under a key while it lives, else the default."""
        with self._lock:
            if self._dead:
                self._sweep(_SWEPT)
            entry: Any = self._refs.peek(key)
            value = self._value(entry)
            if value is MISSING:
                self._misses += 1
                value = default
            else:
                self._hits += 1
                self._hold(entry, value)
        self._gone.clear()
        return value

    @overload
    def peek(self, key: K, default: None = None) -> V | None: ...
    @overload
    def peek(self, key: K, default: D) -> V | D: ...
    def peek(self, key: K, default: Any = None) -> Any:
        """The value under a key while it lives, else the default; changes nothing."""
        with self._lock:
            value = self._value(self._refs.peek(key))
        return default if value is MISSING else value

    def set(self, key: K, value: V) -> None:
        """Let a value be found under a key for as long as it lives.

        A ConfigError where it allows no weak references and the cache keeps none alive. What the
        size function raised passes through; then nothing was changed.
        """
        weight = None  # Where it may have to be kept alive, it is weighed.
        if self._most != 0:
            weight = size_of(value) if self._size is None else self._size(value)
            checked(weight, f"the size of a value in {self.name!r}")
        entry = self._refer(value)
        entry.key, entry.weight, entry.number = key, weight, next(self._numbers)
        taken_in = ENTRY_BYTES + size_of(key)
        with self._lock:
            self._sweep(_SWEPT)
            self._forget(key)
            self._refs.set(key, entry, size=_REF_BYTES)
            self._sets += 1
            if self._hold(entry, value):
                taken_in += (weight or 0) + BoundedDict.ENTRY_BYTES + size_of(entry.number)
            elif type(entry) is _Kept:  # Heavier than the strong part may be.
                self._forget(key)
        self._gone.clear()
        self._claim(taken_in)

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: D) -> V | D: ...
    def pop(self, key: K, default: Any = MISSING) -> Any:
        """Forget a key and return its value, else the default; without one a KeyError."""
        with self._lock:
            value = self._value(self._refs.peek(key))
            self._forget(key)
        self._gone.clear()
        if value is not MISSING:
            return value
        if default is MISSING:
            raise KeyError(key)
        return default

    def items(self) -> list[tuple[K, V]]:
        """Keys and living values now."""
        with self._lock:
            self._sweep()
            found = [(key, self._value(entry)) for key, entry in self._refs.items()]
        return [(key, value) for key, value in found if value is not MISSING]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._gone += [*self._refs.values(), *self._strong.values()]
            self._refs.clear()
            self._strong.clear()
        self._gone.clear()

    def resize(self, *, strong: int = KEEP, max_bytes: int | str | None = KEEP) -> None:
        """Change how much it keeps alive; what was taken in while that was none stays weak."""
        most: Any = (self._most or 0) if strong is KEEP else strong
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            raise ConfigError(
                f"strong {strong!r} is not a number of values: give how many the cache keeps "
                "alive, or 0"
            )
        most_bytes = self._most_bytes if max_bytes is KEEP else bytes_bound(max_bytes)
        with self._lock:
            self._most = None if not most and most_bytes is not None else most
            self._most_bytes = most_bytes
            if self._most == 0:
                self._strong.reclaim(maxsize, INFINITE)
            else:
                self._strong.resize(max_items=self._most, max_bytes=most_bytes)
        self._gone.clear()

    def held_bytes(self) -> int:
        """The bytes of the values it keeps alive, of all keys and references. No lock."""
        return self._strong.held_bytes() + self._refs.held_bytes()

    def reclaimable(self) -> int:
        """The bytes it could let go: the values that it keeps alive."""
        return self._strong.held_bytes()

    def reclaim(self, target: int, until: float) -> int:
        """Stop keeping at least `target` bytes alive, longest unused first; returns the bytes.

        What the program itself holds stays. Overruns `until`, monotonic, by less than 1 ms or a
        value.
        """
        freed = 0

        def release() -> int:
            before = self.held_bytes()
            self._strong.reclaim(min(target - freed, _SLICE), INFINITE)
            self._sweep(_SWEPT)
            return before - self.held_bytes()

        while freed < target and len(self._strong):
            more = self._under_lock(until, release)
            if more is None:
                break
            freed += more
            self._gone.clear()
        return freed

    def due(self, _now: float) -> bool:
        """Whether values have died whose entries are still there. Cost: 0.1 µs."""
        return bool(self._dead)

    def run(self, until: float) -> int:
        """Forget the entries of values that have died; returns the bytes."""
        freed = 0

        def sweep() -> int:
            before = self._refs.held_bytes()
            self._sweep(_SWEPT)
            return before - self._refs.held_bytes()

        while self._dead and (more := self._under_lock(until, sweep)) is not None:
            freed += more
        return freed

    def as_part(self) -> PartSample:
        """How it stands, for a sample: its items are those that it keeps alive. No lock."""
        return part_of(self, len(self._strong), self._most, self._most_bytes)

    def stats(self) -> WeakCacheStats:
        """The figures; entries of values that have died are swept first."""
        with self._lock:
            self._sweep()
            return WeakCacheStats(
                name=self.name,
                entries=len(self._refs),
                strong=len(self._strong),
                strong_bytes=self._strong.held_bytes(),
                index_bytes=self._refs.held_bytes(),
                max_strong=self._most,
                max_bytes=self._most_bytes,
                hits=self._hits,
                misses=self._misses,
                sets=self._sets,
                died=self._died,
                released=sum(self._strong.stats().dropped.values()),
            )

    def _refer(self, value: Any) -> Any:
        try:
            return _Ref(value, self._dead.append)
        except TypeError:
            if self._most != 0:
                return _Kept(value)
            kind = type(value).__qualname__
            raise ConfigError(
                f"{self.name!r} cannot tell when a value of type {kind} is no longer held, since "
                f"{kind} allows no weak references: give the cache strong= or max_bytes= to keep "
                "such values alive, or put the value into an object of a class of your own"
            ) from None

    def _value(self, entry: Any) -> Any:
        if entry is None:
            return MISSING
        if type(entry) is _Kept:
            return entry.value if entry.number in self._strong else MISSING
        value = entry()
        return MISSING if value is None else value

    def _hold(self, entry: Any, value: Any) -> bool:
        """Keep a value alive as the one last used, where it is to be; whether it is, then."""
        if entry.weight is None or self._most == 0:
            return False
        if self._strong.get(entry.number, MISSING) is not MISSING:
            return True
        kept = entry if type(entry) is _Kept else value
        return self._strong.set(entry.number, kept, size=entry.weight)

    def _forget(self, key: K) -> None:
        """Take out an entry and what is kept alive of it; under the lock."""
        entry = self._refs.pop(key, None)
        if entry is not None:
            self._gone += (entry, self._strong.pop(entry.number, None))

    def _sweep(self, most: int | None = None) -> None:
        """Forget values that have died, so many at most; under the lock."""
        dead, swept = self._dead, 0
        while dead and swept != most:
            swept += 1
            entry = dead.popleft()
            key = entry.key
            if self._refs.peek(key) is entry:  # Else there is another by now.
                self._forget(key)
                self._died += type(entry) is _Ref

    def _mend(self) -> None:
        """Nothing: each table is in order by itself."""
