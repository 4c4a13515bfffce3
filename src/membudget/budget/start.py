"""`start()`: from settings to a list of plugins, to a budget that runs; and that `Budget`."""

from __future__ import annotations

import os
import sys

from membudget.budget import process_name, program_name
from membudget.budget.plugins import GiveWay, LastResort, Reclaiming, Sources
from membudget.callables import check_function
from membudget.core import Rung, Shortcoming
from membudget.core.nouns import Status
from membudget.errors import ConfigError, hinted, missing
from membudget.governor import Governor
from membudget.governor.status import status_of
from membudget.inspection import Inspection
from membudget.probes.allocator import where_held
from membudget.probes.process import shared_bytes
from membudget.registry import REGISTRY
from membudget.settings import resolve
from membudget.settings.table import CONFIG_VARIABLE
from membudget.sinks import log_sink, merged
from membudget.units import as_bytes, as_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Self, TypeAlias, Unpack, overload

    from membudget.brake.brake import Brake
    from membudget.budget.watches import Watches
    from membudget.cache.cache import Cache
    from membudget.cache.spilling.spill import Spill
    from membudget.cache.spilling.spilled import SpilledCache
    from membudget.cache.table import CacheOptions, K, V
    from membudget.containers import DequeOptions, DictOptions, ItemOptions, T
    from membudget.containers.list import BoundedDeque, BoundedList
    from membudget.containers.ordered import BoundedDict, BoundedSet
    from membudget.core import Plugin, Pressure, Reclaimer, Sample, Sink
    from membudget.governor.admission import Reservation
    from membudget.leaks import Verdict
    from membudget.registry import Registry
    from membudget.report import Report
    from membudget.settings import Settings
    from membudget.settings.types import SettingsGiven
    from membudget.units import Duration
    from membudget.watched import WatchedContainer

WARM_UP = 10.0  # Seconds: most requests of a service have been made once by then.

_NO_ITEMS: Any = ()  # Yet; pyright takes a bare () to mean that there never are any.

_Samples: TypeAlias = "list[Sample]"  # Within the class, list is the maker of one.


class BudgetStats(Status):
    """A `Status`, and the judgement that it tells of."""

    pressure: Pressure  # The latest judgement.


class Budget:
    """A running budget, kept by its `governor`; its `inspection` takes samples and judges them.

    Any thread may use it. Ends with `stop()`, at the end of a `with` or `async with` block, or with
    the process.
    """

    if not TYPE_CHECKING:  # They would take it that there is every attribute.
        __getattr__ = missing

    def __init__(self, governor: Governor) -> None:
        self.governor = governor
        self.inspection: Inspection = next(
            one for one in governor.plugins if isinstance(one, Inspection)
        )
        self._watches: Watches | None = None

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

    if TYPE_CHECKING:

        @overload
        def cache(
            self, name: str, *, spill: None = None, **options: Unpack[CacheOptions[K, V]]
        ) -> Cache[K, V]: ...
        @overload
        def cache(
            self,
            name: str,
            *,
            spill: Spill | str | os.PathLike[str],
            **options: Unpack[CacheOptions[K, V]],
        ) -> SpilledCache[K, V]: ...

    def cache(self, name: str, **options: Any) -> Any:
        """A `Cache` under this budget; options are those of `membudget.Cache`.

        Settings give what options leave open: `caches.max_entries` where there is no bound,
        `caches.ttl` where there is no time.
        """
        from membudget.cache.cache import Cache  # only for those who cache

        if options.get("max_bytes") is None:
            options.setdefault("max_entries", self.settings["caches.max_entries"])
        options.setdefault("ttl", self.settings["caches.ttl"])
        return Cache(name, registry=self.governor.registry, **options)

    def deque(
        self, name: str, iterable: Iterable[T] = _NO_ITEMS, **options: Unpack[DequeOptions[T]]
    ) -> BoundedDeque[T]:
        """A `BoundedDeque` under this budget; `maxlen`, `max_bytes` and its other options."""
        from membudget.containers.list import BoundedDeque  # only for those who have one

        return BoundedDeque(name, iterable, registry=self.governor.registry, **options)

    def list(
        self, name: str, iterable: Iterable[T] = _NO_ITEMS, **options: Unpack[ItemOptions[T]]
    ) -> BoundedList[T]:
        """A `BoundedList` under this budget; `max_items`, `max_bytes` and its other options."""
        from membudget.containers.list import BoundedList  # only for those who have one

        return BoundedList(name, iterable, registry=self.governor.registry, **options)

    def dict(
        self,
        name: str,
        items: Mapping[K, V] | Iterable[tuple[K, V]] = _NO_ITEMS,
        **options: Unpack[DictOptions[K, V]],
    ) -> BoundedDict[K, V]:
        """A `BoundedDict` under this budget; `max_items`, `max_bytes` and its other options."""
        from membudget.containers.ordered import BoundedDict  # only for those who have one

        return BoundedDict(name, items, registry=self.governor.registry, **options)

    def set(
        self, name: str, iterable: Iterable[T] = _NO_ITEMS, **options: Unpack[ItemOptions[T]]
    ) -> BoundedSet[T]:
        """A `BoundedSet` under this budget; `max_items`, `max_bytes` and its other options."""
        from membudget.containers.ordered import BoundedSet  # only for those who have one

        return BoundedSet(name, iterable, registry=self.governor.registry, **options)

    @hinted
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
        every: Duration = 1.0,
        replace: bool = False,
    ) -> WatchedContainer:
        """Keep an eye on a container of the program's own: told when over its limits.

        Settings under `components.NAME` give the limits that are not given here.

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
            replace: Whether whatever had its name is watched no longer; else it gets a number.

        Returns:
            What tells `stats()` and `advice()`, and ends with `stop()` or with the budget.

        Raises:
            ConfigError: An argument that cannot be used as given, or the budget has stopped.
        """
        if self._watches is None:
            from membudget.budget.watches import Watches  # only for those who watch

            self._watches = Watches(self.governor)
            self.governor.join(self._watches)
        return self._watches.add(
            name,
            container,
            {"max_items": max_items, "max_bytes": max_bytes},
            trim=trim,
            resize=resize,
            lock=lock,
            every=every,
            replace=replace,
        )

    def admit(self, size: int | str, timeout: Duration = 0.0) -> Reservation:
        """Room for a big load, reserved on entering `with` or `async with`.

        The size is bytes, or text such as "200MiB"; the timeout seconds to wait for room, or text
        such as "2s". A ConfigError where one is none of these; on entering, an OverBudgetError
        where there is no room, and none came in time.
        """
        seconds = 0.0 if timeout == 0 else as_seconds(timeout, name="timeout")
        return self.governor.admit(as_bytes(size), seconds)

    def add(self, reclaimer: Reclaimer) -> Callable[[], None]:
        """Add a reclaimer at the end of its rung; returns what removes it."""
        return self.governor.ladder.add(reclaimer)

    def callback(
        self, name: str, function: Callable[[int], Any], *, rung: Rung | str = Rung.MODERATE
    ) -> Callable[[], None]:
        """Have a function, sync or async, called with the bytes wanted; returns what removes it.

        A sync one runs on the budget's thread, beside the program: what both use needs a lock, or a
        copy. An async one runs on the loop that runs now, between the program's own steps.
        """
        from membudget.reclaimers.program import Callback  # only where used

        return self.add(Callback(name, function, rung=_as_rung(rung)))

    def tell(self, sink: Sink) -> None:
        """Have a sink told every event from now on."""
        self.governor.tell.add(sink)

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
        """The report on the latest hours: text where it is printed, `as_html()` or `as_json()`."""
        return self.inspection.report(hours)

    def stop(self) -> None:
        """End the budget and tell the summary; a second call does nothing."""
        self.governor.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.stop()


def _as_rung(rung: Rung | str) -> Rung:
    if isinstance(rung, Rung):
        return rung
    try:
        return Rung[rung.upper()]
    except (KeyError, AttributeError):
        names = ", ".join(one.name.lower() for one in Rung)
        raise ConfigError(f"rung {rung!r} is not known: use one of {names}") from None


def start(
    limit: int | str | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
    thread: bool = True,
    sinks: Iterable[Sink] | None = None,
    ladder: Iterable[Reclaimer] = (),
    registry: Registry | None = None,
    is_launched: bool = False,
    redact: Callable[[str], object] | None = None,
    **settings: Unpack[SettingsGiven],
) -> Budget:
    """Put this process under a budget.

    Args:
        limit: Bytes, or text such as "400MiB"; None finds the cgroup's, the resource limits, the
            system's memory. A given limit adds to those found: the tightest rules.
        config: A settings file, YAML or TOML; by default the one that MEMBUDGET_CONFIG names.
        thread: Whether a daemon thread keeps the budget; else the program calls `step()`.
        sinks: Takers of events; by default the logger "membudget", under `membudget run` its lines.
        ladder: Reclaimers to ask before the standing ones.
        registry: Whose holders are governed; by default those of the process.
        is_launched: Whether the program knows nothing of it: then a later `start()` in this
            process ends this budget instead of failing, and caches found in it may be shrunk.
        redact: What each text of the program's is passed through before it is told of what grows
            ("newest: 4711: Session('…')"): takes the text, returns what may be told of it. By
            default digits are hidden, and what looks like an address or a token.
        settings: By section, as in `cleanup={"settle": "2s"}`; the environment's
            MEMBUDGET_CLEANUP_SETTLE comes second to it, the file third.

    Raises:
        ConfigError: A setting or an argument that does not fit, or a budget that runs already;
            with the setting `strict` also where this machine, or what the process holds already,
            does not let the budget be kept as asked. Else that is told, and what can be kept is.
    """
    if redact is not None:
        check_function(redact, "redact", ("text",))
    given = {"limit": limit, **settings}
    config = config or os.environ.get(CONFIG_VARIABLE) or None
    resolved = resolve(given, file=config)
    holders = registry if registry is not None else REGISTRY
    before = holders.governor
    if not isinstance(before, Governor) or not before.gives_way:
        holders.check_free()
    sources = Sources(resolved)
    shortcomings = sources.check(resolved)
    takers = _takers(before) if sinks is None else sinks
    governor = governor_of(resolved, sources, holders, ladder=ladder, sinks=takers)
    governor.gives_way = is_launched
    foreign = _foreign(resolved, holders, is_launched=is_launched)
    if isinstance(before, Governor):
        before.stop(is_handed_over=sinks is None)
    try:
        for plugin in _plugins(resolved, sources, redact, thread=thread, is_launched=is_launched):
            governor.join(plugin)
        if config is not None:
            from membudget.budget.reload import HangupHandler

            governor.join(HangupHandler(given, config))
        if foreign is not None:
            governor.join(foreign)
        missing = governor.start(thread=thread)
    except BaseException:
        governor.stop()
        raise
    if missing and resolved["strict"]:
        governor.stop()
        raise ConfigError(missing)
    for what in filter(None, (*shortcomings, missing)):
        governor.tell(Shortcoming(at=governor.clock.now(), what=what))
    governor.budget = budget = Budget(governor)
    return budget


def _takers(before: object) -> Iterable[Sink]:
    """Who is told by default: the lines of `membudget run` go on where they went."""
    return before.tell.given if isinstance(before, Governor) else [merged(log_sink())]


def current() -> Budget:
    """The budget that runs in this process, for a module that did not start it.

    It is what `start()` returned, or what `membudget run` has started; a ConfigError where there is
    none, or only one that was given a registry of its own.
    """
    budget: Budget | None = getattr(REGISTRY.governor, "budget", None)
    if budget is None:
        raise ConfigError(
            "no budget is running in this process: call membudget.start() first, or start the "
            "program with `membudget run -- CMD`"
        )
    return budget


def governor_of(
    settings: Settings, sources: Sources, registry: Registry, **options: Any
) -> Governor:
    """A governor for these settings and sources, without its plugins, not yet started."""
    return Governor(
        sources.probe,
        settings.marks(),
        registry=registry,
        own=sources.process.own_bytes,
        settings=settings,
        settle=settings["cleanup.settle"],
        snapshot_interval=settings["monitoring.snapshot_interval"],
        window=settings["monitoring.pressure_window"],
        interval=settings["monitoring.check_interval"],
        warm_up=WARM_UP,
        is_active=settings["cleanup.auto"],
        explain=where_held,
        **options,
    )


def _plugins(
    settings: Settings,
    sources: Sources,
    redact: Callable[[str], object] | None,
    *,
    thread: bool,
    is_launched: bool,
) -> Iterator[Plugin]:
    """What every budget has, and what some have: nothing of that is imported for the others."""
    yield sources
    yield Reclaiming(sources)
    yield LastResort()
    yield Inspection(program_name(sys.orig_argv), redact=redact)
    directory = settings["agent.directory"]
    watches_host = thread and sys.platform == "linux"
    if watches_host and directory != "none":
        from membudget.host.presence import Presence

        presence = Presence(None if directory == "auto" else directory, process_name())
        yield presence
        if sources.cgroup is not None:
            from membudget.host.sharing import Sharing

            malloc, share = sources.allocators.malloc, settings["caches.share"]
            yield Sharing(sources.cgroup, presence, malloc, share)
    if settings["brake"]:
        from membudget.brake.brake import BrakePlugin

        yield BrakePlugin(sources, is_strict=settings["strict"])
    yield GiveWay(sources)  # Where no group is shared, it says last what holders may have.
    if settings["report.directory"] is not None:
        from membudget.report.daily import DailyReport

        yield DailyReport(settings["report.directory"], program_name(sys.orig_argv))
    if watches_host and is_launched:
        from membudget.host.launch import Supervising

        yield Supervising(sources.process.own_bytes, shared_bytes)


def _foreign(settings: Settings, registry: Registry, *, is_launched: bool) -> Plugin | None:
    """What is adopted: taken over from a launcher's budget, or found anew, or nothing."""
    for one in registry.reclaimers():
        taken_over: Plugin | None = getattr(one, "foreign", None)
        if taken_over is not None:
            return taken_over
    if not is_launched and not settings["caches.adopt"]:
        return None
    from membudget.reclaimers.found import ForeignCaches

    return ForeignCaches(settings, registry, is_launched=is_launched)
