"""How long what a function gave is kept: spread times, old values that still serve, exceptions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from membudget.cache.loading.load import MISSING
from membudget.errors import ConfigError
from membudget.units import as_seconds, parse_fraction

if TYPE_CHECKING:
    from membudget.cache.cache import Cache
    from membudget.core import Clock

RETRY_SHARE: Final = 0.1
"""After a failed refresh, the next one waits for this share of `stale`: ten tries at most fail."""

_GOLDEN: Final = 0x9E3779B97F4A7C15
"""2**64 ÷ the golden ratio: multiplying by it spreads neighbouring hashes (Knuth, TAOCP 6.4)."""


class Lifetime:
    """How long a value lasts (seconds), from what the decorator was given; see `cached`.

    Raises:
        ConfigError: An argument that cannot be used as given.
    """

    __slots__ = ("jitter", "keep_errors", "stale", "ttl")

    def __init__(
        self,
        ttl: float | str | None,
        jitter: float | str,
        stale: float | str | None,
        keep_errors: float | str | None,
    ) -> None:
        self.ttl = None if ttl is None else as_seconds(ttl, name="ttl")
        share: object = parse_fraction(jitter, name="jitter") if isinstance(jitter, str) else jitter
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise ConfigError(f'jitter {jitter!r} is not a share below 1: write 0.1 or "10%"')
        self.jitter = float(share)
        self.stale = None if stale is None else as_seconds(stale, name="stale")
        self.keep_errors = (
            None if keep_errors is None else as_seconds(keep_errors, name="keep_errors")
        )
        if ttl is None and (self.jitter or stale is not None):
            what = f"stale={stale!r}" if stale is not None else f"jitter={jitter!r}"
            raise ConfigError(f'{what} needs a ttl to count from: give one too, such as ttl="5m"')

    def is_plain(self) -> bool:
        """Whether values are kept as they are."""
        return self.stale is None and self.keep_errors is None

    def as_dict(self) -> dict[str, float | None]:
        """The figures by name."""
        return {name: getattr(self, name) for name in ("ttl", "jitter", "stale", "keep_errors")}

    def of(self, key: Any) -> float | None:
        """How long a key's value is fresh: the same for a key each time, unlike its neighbours'.

        The hash of a text differs from process to process, so workers do not expire together.
        """
        if self.ttl is None or not self.jitter:
            return self.ttl
        spread = hash(("membudget", key)) * _GOLDEN & (1 << 64) - 1
        return self.ttl * (1 - self.jitter * (spread / (1 << 64)))


class Kept:
    """A value or an exception as it is kept, and until when it is fresh."""

    __slots__ = ("error", "fresh_until", "value")

    def __init__(self, value: Any, error: Exception | None, fresh_until: float) -> None:
        self.value, self.error, self.fresh_until = value, error, fresh_until

    def give(self) -> Any:
        """The value; else raise a copy of the exception: what is raised grows by its traceback."""
        if self.error is not None:
            raise _bare(self.error)
        return self.value


class Shelf:
    """A cache of values that may be old, and of exceptions; also the chore that tells of refreshes.

    A failed refresh is told as `Failed` by a running governor, which tells what chores raise.
    """

    def __init__(
        self, name: str, cache: Cache[Any, Any], lifetime: Lifetime, clock: Clock | None
    ) -> None:
        self.name = f"cached {name}"
        self._cache, self._lifetime = cache, lifetime
        self.now = time.monotonic if clock is None else clock.now
        self._failure: Exception | None = None

    def look(self, key: Any, default: Any) -> Any:
        """The fresh value under a key, else the default; raises the exception kept there."""
        kept = self._cache.peek(key)
        return kept.give() if kept is not None and self.now() < kept.fresh_until else default

    def keep(self, key: Any, value: Any) -> bool:
        """Keep a value; returns whether the cache took it."""
        fresh = self._lifetime.of(key)
        if fresh is None:
            return self._cache.set(key, Kept(value, None, float("inf")))
        kept = Kept(value, None, self.now() + fresh)
        return self._cache.set(key, kept, ttl=fresh + (self._lifetime.stale or 0.0))

    def keep_error(self, key: Any, error: Exception) -> bool:
        """Keep an exception, if so asked and if it is not one that was kept already."""
        if self._lifetime.keep_errors is None or self._cache.peek(key, MISSING) is not MISSING:
            return True
        kept = Kept(None, _bare(error), float("inf"))
        return self._cache.set(key, kept, ttl=self._lifetime.keep_errors)

    def forgive(self, key: Any, error: Exception) -> None:
        """Let the old value serve on for a while, and have the failure told."""
        kept = self._cache.peek(key)
        if kept is not None:
            kept.fresh_until = self.now() + RETRY_SHARE * (self._lifetime.stale or 0.0)
        self._failure = _bare(error)

    def due(self, _now: float) -> bool:
        """Whether a refresh has failed that was not told yet."""
        return self._failure is not None

    def run(self, _until: float) -> int:
        """Raise the last failure of a refresh, for the governor to tell; no bytes are let go."""
        failure, self._failure = self._failure, None
        if failure is None:
            return 0
        raise failure


def _bare(error: Exception) -> Exception:
    """A copy of an exception that refers to no frames: what is raised again grows by some.

    What takes other arguments is made without its constructor; what cannot be so, is stripped.
    """
    from copy import copy

    kind = type(error)
    try:
        twin = copy(error)
    except Exception:  # noqa: BLE001  # a constructor of the program's own
        twin = error
    if twin is not error and type(twin) is kind:
        return twin
    try:
        twin = kind.__new__(kind, *error.args)
        twin.__dict__.update(error.__dict__)
    except Exception:  # noqa: BLE001  # the same
        return error.with_traceback(None)
    return twin
