"""`start()` and the `Budget` it returns: what a program holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from membudget.budget.assembly import Sources, build_governor
from membudget.core import Level, Pressure, Record, Rung, Sampled
from membudget.errors import ConfigError
from membudget.governor.loop import Governor
from membudget.registry import REGISTRY
from membudget.settings.resolve import resolve
from membudget.sinks.combine import merged, only
from membudget.sinks.log import log_sink
from membudget.sinks.ring import Ring
from membudget.units import as_bytes, as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from membudget.bounded.cache import Cache
    from membudget.core import Event, Reclaimer, Sink
    from membudget.governor.admission import Lease
    from membudget.registry import Registry
    from membudget.settings.resolve import Settings


class BudgetStats(Record):
    """A budget's figures (bytes and seconds).

    Attributes:
        pressure: The latest judgement.
        parts: Named byte counts of the latest reading.
        peak: The highest use seen.
        governed: What all holders count, together.
        reclaimed: What the ladder let go so far.
        held_free: Let go but not yet given back by the allocator: room for more of the same kind.
        reserved: Granted by `admit` and not yet given back.
        late: How often the loop woke late, and `latest`, by how many seconds the last time.
        seconds_at: Seconds spent at each level.
    """

    pressure: Pressure
    parts: dict[str, int]
    peak: int
    governed: int
    reclaimed: int
    held_free: int
    reserved: int
    late: int
    latest: float
    seconds_at: dict[Level, float]


class Budget:
    """A running budget. Any thread may use it.

    Ends with `stop()`, at the end of a `with` or `async with` block, or with the process.
    """

    def __init__(
        self, governor: Governor, settings: Settings, samples: Ring, sources: Sources
    ) -> None:
        self.governor = governor
        self._sources = sources
        self.settings = settings
        self._samples = samples

    @property
    def pressure(self) -> Pressure:
        """The latest judgement; reading it costs 0.1 µs."""
        return self.governor.pressure

    @property
    def samples(self) -> list[Event]:
        """The samples kept, oldest first."""
        return self._samples.latest()

    def cache(self, name: str, **options: Any) -> Cache[Any, Any]:
        """A `Cache` under this budget; options are those of `membudget.Cache`."""
        from membudget.bounded.cache import Cache  # only for those who cache

        return Cache(name, registry=self.governor.registry, **options)

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
        governor = self.governor
        reading = governor.reading
        return BudgetStats(
            pressure=governor.pressure,
            parts=dict(reading.parts) if reading is not None else {},
            peak=governor.peak,
            governed=governor.registry.held_bytes(),
            reclaimed=governor.ladder.reclaimed,
            held_free=governor.ladder.credit,
            reserved=governor.admission.reserved,
            late=governor.watch.late,
            latest=governor.watch.latest,
            seconds_at=dict(governor.seconds_at),
        )

    def stop(self) -> None:
        """End the budget and tell the summary; a second call does nothing."""
        self.governor.stop()
        self._sources.close()

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


def start(
    limit: int | str | None = None,
    *,
    thread: bool = True,
    sinks: Iterable[Sink] | None = None,
    ladder: Iterable[Reclaimer] = (),
    registry: Registry | None = None,
    gives_way: bool = False,
    **settings: Any,
) -> Budget:
    """Put this process under a budget.

    Args:
        limit: Bytes, or text such as "400MiB"; None finds the cgroup's, the resource limits, the
            system's memory. A given limit adds to those found: the tightest rules.
        thread: Whether a daemon thread keeps the budget; else the program calls `step()`.
        sinks: Takers of events; by default the logger "membudget".
        ladder: Reclaimers to ask before the standing ones.
        registry: Whose holders are governed; by default those of the process.
        gives_way: Whether a later `start()` in this process ends this budget instead of failing.
        settings: By section, as in `cleanup={"settle": "2s"}`; the environment's
            MEMBUDGET_CLEANUP_SETTLE comes second to it.

    Raises:
        ConfigError: A setting that does not fit, a limit below what the process holds, or a
            budget that runs already.
    """
    resolved = resolve({"limit": limit, **settings})
    found = Sources(resolved)
    holders = registry if registry is not None else REGISTRY
    samples = Ring(resolved["monitoring.history_size"])
    takers = [merged(log_sink())] if sinks is None else list(sinks)
    governor = build_governor(
        resolved, found, holders, ladder=ladder, sinks=[only(samples, Sampled), *takers]
    )
    governor.marks.check_for(found.limit)
    governor.gives_way = gives_way
    if isinstance(before := holders.governor, Governor) and before.gives_way:
        before.stop()
    for where, failure in found.failures:
        governor.tell.failed(where, failure)
    governor.start(thread=thread)
    return Budget(governor, resolved, samples, found)


def _as_rung(rung: Rung | str) -> Rung:
    if isinstance(rung, Rung):
        return rung
    try:
        return Rung[rung.upper()]
    except (KeyError, AttributeError):
        names = ", ".join(one.name.lower() for one in Rung)
        raise ConfigError(f"rung {rung!r} is not known: use one of {names}") from None
