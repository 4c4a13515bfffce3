"""The series of a metrics collector: how they begin, grow, and give way to each other."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from membudget.bounded.containers.bounds import items_bound
from membudget.bounded.containers.series import LEAST, SAMPLE_BYTES, SERIES_BYTES, Series
from membudget.bounded.lock import ForkLock
from membudget.bounded.table import bytes_bound, container_name
from membudget.errors import ConfigError
from membudget.registry import REGISTRY
from membudget.sizing import size_of
from membudget.units import as_seconds

if TYPE_CHECKING:
    from membudget.core import Clock
    from membudget.registry import Registry


class SeriesStore(ForkLock):
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
        self.name = container_name(name)
        self._max_samples = samples_bound(max_samples)
        self._max_series = items_bound(max_series, "max_series")
        self._max_bytes = bytes_bound(max_bytes)
        self._ttl = None if ttl is None else as_seconds(ttl, name="ttl")
        self._registry = REGISTRY if registry is None else registry
        self._now = time.monotonic if clock is None else clock.now
        # In the order of the last sample, the longest silent first.
        self._series: OrderedDict[str, Series] = OrderedDict()
        self._widths = Widths()
        self._bytes = self._added = self._refused = 0
        self._dropped = dict.fromkeys(("samples", "series", "bytes", "expired", "pressure"), 0)

    def _begin(self, series: str) -> Series | None:
        one = Series(SERIES_BYTES + size_of(series), min(LEAST, self._max_samples))
        if self._max_bytes is not None and one.bytes > self._max_bytes:
            return None
        self._series[series] = one
        self._bytes += one.bytes
        self._shed()
        return one

    def _grow(self, series: str, one: Series) -> int:
        """Make a full series larger where the bounds leave room; returns the bytes."""
        capacity = min(2 * one.capacity, self._max_samples)
        if self._max_bytes is not None:
            room = (self._max_bytes - self._bytes) // SAMPLE_BYTES
            capacity = min(capacity, one.capacity + room)
        grown = SAMPLE_BYTES * (capacity - one.capacity)
        if grown > 0:
            self._fit(series, one, capacity)
        return max(0, grown)

    def _shed(self) -> None:
        """Let go of what is beyond the bounds."""
        while self._max_series is not None and len(self._series) > self._max_series:
            self._take_series("series")
        while self._max_bytes is not None and self._bytes > self._max_bytes:
            self._shrink("bytes")

    def _shrink(self, cause: str) -> None:
        """Cut the widest window to half, of such the one longest silent; with none, take a series.

        Cost: a window's; it does not depend on how many series there are.
        """
        series = self._widths.widest()
        if series is None:
            self._take_series(cause)
        else:
            one = self._series[series]
            self._dropped[cause] += self._fit(series, one, max(LEAST, one.capacity // 2))

    def _take_series(self, cause: str) -> int:
        series, one = self._series.popitem(last=False)
        self._forget(series, one)
        self._dropped[cause] += one.count
        return one.bytes

    def _forget(self, series: str, one: Series) -> None:
        """Count a series no longer, which was taken out."""
        self._bytes -= one.bytes
        self._widths.forget(series, one.capacity)

    def _fit(self, series: str, one: Series, capacity: int) -> int:
        """Give a series another capacity; returns how many samples went."""
        before, narrower = one.bytes, one.capacity
        lost = one.fit(capacity)
        self._bytes += one.bytes - before
        self._widths.forget(series, narrower)
        self._widths.note(series, capacity)
        return lost

    def _window(self, series: str) -> Any:
        one = self._series.get(series)
        if one is None:
            return ()
        return one.window(None if self._ttl is None else self._now() - self._ttl)

    def _mend(self) -> None:
        self._bytes = sum([one.bytes for one in self._series.values()])
        self._widths = Widths()
        for series, one in self._series.items():
            self._widths.note(series, one.capacity)


class Widths:
    """Which series have wide windows, so that the widest is found at once. Under the lock.

    They are filed by powers of two, in each file the one longest without a sample first.
    """

    __slots__ = ("_files",)

    def __init__(self) -> None:
        self._files: dict[int, OrderedDict[str, None]] = {}

    def note(self, series: str, capacity: int) -> None:
        """File a series that is not there yet as the one last heard of."""
        if capacity > LEAST:
            self._files.setdefault(capacity.bit_length(), OrderedDict())[series] = None

    def renew(self, series: str, capacity: int) -> None:
        """Make a series the one last heard of."""
        file = self._files.get(capacity.bit_length())
        if file is not None and series in file:
            file.move_to_end(series)

    def forget(self, series: str, capacity: int) -> None:
        """Take a series of that capacity out."""
        file = self._files.get(capacity.bit_length())
        if file is not None:
            file.pop(series, None)
            if not file:
                del self._files[capacity.bit_length()]

    def widest(self) -> str | None:
        """The widest to within half, of such the one longest silent; None without a wide one."""
        return next(iter(self._files[max(self._files)])) if self._files else None


def samples_bound(bound: object) -> int:
    """A bound in samples.

    Raises:
        ConfigError: It is not an int above zero.
    """
    samples = items_bound(bound, "max_samples")
    if samples is None:
        raise ConfigError("max_samples None keeps samples for ever: give a number above zero")
    return samples
