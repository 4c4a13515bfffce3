"""The `Budget` that a program holds."""

from __future__ import annotations

from membudget.core import Rung
from membudget.core.status import Status
from membudget.errors import ConfigError
from membudget.governor.status import status_of
from membudget.inspection.inspection import Inspection
from membudget.units import as_bytes, as_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Self, TypeAlias

    from membudget.brake.brake import Brake
    from membudget.budget.watches import Watched
    from membudget.cache.cache import Cache
    from membudget.containers.list import BoundedDeque, BoundedList
    from membudget.containers.ordered import BoundedDict, BoundedSet
    from membudget.core import Pressure, Reclaimer, Sample, Sink
    from membudget.governor.admission import Lease
    from membudget.governor.loop import Governor
    from membudget.leaks.records import Verdict
    from membudget.report.figures import Report
    from membudget.settings.resolve import Settings
    from membudget.watched.container import WatchedContainer

_Samples: TypeAlias = "list[Sample]"  # Within the class, list is the maker of one.


class BudgetStats(Status):
    """A `Status`, and the judgement that it tells of.

    Attributes:
        pressure: The latest judgement.
    """

    pressure: Pressure


class Budget:
    """A running budget. Any thread may use it.

    Ends with `stop()`, at the end of a `with` or `async with` block, or with the process.

    Attributes:
        governor: What keeps it.
        inspection: What takes the samples and judges them.
    """

    def __init__(self, governor: Governor) -> None:
        self.governor = governor
        self.inspection: Inspection = next(
            one for one in governor.plugins if isinstance(one, Inspection)
        )
        self._watched: Watched | None = None

    @property
    def settings(self) -> Settings:
        """What holds, and where each came from."""
        settings: Settings = self.governor.settings
        return settings

    @property
    def brake(self) -> Brake | None:
        """The brake, or None where it is not armed."""
        brake: Brake | None = self.governor.plugins.member("brake")
        return brake

    @property
    def pressure(self) -> Pressure:
        """The latest judgement; reading it costs 0.1 µs."""
        return self.governor.pressure

    @property
    def samples(self) -> _Samples:
        """The samples kept, oldest first; the first is taken about a second after the start."""
        return self.inspection.latest()

    def leaks(self) -> Verdict:
        """Whether memory leaks, how fast, since when and of what kind; from two hours on."""
        return self.inspection.verdict()

    def cache(self, name: str, **options: Any) -> Cache[Any, Any]:
        """A `Cache` under this budget; options are those of `membudget.Cache`.

        Settings give what options leave open: `caches.max_entries` where there is no bound,
        `caches.ttl` where there is no time.
        """
        from membudget.cache.cache import Cache  # only for those who cache

        if options.get("max_bytes") is None:
            options.setdefault("max_entries", self.settings["caches.max_entries"])
        options.setdefault("ttl", self.settings["caches.ttl"])
        return Cache(name, registry=self.governor.registry, **options)

    def deque(self, name: str, iterable: Iterable[Any] = (), **options: Any) -> BoundedDeque[Any]:
        """A `BoundedDeque` under this budget; `maxlen`, `max_bytes` and its other options."""
        from membudget.containers.list import BoundedDeque  # only for those who have one

        return BoundedDeque(name, iterable, registry=self.governor.registry, **options)

    def list(self, name: str, iterable: Iterable[Any] = (), **options: Any) -> BoundedList[Any]:
        """A `BoundedList` under this budget; `max_items`, `max_bytes` and its other options."""
        from membudget.containers.list import BoundedList  # only for those who have one

        return BoundedList(name, iterable, registry=self.governor.registry, **options)

    def dict(self, name: str, items: Any = (), **options: Any) -> BoundedDict[Any, Any]:
        """A `BoundedDict` under this budget; `max_items`, `max_bytes` and its other options."""
        from membudget.containers.ordered import BoundedDict  # only for those who have one

        return BoundedDict(name, items, registry=self.governor.registry, **options)

    def set(self, name: str, iterable: Iterable[Any] = (), **options: Any) -> BoundedSet[Any]:
        """A `BoundedSet` under this budget; `max_items`, `max_bytes` and its other options."""
        from membudget.containers.ordered import BoundedSet  # only for those who have one

        return BoundedSet(name, iterable, registry=self.governor.registry, **options)

    def watch(
        self,
        name: str,
        container: Any,
        *,
        max_items: int | None = None,
        max_bytes: int | str | None = None,
        trim: bool = False,
        resize: bool | tuple[int, int] = False,
        lock: Any = None,
        every: float | str = 1.0,
    ) -> WatchedContainer:
        """Keep an eye on a container of the program's own: told when over its limits.

        Settings under `components.NAME` give the limits that are not given here. The same name
        takes the place of an earlier watch.

        Args:
            name: What it is called in events and settings.
            container: A dict, list, deque, set, queue or anything with a length, or a function that
                returns it, as in `lambda: self.book`. Where it cannot be held weakly, as plain
                dicts, lists and sets, it is kept until `stop()`.
            max_items: The limit in items.
            max_bytes: The limit in bytes, or text such as "20MiB"; held against an estimate.
            trim: Whether memory pressure (MODERATE) may take the oldest items out, down to the
                limits, or where there are none, as many as are asked for.
            resize: Whether `max_items` follows use: `(least, most)`, or True for a tenth of it up
                to it.
            lock: A `threading.Lock` or `RLock` that the program holds while it uses the container;
                None says that none is needed to take items out.
            every: Seconds between two looks, or text such as "5s".

        Returns:
            What tells `stats()` and `advice()`, and ends with `stop()` or with the budget.

        Raises:
            ConfigError: An argument that cannot be used as given, or the budget has stopped.
        """
        if self._watched is None:
            from membudget.budget.watches import Watched  # only for those who watch

            self._watched = Watched(self.governor)
            self.governor.join(self._watched)
        return self._watched.add(
            name,
            container,
            max_items=max_items,
            max_bytes=max_bytes,
            trim=trim,
            resize=resize,
            lock=lock,
            every=every,
        )

    def admit(self, size: int | str, timeout: float | str = 0.0) -> Lease:
        """Room for a big load, reserved on entering `with` or `async with`.

        Args:
            size: Bytes, or text such as "200MiB".
            timeout: Seconds to wait for room, or text such as "2s"; 0 does not wait.

        Raises:
            ConfigError: A size or time that is none.
            OverBudgetError: On entering: there is no room, and none came in time.
        """
        seconds = 0.0 if timeout == 0 else as_seconds(timeout, name="timeout")
        return self.governor.admit(as_bytes(size), seconds)

    def add(self, reclaimer: Reclaimer) -> Callable[[], None]:
        """Add a reclaimer at the end of its rung; returns what removes it."""
        return self.governor.ladder.add(reclaimer)

    def callback(
        self, name: str, function: Callable[[int], Any], *, rung: Rung | str = Rung.MODERATE
    ) -> Callable[[], None]:
        """Have a function, sync or async, called with the bytes wanted; returns what removes it."""
        from membudget.reclaimers.callback import Callback  # only where used

        return self.add(Callback(name, function, rung=_as_rung(rung)))

    def tell(self, sink: Sink) -> None:
        """Have a sink told every event from now on."""
        self.governor.tell.sinks.append(sink)

    def step(self) -> Pressure:
        """Read, judge and act once, for programs that called `start(thread=False)`."""
        return self.governor.step()

    def reclaim(self, rung: Rung | str = Rung.MODERATE) -> int:
        """Ask all rungs up to this one for all they have; returns the bytes claimed."""
        return self.governor.reclaim(_as_rung(rung))

    def maintain(self) -> None:
        """Run all chores now: sweep expired entries, collect young objects."""
        self.governor.maintain()

    def stats(self) -> BudgetStats:
        """The figures now."""
        told = status_of(self.governor)
        return BudgetStats(pressure=self.governor.pressure, **told.as_dict())

    def report(self, hours: float = 24.0) -> Report:
        """The report on the latest hours; `membudget.report.page.as_html` makes it a page."""
        return self.inspection.report(hours)

    def stop(self) -> None:
        """End the budget and tell the summary; a second call does nothing."""
        self.governor.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _as_rung(rung: Rung | str) -> Rung:
    if isinstance(rung, Rung):
        return rung
    try:
        return Rung[rung.upper()]
    except (KeyError, AttributeError):
        names = ", ".join(one.name.lower() for one in Rung)
        raise ConfigError(f"rung {rung!r} is not known: use one of {names}") from None
