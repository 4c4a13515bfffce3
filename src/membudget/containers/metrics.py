"""Measured values by name, in a bounded window each: latencies, spreads, queue lengths."""

from __future__ import annotations

from array import array
from collections import OrderedDict, defaultdict
from math import isnan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from membudget.cache.table import bytes_bound, entries_bound
from membudget.containers import INFINITE, KEEP, Holding, part_of
from membudget.core import Record
from membudget.errors import ConfigError, hinted, missing
from membudget.sizing import size_of
from membudget.units import as_seconds, human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from membudget.core import Clock, PartSample
    from membudget.registry import Registry
    from membudget.units import Duration

LEAST = 16  # Samples that a series has room for at least.

SAMPLE_BYTES, SERIES_BYTES = 16, 470
"""Bytes of a sample, two doubles, and of a series beside them: the object, two arrays and its place
in the collector. Measured with tracemalloc, 1,000 to 12,000 series: 459 to 473."""


class Summary(Record):
    """What the samples in a window come to; `total` is how many were ever recorded.

    `p50` is the median; below `p95` are 95 % of the values. Between two values the line between
    them counts, as in numpy.
    """

    count: int
    total: int
    min: float
    max: float
    mean: float
    last: float
    p50: float
    p95: float
    p99: float


class MetricsStats(Record):
    """A collector's figures since it was made (bytes and seconds).

    `samples` held include those that have become too old and wait to be freed; `max_samples` is the
    bound of each series. `dropped` counts samples by cause: "samples", "series" and "bytes" are the
    collector's own bounds, "expired" were too old, "pressure" is the budget. `refused` are values
    not taken in; `oldest_age` is None where there is no sample.
    """

    name: str
    series: int
    samples: int
    bytes: int
    max_samples: int
    max_series: int | None
    max_bytes: int | None
    added: int
    dropped: Mapping[str, int]
    refused: int
    oldest_age: float | None


class MetricsCollector(Holding):
    """Series of numbers by name, each with its last samples; bounded in samples, series and bytes.

    Any thread may call any method. In a full series the oldest sample goes; of too many series the
    one longest without a new sample, its total with it. For bytes, its own bound or a budget's,
    windows are cut to half, down to 16 samples, before whole series go. Cost: about 1 µs for
    `record`; a summary of 1000 samples takes 0.02 to 0.2 ms.

    Args:
        name: What it is called in reports, events and settings.
        max_samples: Samples kept of each series.
        max_series: Series kept, or None.
        ttl: Seconds, or text such as "1h", after which a sample no longer counts.
        max_bytes: The bound in bytes, or text such as "1MiB". All others are as in a `BoundedDict`.
    """

    _max_samples: int
    _max_series: int | None
    _max_bytes: int | None

    if not TYPE_CHECKING:  # They would take it that there is every attribute.
        __getattr__ = missing

    @hinted
    def __init__(
        self,
        name: str,
        *,
        max_samples: int = 1000,
        max_series: int | None = None,
        ttl: Duration | None = None,
        max_bytes: int | str | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
        replace: bool = False,
    ) -> None:
        super().__init__(name, registry, clock)
        self._ttl = None if ttl is None else as_seconds(ttl, name="ttl")
        # In the order of the last sample, the longest silent first.
        self._series: OrderedDict[str, Series] = OrderedDict()
        # Those wider than the least in the same order, by the power of two of their width.
        self._wide: dict[int, OrderedDict[str, Series]] = defaultdict(OrderedDict)
        self._bytes = self._added = self._refused = 0
        self._dropped = dict.fromkeys(("samples", "series", "bytes", "expired", "pressure"), 0)
        self.resize(max_samples=max_samples, max_series=max_series, max_bytes=max_bytes)
        self._registry.enter(self, replace=replace)

    def __len__(self) -> int:
        return len(self._series)

    def __contains__(self, series: object) -> bool:
        with self._lock:
            return series in self._series

    def __repr__(self) -> str:
        held = human_bytes(self._bytes)
        return f"{type(self).__name__}({self.name!r}, {len(self)} series, {held})"

    def record(self, series: str, value: float, at: float | None = None) -> bool:
        """Take in a sample, of now or of `at` (seconds of the collector's clock, else monotonic).

        False where it was only counted: the value is no number (NaN), or a series is over
        `max_bytes`. A ConfigError for a series that is no text, or a time further ahead than `ttl`.
        """
        value, when = float(value), None if at is None else float(at)
        if not isinstance(series, str):
            raise ConfigError(
                f"the series {series!r} is not a text: name it after what it measures"
            )
        grown = self._change(self._take_in, series, value, when)
        self._claim(grown or 0)
        return grown is not None

    def names(self) -> list[str]:
        """The series, the longest without a new sample first."""
        with self._lock:
            return list(self._series)

    def latest(self, series: str) -> float | None:
        """The last value of a series; None where there is none, or it is too old."""
        with self._lock:
            window = self._window(series)
            return window[-1] if window else None

    def summary(self, series: str) -> Summary | None:
        """What the samples kept of a series come to; None where there are none."""
        with self._lock:
            window = self._window(series)
            total = self._series[series].total if window else 0
        if not window:
            return None
        ranked = sorted(window)
        return Summary(
            count=len(ranked),
            total=total,
            min=ranked[0],
            max=ranked[-1],
            mean=sum(ranked) / len(ranked),
            last=window[-1],
            p50=_percentile(ranked, 0.50),
            p95=_percentile(ranked, 0.95),
            p99=_percentile(ranked, 0.99),
        )

    def as_dict(self) -> dict[str, dict[str, float]]:
        """The summaries of all series by name, for export."""
        summaries = {name: self.summary(name) for name in self.names()}
        return {name: one.as_dict() for name, one in summaries.items() if one is not None}

    def discard(self, series: str) -> bool:
        """Forget a series; returns whether there was one."""
        return self._change(self._take_out, series) is not None

    def clear(self) -> None:
        """Forget all series."""
        with self._lock:
            self._series, self._bytes = OrderedDict(), 0
            self._wide.clear()

    def resize(
        self,
        *,
        max_samples: int = KEEP,
        max_series: int | None = KEEP,
        max_bytes: int | str | None = KEEP,
    ) -> None:
        """Change a bound, or lift it with None; what is beyond it goes at once."""
        if max_samples is None:
            raise ConfigError("max_samples None keeps samples for ever: give a number above zero")
        samples: Any = (
            self._max_samples if max_samples is KEEP else entries_bound(max_samples, "max_samples")
        )
        series = self._max_series if max_series is KEEP else entries_bound(max_series, "max_series")
        size = self._max_bytes if max_bytes is KEEP else bytes_bound(max_bytes)

        def fit() -> None:
            self._max_samples, self._max_series, self._max_bytes = samples, series, size
            for name, one in self._series.items():
                if one.capacity > samples:
                    self._dropped["samples"] += self._fit(name, one, samples)
            self._shed()

        self._change(fit)

    def held_bytes(self) -> int:
        """The bytes of all series. Cost: 0.1 µs, no lock."""
        return self._bytes

    def reclaimable(self) -> int:
        """The bytes it could let go: all it holds."""
        return self._bytes

    def reclaim(self, target: int, until: float) -> int:
        """Let go of at least `target` bytes, older halves of windows first; returns the bytes.

        Overruns `until`, monotonic, by less than 1 ms.
        """

        def shrink() -> int:
            before = self._bytes
            while before - self._bytes < target and self._series and self._now() < until:
                self._shrink("pressure")
            return before - self._bytes

        return self._under_lock(until, lambda: self._change(shrink)) or 0

    def has_expired(self, now: float) -> bool:
        """Whether a series has only samples that are too old. Cost: 0.5 µs."""
        if self._ttl is None:
            return False
        with self._lock:
            oldest = next(iter(self._series.values()), None)
            return oldest is not None and oldest.last <= now - self._ttl

    def sweep(self, until: float) -> int:
        """Forget series that have only samples that are too old; returns the bytes."""
        freed = 0
        while (now := self._now()) < until:
            with self._lock:
                if not self.has_expired(now):
                    break
                freed += self._drop_oldest("expired")
        return freed

    def as_part(self) -> PartSample:
        """How it stands, for a sample: series are its items. No lock."""
        return part_of(self, len(self._series), self._max_series, self._max_bytes, self._ttl)

    def stats(self) -> MetricsStats:
        """The figures; reading them changes nothing."""
        with self._lock:
            born = [one.times[one.at] for one in self._series.values() if one.count]
            return MetricsStats(
                name=self.name,
                series=len(self._series),
                samples=sum(one.count for one in self._series.values()),
                bytes=self._bytes,
                max_samples=self._max_samples,
                max_series=self._max_series,
                max_bytes=self._max_bytes,
                added=self._added,
                dropped=MappingProxyType(self._dropped.copy()),
                refused=self._refused,
                oldest_age=self._now() - min(born) if born else None,
            )

    def _take_in(self, series: str, value: float, at: float | None) -> int | None:
        """Take in a sample, under the lock; returns the bytes it grew by, or None: refused."""
        before, now, ttl = self._bytes, self._now(), self._ttl
        when = now if at is None else at
        if ttl is not None and not when <= now + ttl:
            raise ConfigError(
                f"at={when!r} is {when - now:.0f} s ahead of the clock of {self.name!r}, so the "
                "sample would never be too old: give seconds of time.monotonic(), or the "
                "collector a clock= of its own"
            )
        one = None if isnan(value) else self._series.get(series) or self._begin(series)
        if one is None:
            self._refused += 1
            return None
        self._series.move_to_end(series)
        if one.capacity > LEAST:
            self._wide[one.capacity.bit_length()].move_to_end(series)
        if ttl is not None:
            self._dropped["expired"] += one.prune(when - ttl)
        if one.count == one.capacity:  # Larger where the bounds leave room.
            capacity = min(2 * one.capacity, self._max_samples)
            if self._max_bytes is not None:
                room = (self._max_bytes - self._bytes) // SAMPLE_BYTES
                capacity = min(capacity, one.capacity + room)
            if capacity > one.capacity:
                self._fit(series, one, capacity)
        self._dropped["samples"] += one.add(value, when)
        self._added += 1
        return self._bytes - before

    def _change(self, change: Callable[..., Any], *args: object) -> Any:
        """Change something under the lock; the sums agree whatever a signal's handler raises."""
        with self._lock:
            try:
                return change(*args)
            except BaseException:
                self._mend()
                raise

    def _begin(self, series: str) -> Series | None:
        one = Series(SERIES_BYTES + size_of(series), min(LEAST, self._max_samples))
        if self._max_bytes is not None and one.bytes > self._max_bytes:
            return None
        self._series[series] = one
        self._bytes += one.bytes
        self._shed()
        return one

    def _shed(self) -> None:
        while self._max_series is not None and len(self._series) > self._max_series:
            self._drop_oldest("series")
        while self._max_bytes is not None and self._bytes > self._max_bytes:
            self._shrink("bytes")

    def _shrink(self, cause: str) -> None:
        """Halve the widest window, of such the one longest silent; with none, drop a series."""
        widest = max((width for width, alike in self._wide.items() if alike), default=None)
        if widest is None:
            self._drop_oldest(cause)
        else:
            series, one = next(iter(self._wide[widest].items()))
            self._dropped[cause] += self._fit(series, one, max(LEAST, one.capacity // 2))

    def _drop_oldest(self, cause: str) -> int:
        one: Series = self._take_out(next(iter(self._series)))
        self._dropped[cause] += one.count
        return one.bytes

    def _take_out(self, series: str) -> Any:
        one = self._series.pop(series, None)
        if one is not None:
            self._bytes -= one.bytes
            self._wide[one.capacity.bit_length()].pop(series, None)
        return one

    def _fit(self, series: str, one: Series, capacity: int) -> int:
        """Give a series another capacity; returns how many samples went."""
        self._wide[one.capacity.bit_length()].pop(series, None)
        self._bytes += SAMPLE_BYTES * (capacity - one.capacity)
        lost = one.fit(capacity)
        self._file(series, one)
        return lost

    def _file(self, series: str, one: Series) -> None:
        if one.capacity > LEAST:
            self._wide[one.capacity.bit_length()][series] = one

    def _window(self, series: str) -> Any:
        one = self._series.get(series)
        if one is None:
            return ()
        return one.window(None if self._ttl is None else self._now() - self._ttl)

    def _mend(self) -> None:
        self._bytes = sum([one.bytes for one in self._series.values()])
        self._wide.clear()
        for series, one in self._series.items():
            self._file(series, one)


class Series:
    """A ring of values and times, of `capacity` samples, and `own` bytes beside them. No lock."""

    __slots__ = ("at", "capacity", "count", "last", "own", "times", "total", "values")

    def __init__(self, own: int, capacity: int) -> None:
        self.own: int = own
        self.capacity: int = capacity
        self.count: int = 0
        self.total: int = 0
        self.at: int = 0
        self.last: float = -INFINITE
        self.values: array[float] = array("d", bytes(8 * capacity))
        self.times: array[float] = array("d", bytes(8 * capacity))

    @property
    def bytes(self) -> int:
        """What it weighs."""
        return self.own + SAMPLE_BYTES * self.capacity

    def add(self, value: float, when: float) -> bool:
        """Take in a sample; returns whether the oldest went for it."""
        place = (self.at + self.count) % self.capacity
        self.values[place] = value
        self.times[place] = when
        self.last = max(self.last, when)
        self.total += 1
        if self.count < self.capacity:
            self.count += 1
            return False
        self.at = (self.at + 1) % self.capacity
        return True

    def prune(self, before: float) -> int:
        """Forget samples of that time and earlier, the oldest first; returns how many."""
        pruned = 0
        while self.count and self.times[self.at] <= before:
            self.at = (self.at + 1) % self.capacity
            self.count -= 1
            pruned += 1
        return pruned

    def fit(self, capacity: int) -> int:
        """Make room for so many samples; returns how many, of the oldest, went."""
        lost = max(0, self.count - capacity)
        spare = bytes(8 * (capacity - self.count + lost))
        self.values, self.times = (
            self._in_order(self.values)[lost:],
            self._in_order(self.times)[lost:],
        )
        self.values.frombytes(spare)
        self.times.frombytes(spare)
        self.at, self.capacity, self.count = 0, capacity, self.count - lost
        return lost

    def window(self, before: float | None = None) -> array[float]:
        """The values in the order of recording, without those of that time and earlier."""
        values = self._in_order(self.values)
        if before is None:
            return values
        times = self._in_order(self.times)
        return array("d", [value for value, at in zip(values, times, strict=True) if at > before])

    def _in_order(self, ring: array[float]) -> array[float]:
        end = self.at + self.count
        over = max(0, end - self.capacity)
        return ring[self.at : end - over] + ring[:over]


def _percentile(ranked: list[float], share: float) -> float:
    place = share * (len(ranked) - 1)
    low = int(place)
    below, above = ranked[low], ranked[min(low + 1, len(ranked) - 1)]
    # Equal ones as they are: between two infinities there is no line.
    return below if below == above else below + (above - below) * (place - low)
