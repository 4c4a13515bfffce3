"""The `Budget` that a program holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from membudget.core import Level, Pressure, Record, Rung
from membudget.errors import ConfigError
from membudget.units import as_bytes, as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from membudget.bounded.cache import Cache
    from membudget.budget.assembly import Sources
    from membudget.budget.foreign import ForeignCaches
    from membudget.core import Event, Reclaimer, Sink
    from membudget.governor.admission import Lease
    from membudget.governor.brake import Brake
    from membudget.governor.loop import Governor
    from membudget.settings.resolve import Settings
    from membudget.sinks.ring import Ring


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

    Attributes:
        governor: What keeps it.
        settings: What holds, and where each came from.
        brake: The brake, or None where it is not armed.
    """

    def __init__(
        self,
        governor: Governor,
        settings: Settings,
        samples: Ring,
        sources: Sources,
        *,
        foreign: ForeignCaches | None = None,
        brake: Brake | None = None,
    ) -> None:
        self.governor = governor
        self.settings = settings
        self.brake = brake
        self._sources = sources
        self._samples = samples
        self._foreign = foreign

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

    def take_settings(self, settings: Settings) -> None:
        """Note what holds from now on; for whoever has applied it."""
        self.settings = settings

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
        if self._foreign is not None:
            self._foreign.leave()
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


def _as_rung(rung: Rung | str) -> Rung:
    if isinstance(rung, Rung):
        return rung
    try:
        return Rung[rung.upper()]
    except (KeyError, AttributeError):
        names = ", ".join(one.name.lower() for one in Rung)
        raise ConfigError(f"rung {rung!r} is not known: use one of {names}") from None
