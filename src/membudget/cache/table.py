"""What a table is given, checked, and what it tells; its lock, where it is not compiled."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping  # noqa: TC003  # `get_type_hints` asks for it

from membudget._native import core
from membudget.callables import check_function
from membudget.core import Record
from membudget.core.native import RLock
from membudget.errors import ConfigError
from membudget.units import as_bytes, checked_name

IS_COMPILED = core is not None  # Whether tables are compiled; else `fallback` has them.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Generic, Literal, TypeAlias, TypedDict

    from typing_extensions import TypeVar

    from membudget.core import Clock
    from membudget.units import Duration

    K = TypeVar("K", default=Any)
    V = TypeVar("V", default=Any)

    # Why an entry was let go: its own bounds, its share of the budget, the budget, its time.
    Cause: TypeAlias = Literal["bytes", "entries", "share", "pressure", "expired"]
    Gone: TypeAlias = tuple[K, V, int, Cause]  # Key, value, weight and why.
    # What one step let go: bytes, and each entry where somebody listens.
    Step: TypeAlias = tuple[int, list[Gone[K, V]] | None]

    class CacheOptions(TypedDict, Generic[K, V], total=False):
        """What every cache takes besides its name, its register and where it spills."""

        max_bytes: int | str | None
        max_entries: int | None
        ttl: Duration | None
        idle: Duration | None
        policy: str | None
        size: Callable[[V], int] | None
        on_evict: Callable[[K, V, Cause], object] | None
        replace: bool
        clock: Clock | None
elif IS_COMPILED:
    K = V = object  # The compiled table takes whatever stands between the brackets.
else:
    from typing import TypeVar

    K, V = TypeVar("K"), TypeVar("V")

POLICIES = ("gdsf", "s3fifo", "lru")
"""What goes first; the first is that of a cache that names none, the last that of plain Python."""

_TELLS = ("key", "value", "cause")  # What a listener is told.
DEFAULT_ENTRIES = 1000  # The bound of a table that was given none, where no budget runs.
_INFINITE = float("inf")


def container_name(name: object) -> str:
    """The name of a container; raises ConfigError where it is none."""
    return checked_name(name, "a container after what it holds")


def bytes_bound(bound: int | str | None) -> int | None:
    """A bound in bytes, or text such as "50MiB", above zero; or None. Else raises ConfigError."""
    return None if bound is None else as_bytes(bound, name="max_bytes")


def entries_bound(bound: object, name: str = "max_entries") -> int | None:
    """A bound in entries, above zero, or None. Else raises ConfigError."""
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, int) or bound <= 0:
        raise ConfigError(f"{name} {bound!r} is not a number above zero: give one, or None")
    return bound


def check_functions(
    size: object, tell: object, name: str = "on_evict", tells: tuple[str, ...] = _TELLS
) -> None:
    """Raise a ConfigError where what weighs values, or is told of them, could never be called."""
    if size is not None:
        check_function(size, "size", ("value",))
    if tell is not None:
        check_function(tell, name, tells)


def checked_policy(policy: object) -> str:
    """The name of one of `POLICIES`; None is the first. Else raises ConfigError."""
    if policy is not None and policy not in POLICIES:
        raise ConfigError(f"policy {policy!r} is not known: use one of {', '.join(POLICIES)}")
    return POLICIES[-1] if not IS_COMPILED else POLICIES[0] if policy is None else str(policy)


class CacheStats(Record):
    """A cache's figures since it was made (bytes and seconds).

    Attributes:
        evictions: Entries evicted, by what they made room for: "bytes" and "entries" are the
            cache's own bounds, "share" its share of the budget, "pressure" the budget itself.
        oldest_age: Seconds since the entry oldest in its order was set; None where there is none.
        ghost_hits: Values taken in whose keys had been evicted shortly before: with more room they
            would have been hits.
    """

    name: str
    entries: int  # Those expired but not yet freed included.
    bytes: int  # What they weigh.
    max_bytes: int | None
    max_entries: int | None
    hits: int  # Lookups that found a value.
    misses: int
    hit_rate: float  # Hits ÷ lookups; 0.0 before the first.
    sets: int  # Values taken in.
    refused: int  # Values not taken in, as heavier than `max_bytes` or than a budget has room for.
    evictions: Mapping[str, int]
    bytes_evicted: int
    expirations: int  # Entries freed because they had expired.
    oldest_age: float | None
    hits_per_byte: float  # Recent hits ÷ bytes; the least worthy cache shrinks first.
    ghost_hits: int
    ghost_bytes: int  # About how much more room that is.
    policy: str  # What goes first: "gdsf", "s3fifo" or "lru".
    is_compiled: bool  # Whether the compiled table does the work.


class Shrunk(Record):
    """What came of shrinking a cache.

    Attributes:
        measured: Bytes by which the process shrank meanwhile; below 0 where it grew. Freed memory
            often stays with the allocator, for the process to use again.
    """

    freed: int  # Bytes that the entries let go weighed.
    measured: int
    entries: int  # Entries let go.
    took: float  # Seconds.


class ForkLock:
    """Something with a lock of its own, which comes to rest while the process forks."""

    __slots__ = ("_lock",)

    _now: Callable[[], float]

    def __init__(self) -> None:
        # Re-entrant, for foreign code that comes back; the system's, which waits for no greenlets.
        self._lock = RLock()

    def __reduce__(self) -> Any:
        """Raise TypeError: two that share items and a lock would each count the bytes."""
        kind = type(self).__name__
        raise TypeError(
            f"a {kind} can be neither copied nor pickled: make another {kind}, and put in what it "
            "is to hold"
        )

    def before_fork(self, until: float) -> None:
        """Take the lock, so that the child finds everything in order."""
        self._lock.acquire(timeout=max(0.0, until - time.monotonic()))

    def after_fork_in_parent(self) -> None:
        """Give the lock back where it could be had: only then is it this thread's."""
        with contextlib.suppress(RuntimeError):
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """Take a new lock; mend what another thread was in the middle of."""
        try:
            self._lock.release()
        except RuntimeError:
            self._mend()
        self._lock = RLock()

    def _mend(self) -> None:
        """Bring the sums in line with what is held, after a change that was cut short."""
        raise NotImplementedError

    def _under_lock(self, until: float | None, work: Callable[[], int]) -> int | None:
        """Do something once the lock is had, until a monotonic time; None: it was not had."""
        lock = self._lock
        if until is None or until == _INFINITE:
            with lock:
                return work()
        left = until - self._now()
        if left <= 0:
            return None
        try:
            # Where this thread has it already, this cannot fail.
            is_had = lock.acquire(timeout=min(left, threading.TIMEOUT_MAX))
            return work() if is_had else None
        finally:
            # A signal's handler may have raised between taking the lock and saying so.
            try:  # noqa: SIM105  # suppress() would be a call that could be cut short after
                lock.release()
            except RuntimeError:
                pass


class LastFailure:
    """A chore that raises, for the governor to tell, how work that nobody waits for failed last."""

    _failure: Exception | None = None

    def due(self, _now: float) -> bool:
        """Whether it failed and that was not told yet."""
        return self._failure is not None

    def run(self, _until: float) -> int:
        """Raise the last failure; no bytes are let go."""
        failure, self._failure = self._failure, None
        if failure is None:
            return 0
        raise failure
