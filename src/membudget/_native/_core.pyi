# Docstrings of what a user calls stand here, where an editor finds them; table.h and
# membudget.sizing say the rest. Without a compiled core cache/fallback.py answers alike.

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar, overload

from membudget.units import Duration

_K = TypeVar("_K")
_V = TypeVar("_V")
_D = TypeVar("_D")

class Table(Generic[_K, _V]):
    """A bounded mapping that knows its bytes and forgets what has expired.

    Any thread may call any method. All values are checked by the caller.

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

    ENTRY_BYTES: ClassVar[int]
    share: int | None
    claim_quantum: int
    free_entries: int
    @property
    def max_bytes(self) -> int | None: ...
    @property
    def max_entries(self) -> int | None: ...
    @property
    def hits(self) -> int: ...
    @property
    def forgotten_hits(self) -> int: ...
    @property
    def ghost_hits(self) -> int: ...
    @property
    def ghost_added(self) -> int: ...
    @property
    def ghost_ages(self) -> int: ...
    @property
    def misses(self) -> int: ...
    @property
    def _is_behind(self) -> bool: ...
    @property
    def _loose(self) -> int: ...
    def __init__(
        self,
        *,
        max_bytes: int | None,
        max_entries: int | None,
        ttl: float | None,
        idle: float | None,
        policy: str,
        size: Callable[[_V], int] | None,
        listens: bool,
        registry: Any,
        now: Callable[[], float] | None,
        entry_bytes: int | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, key: object) -> bool: ...
    def __iter__(self) -> Iterator[_K]: ...
    def __getitem__(self, key: _K) -> _V: ...
    def __setitem__(self, key: _K, value: _V) -> None: ...
    def __delitem__(self, key: _K) -> None: ...
    @overload
    def get(self, key: _K, default: None = None) -> _V | None: ...
    @overload
    def get(self, key: _K, default: _D) -> _V | _D:
        """The value under a key, which counts as used; else the default.

        Raises:
            Exception: What a listener raised, where the value was found expired.
        """
    @overload
    def peek(self, key: _K, default: None = None) -> _V | None: ...
    @overload
    def peek(self, key: _K, default: _D) -> _V | _D:
        """The value under a key, else the default; changes nothing, not even the statistics."""
    @overload
    def pop(self, key: _K) -> _V: ...
    @overload
    def pop(self, key: _K, default: _D) -> _V | _D:
        """Take a value out and return it, else the default. No lookup in the statistics.

        Raises:
            KeyError: There is none, or it has expired, and no default is given.
        """
    def set(
        self,
        key: _K,
        value: _V,
        *,
        ttl: Duration | None = None,
        size: int | str | None = None,
    ) -> bool:
        """Keep a value under a key, and make room for it.

        Where a budget runs and is short, as much as it asks for is evicted from here before `set`
        returns, the new entry last.

        Args:
            key: Any hashable object.
            value: Any object.
            ttl: Seconds, or text such as "5m", until it expires; None is the table's own time.
            size: Bytes, or text such as "2MiB", that the value holds; None has it weighed.

        Returns:
            False where it weighs more than `max_bytes`, or than a running budget leaves the table
            with nothing else in it: then nothing stands under the key.

        Raises:
            ConfigError: A `ttl` or `size` that is none, or a size function that gave none.
            TypeError: A key that has no hash.
            Exception: What the size function raised, and nothing was changed; or what a listener
                raised first, and the value was taken in.
        """

    def delete(self, key: _K) -> bool:
        """Forget a key; returns whether a value stood there."""

    def get_many(self, keys: Iterable[_K]) -> dict[_K, _V]:
        """The values found under keys; each counts as a lookup."""

    def set_many(
        self, pairs: Mapping[_K, _V] | Iterable[tuple[_K, _V]], *, ttl: Duration | None = None
    ) -> int:
        """Keep many values, as one `set` after the other; returns how many were taken in.

        Args:
            pairs: A mapping, or pairs of key and value.
            ttl: As in `set`.
        """

    def ttl_left(self, key: _K) -> float | None:
        """Seconds until a value expires if it is not used, None for never; changes nothing.

        Raises:
            KeyError: There is none, or it has expired.
        """

    def keys(self) -> list[_K]:
        """The keys now, in the order of eviction."""

    def values(self) -> list[_V]:
        """The values now, in the order of the keys."""

    def items(self) -> list[tuple[_K, _V]]:
        """Keys and values now, in the order of the keys. Reading them changes nothing."""

    def _some_values(self, start: int, n: int, /) -> tuple[list[_V], int | None]: ...
    def _setdefault(self, key: _K, value: _V, /) -> _V: ...
    def _popitem(self, newest: bool, /) -> tuple[_K, _V] | None: ...
    def _move_to_end(self, key: _K, newest: bool, /) -> bool: ...
    def clear(self) -> None:
        """Forget all entries at once, then free them in steps. This is no eviction."""

    def held_bytes(self) -> int:
        """The bytes all entries weigh. Cost: 0.1 µs, no lock."""

    def _set_bounds(self, max_bytes: int | None, max_entries: int | None, /) -> None: ...
    def _evict(self, target: int, cause: str, /) -> tuple[int, list[Any] | None]: ...
    def _enforce(self) -> tuple[int, list[Any] | None]: ...
    def _sweep(self) -> tuple[int, list[Any] | None]: ...
    def _fold(self) -> bool: ...
    def _reweigh(self) -> int: ...
    def _soonest(self) -> float | None: ...
    def _counts(self) -> dict[str, Any]: ...
    def _plan_arenas(self, start: int, n: int, /) -> int | None: ...
    def _choose_arenas(self, target: int, /, *others: Table[Any, Any]) -> int: ...
    def _evict_arenas(self, most: int, /) -> tuple[int, list[Any] | None]: ...
    def _told(self, gone: list[Any], /) -> None: ...
    def _refuses(self, weight: int, /) -> bool | None: ...
    def _claim(self, weight: int, /) -> None: ...

def has_symbol(name: str, /) -> bool:
    """Whether the process has a symbol of this name."""

def mallinfo() -> tuple[int, int] | None:
    """Bytes of malloc in use and free, or None."""

def pools_free() -> int: ...
def pools_trim() -> int: ...
def pools_watch() -> None: ...
def trim() -> bool: ...
def read_descriptor(descriptor: int, /) -> bytes: ...
def read_path(path: str, /) -> bytes: ...
def read_numbers(descriptor: int, /) -> list[int]: ...
def read_figures(descriptor: int, keys: tuple[bytes, ...], /) -> tuple[int | None, ...]: ...
def size_of(value: object, nodes: int = ..., /) -> int: ...
def measure(value: object, nodes: int = ..., /) -> tuple[int, int, bool]: ...
def entry(key: object, value: object, shares: Any = ..., /) -> int: ...
def gone(key: object, value: object, shares: Any, /) -> None: ...
def new_shares() -> Any: ...
def is_atomic(value: object, /) -> bool: ...
def forget_types() -> None: ...
def read_arrays(nbytes: Any, whole: Any, part: Any, /) -> bool: ...

class Reservation:
    """What `governor.admission.Reservation` is made on; taken and ended by `with`."""

    _admission: Any
    _size: int
    _timeout: float
    _is_held: bool
    _was_asked: bool
    def __init__(self, admission: Any, size: int, timeout: float) -> None: ...
