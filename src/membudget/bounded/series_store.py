"""The series of a metrics collector: how they begin, grow, and give way to each other."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from membudget.bounded.arguments import bytes_bound, checked_name
from membudget.bounded.bounds import items_bound
from membudget.bounded.locked import Locked
from membudget.bounded.series import LEAST, SAMPLE_BYTES, SERIES_BYTES, Series
from membudget.errors import ConfigError
from membudget.registry import REGISTRY
from membudget.sizing import size_of
from membudget.units import as_seconds

if TYPE_CHECKING:
    from membudget.core import Clock
    from membudget.registry import Registry


class SeriesStore(Locked):
    """Series by name within bounds. Args and Raises are the collector's; all under its lock."""

    def __init__(
        self,
        name: str,
        *,
        max_samples: int,
        max_series: int | None,
        ttl: float | str | None,
        max_bytes: int | str | None,
        registry: Registry | None,
        clock: Clock | None,
    ) -> None:
        super().__init__()
        self.name = checked_name(name)
        self._max_samples = samples_bound(max_samples)
        self._max_series = items_bound(max_series, "max_series")
        self._max_bytes = bytes_bound(max_bytes)
        self._ttl = None if ttl is None else as_seconds(ttl, name="ttl")
        self._registry = REGISTRY if registry is None else registry
        self._now = time.monotonic if clock is None else clock.now
        # In the order of the last sample, the longest silent first.
        self._series: OrderedDict[str, Series] = OrderedDict()
        self._bytes = self._added = self._refused = 0
        self._dropped = dict.fromkeys(("samples", "series", "bytes", "expired", "pressure"), 0)

    def _begin(self, series: str) -> Series | None:
        if not isinstance(series, str):
            raise ConfigError(
                f"the series {series!r} is not a text: name it after what it measures"
            )
        one = Series(SERIES_BYTES + size_of(series), min(LEAST, self._max_samples))
        if self._max_bytes is not None and one.bytes > self._max_bytes:
            return None
        self._series[series] = one
        self._bytes += one.bytes
        self._shed()
        return one

    def _grow(self, one: Series) -> int:
        """Make a full series larger where the bounds leave room; returns the bytes."""
        capacity = min(2 * one.capacity, self._max_samples)
        if self._max_bytes is not None:
            room = (self._max_bytes - self._bytes) // SAMPLE_BYTES
            capacity = min(capacity, one.capacity + room)
        grown = SAMPLE_BYTES * (capacity - one.capacity)
        if grown > 0:
            one.fit(capacity)
            self._bytes += grown
        return max(0, grown)

    def _shed(self) -> None:
        """Let go of what is beyond the bounds: of bytes first the older half of a wide window."""
        while self._max_series is not None and len(self._series) > self._max_series:
            self._take_series("series")
        while self._max_bytes is not None and self._bytes > self._max_bytes:
            widest = max(self._series.values(), key=_capacity)
            if widest.capacity > LEAST:
                self._cut(widest, max(LEAST, widest.capacity // 2), "bytes")
            else:
                self._take_series("bytes")

    def _shrink(self) -> None:
        """Cut the window to half that was longest without a sample; of small ones, let one go."""
        for one in self._series.values():
            if one.capacity > LEAST:
                self._cut(one, max(LEAST, one.capacity // 2), "pressure")
                return
        self._take_series("pressure")

    def _take_series(self, cause: str) -> int:
        _, one = self._series.popitem(last=False)
        self._bytes -= one.bytes
        self._dropped[cause] += one.count
        return one.bytes

    def _cut(self, one: Series, capacity: int, cause: str) -> None:
        if capacity < one.capacity:
            before = one.bytes
            self._dropped[cause] += one.fit(capacity)
            self._bytes -= before - one.bytes

    def _window(self, series: str) -> Any:
        one = self._series.get(series)
        if one is None:
            return ()
        return one.window(None if self._ttl is None else self._now() - self._ttl)

    def _mend(self) -> None:
        self._bytes = sum([one.bytes for one in self._series.values()])


def _capacity(one: Series) -> int:
    return one.capacity


def samples_bound(bound: object) -> int:
    """A bound in samples.

    Raises:
        ConfigError: It is not an int above zero.
    """
    samples = items_bound(bound, "max_samples")
    if samples is None:
        raise ConfigError("max_samples None keeps samples for ever: give a number above zero")
    return samples
