"""The governor: read, judge, reclaim, tell, over and over, and nothing retained."""

from __future__ import annotations

from types import MappingProxyType

from membudget.core import (
    OWN,
    RISE,
    Level,
    Meter,
    Pressure,
    Rung,
    Shortcoming,
    Started,
    Stopped,
    SystemClock,
)
from membudget.core.native import Imports, Lock, get_ident
from membudget.governor.admission import Admission, Reservation
from membudget.governor.floor import LITTLE, Floor, Lines, top_of
from membudget.governor.ladder import SETTLE, SLICE, Ladder
from membudget.governor.telling import FOREIGN, News, Plugins, Snapshots, Teller
from membudget.governor.transients import Transients
from membudget.governor.watch import Watch
from membudget.pressure import WINDOW, Judgement, judge
from membudget.registry import REGISTRY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Self

    from membudget.core import (
        Chore,
        Clock,
        Follower,
        Hint,
        Marks,
        Plugin,
        Probe,
        Reading,
        Reclaimer,
        Sink,
    )
    from membudget.governor.floor import Protection
    from membudget.registry import Registry

_NOWHERE = (float("inf"),) * 5  # The marks of one that only watches: nobody who inserts has to pay.
_CACHES_STOP, _CACHES_BRIM = 0.2, 0.8  # Of the way from low to WARNING: a full cache is healthy.
_FIRST = 2 / 3  # Of the room that caches may fill, from the start on.
CHILD_RESTS = 60.0  # Seconds to the first sample of a forked child: most live for less.
EAGER_CHORES_EVERY = 1.0  # Seconds between two runs of chores brought forward.


class Governor:
    """Keeps a process inside its marks: reads, judges, asks the ladder, tells the sinks.

    `step()` does this once; `with governor:` does it on one daemon thread. Only that thread
    reclaims memory of others.

    Args:
        probe: What is read at each step.
        marks: Where the levels begin.
        ladder: Reclaimers, asked in this order within their rung.
        sinks: Takers of events, in order.
        chores: Upkeep; the registry's chores come after these.
        followers: Called with each reading and what was made of it, before anything is asked for.
        registry: Whose holders are counted and asked; None is the process's own.
        own: Reads the bytes of this process alone in about a microsecond; for the meter.
        hints: Makes wake-ups to wait for beside those of plugins, anew on each thread; imports
            nothing. Given true, only those that cost microseconds.
        settings: What holds, for plugins; by key.
        settle: Seconds that freed memory has to show at the meter.
        snapshot_interval: Seconds between two `Sampled` events.
        window: Readings over which growth is taken.
        interval: Seconds between two steps; None adapts to the pressure.
        warm_up: Seconds until caches may fill all their room, where they are the process's first.
        is_active: Whether it reclaims at all, or only reads, judges and tells.
        explain: Says where memory lies that no holder counts, for the one line that tells a floor.
        clock: Where time comes from; None is the monotonic clock.
    """

    def __init__(
        self,
        probe: Probe,
        marks: Marks,
        ladder: Iterable[Reclaimer] = (),
        sinks: Iterable[Sink] = (),
        *,
        chores: Iterable[Chore] = (),
        followers: Iterable[Follower] = (),
        registry: Registry | None = None,
        own: Callable[[], int] | None = None,
        hints: Callable[[bool], Sequence[Hint]] | None = None,
        settings: Any = MappingProxyType({}),
        settle: float = SETTLE,
        snapshot_interval: float = 300.0,
        window: int = WINDOW,
        interval: float | None = None,
        warm_up: float = 0.0,
        is_active: bool = True,
        explain: Callable[[Reading], str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings: Any = settings
        self.marks: Marks = marks
        self.clock: Clock = clock or SystemClock()
        self.registry: Registry = registry if registry is not None else REGISTRY
        self.imports: Imports = Imports()  # Marks what is imported late on this governor's thread.
        self.collector: Any = None  # Collects and trims once, to show what is garbage, or None.
        self.protection: Protection | None = None  # The last resort.
        self.budget: Any = None  # What `start()` gave the program.
        self.notes: list[str] = []  # What the event of the start says.
        # Whether a step only looks: nothing is told then, and nobody asked to let go.
        self.rests: Callable[[Pressure], bool] = lambda _pressure: False
        self.reading: Reading | None = None
        self.full_at: float = float("inf")  # Bytes used at which caches are full.
        self.gives_way = self._has_rung = self._is_starting = self._is_inherited = False
        self._own, self._probe, self._hints = own, probe, hints
        self._window, self._warm_up, self._is_active = window, warm_up, is_active
        self.meter: Meter = Meter(
            None if own is None else self._seen_by_inserts, self.registry.held_bytes
        )
        self.tell: Teller = Teller(sinks, self.clock)
        self.plugins: Plugins = Plugins(self.tell)
        self.news: News = News(self.tell, self.clock, explain)
        self.floor: Floor = Floor(settle)
        self.transients: Transients = Transients()  # What comes and goes, and the room kept for it.
        self.ladder: Ladder = Ladder(
            ladder, self.registry, self.meter, self.tell, floor=self.floor, clock=self.clock
        )
        self.admission: Admission = Admission(
            self.meter, self.tell, self._make_room, self.clock, self.registry.note
        )
        self.chores: list[Chore] = list(chores)
        self.followers: list[Follower] = list(followers)
        self.watch: Watch = Watch(self, self._all_hints, interval)
        self.snapshots: Snapshots = Snapshots(self.tell, self.registry, snapshot_interval)
        self._stepping = Lock()
        self._stepper: int | None = None
        self._begin()

    def _begin(self) -> None:
        """Know nothing yet: at first, and in a forked child."""
        self.is_resting: bool = False  # Whether the latest step only looked.
        self._judgement: Judgement | None = None
        self.pressure: Pressure = Pressure()
        self._level = Level.NORMAL  # What was told last.
        self._draw_lines(None)
        self.floor.forget()
        self.transients.forget()
        self.news.begin()
        self.foretold: float | None = None  # When a day of samples meets the limit, by the clock.
        self._peak = self.meter.peak = 0
        self.seconds_at: dict[Level, float] = dict.fromkeys(Level, 0.0)
        self._began = self._last_step = self.clock.now()
        self.snapshots.begin()
        self._eager_at = float("-inf")

    def step(self) -> Pressure:
        """Read, judge, reclaim what that calls for, tell; returns the pressure judged.

        A step that meets a step returns at once. Failures of parts become `Failed` events. 15 µs.
        """
        self._in_turn(self._step, patience=0.0)
        return self.pressure

    def _step(self) -> int:
        self.is_resting = not self.admission.wanted and self.rests(self.pressure)
        reading = self._read()
        if reading is not None:
            self.pressure = self._judge(reading)
            if self._is_starting:  # Told first: the limit comes before what is over it.
                note = "; ".join(self.notes)
                self.tell(Started(at=self.clock.now(), reading=reading, note=note))
            if not self.is_resting:
                self._tell_news(reading, self.pressure)
            for follower in tuple(self.followers):
                try:
                    follower(reading, self.pressure)
                except FOREIGN as error:  # foreign code is fenced
                    self.tell.failed("follower", error)
            if not self.is_resting:
                self._act(reading)
        self.admission.look_again()
        self.tell_noted()
        return 0

    def _act(self, reading: Reading) -> None:
        if self._is_active:
            self.ladder.relieve(self.pressure, self.admission.shortfall())
            if self.protection is not None:
                self.protection.step(self.pressure, reading.at)
                self.admission.is_shut = self.protection.is_shut
        is_early = self.pressure.excess > 0 and reading.at - self._eager_at >= EAGER_CHORES_EVERY
        if is_early:
            self._eager_at = reading.at
        self._run_chores(is_early=is_early)
        self.snapshots.follow(reading, self.pressure, is_starting=self._is_starting)

    def _tell_news(self, reading: Reading, pressure: Pressure) -> None:
        before, self._level = self._level, pressure.level
        if self._level is not before:
            self.news.change(before, pressure)
        if pressure.floor and pressure.level:
            is_high = pressure.used >= self._lines[Level.EMERGENCY]
            is_last = is_high and not self.floor.over(pressure.used)
            self.news.floor(
                reading,
                pressure,
                self.floor.kept,
                is_last=is_last,
                is_braked=self.plugins.member("brake") is not None,
                ends=self.protection is not None and self.protection.ends,
            )

    def tell_noted(self) -> None:
        """Tell what the program gets wrong: noted anywhere, in finalizers too, and told here."""
        while self.registry.untold and self.registry.governor in (None, self):
            self.tell(Shortcoming(at=self.clock.now(), what=self.registry.untold.popleft()))

    def _seen_by_inserts(self) -> int:
        """The process's own figure, for who inserts; much growth has the next step come soon."""
        self.watch.seek()
        own = 0 if self._own is None else self._own()
        if own - self.meter.base >= RISE and not self._has_rung:
            self._has_rung = True
            self.watch.nudge()
        return own

    @property
    def peak(self) -> int:
        """The highest use seen, by the loop or by a thread that inserted."""
        return max(self._peak, self.meter.peak)

    def admit(self, size: int, timeout: float = 0.0) -> Reservation:
        """A reservation of `size` bytes, to be entered with `with` or `async with`."""
        return Reservation(self.admission, size, timeout)

    def reclaim(self, rung: Rung, target: int | None = None) -> int:
        """Ask all rungs up to this one now; returns the bytes claimed.

        Waits for a step under way, at most 5 s; 0 in vain, and from a part that is being asked.
        """
        return self._in_turn(lambda: self.ladder.ask(rung, target))

    def _in_turn(self, work: Callable[[], int], patience: float = SETTLE) -> int:
        me = get_ident()
        if self._stepper == me or not self._stepping.acquire(timeout=patience):
            return 0
        self._stepper = me
        try:
            self._begin_in_child()
            return work()
        finally:
            self._stepper = None
            self._stepping.release()

    def join(self, plugin: Plugin) -> None:
        """Have a plugin serve until the end; see `core.Plugin`."""
        self.plugins.join(plugin, self)

    def change_settings(self, settings: Any) -> None:
        """Put settings in force while running, or raise a ConfigError and leave all as it was."""
        self.plugins.change_settings(self.settings, settings)
        self.settings = settings
        self.watch.ring()

    def _all_hints(self, is_early: bool) -> list[Hint]:  # noqa: FBT001  # a function's only argument
        own = self._hints(is_early) if self._hints is not None else ()
        return [*own, *self.plugins.hints(is_early=is_early)]

    def start(self, *, thread: bool = True) -> str:
        """Take the first reading and begin; with `thread=False` the program calls `step()`.

        Returns why there is no thread though one was wanted, or ""; it is tried again. A
        ConfigError where the registry has a governor already.
        """
        self.registry.attach(self, self.meter)
        self._is_starting = True
        try:
            self.step()
            self._is_starting = False
            if self.protection is not None:
                self.protection.began_over = self.pressure.used >= self._lines[-1]
            return self.watch.begin() if thread else ""
        except BaseException:
            self.registry.detach(self)
            raise
        finally:
            self._is_starting = False

    def stop(self, *, is_handed_over: bool = False) -> None:
        """End the thread and tell the summary, but to who goes on; a second call does nothing."""
        self.watch.stop()
        self._begin_in_child()
        self.plugins.leave()
        if self.registry.meter is self.meter:
            now = self.clock.now()
            self.registry.detach(self)
            self._count_time(now)
            if is_handed_over:
                return
            self.tell(
                Stopped(
                    at=now,
                    peak=self.peak,
                    limit=self.pressure.limit,
                    reclaimed=self.ladder.reclaimed,
                    levels={level.name: spent for level, spent in self.seconds_at.items() if spent},
                    lasted=now - self._began,
                )
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def before_fork(self, until: float) -> None:
        """End the thread, so that nothing of ours is under way in the child."""
        self.watch.pause(until)
        self.admission.before_fork(until)
        self.plugins.each("before_fork", until)

    def after_fork_in_parent(self) -> None:
        """Go on where the thread was running."""
        self.admission.after_fork_in_parent()
        self.watch.resume()

    def after_fork_in_child(self) -> None:
        """Go on with a thread of its own; all else begins anew at the first step."""
        # What is touched here is copied, at 2 µs a page, while the program waits.
        self.admission.after_fork_in_child()
        self._stepping, self._stepper = Lock(), None
        self._is_inherited, self.is_resting = True, False
        self.watch.resume_in_child()

    def begin_in_child(self) -> None:
        """Begin anew in a forked child that has not stepped yet."""
        if self._is_inherited:
            self._in_turn(int)

    def _begin_in_child(self) -> None:
        """Begin anew with the child's own figures, if that was not done yet."""
        if not self._is_inherited:
            return
        self._is_inherited = False
        if self.imports.after_fork_in_child():
            amid = "forked amid an import: what is loaded late is not loaded here"
            self.tell.failed("imports", RuntimeError(f"{amid}, no samples, no verdict"))
        self.plugins.each("after_fork_in_child")
        self._begin()
        if self.gives_way:
            self.snapshots.begin(CHILD_RESTS)

    def _read(self) -> Reading | None:
        try:
            reading = self._probe()
        except FOREIGN as error:  # foreign code is fenced
            self.tell.failed("probe", error)
            return None
        for hidden in reading.errors:
            self.tell.failed("probe", hidden)
        self.reading = reading
        self._peak = max(self._peak, reading.used)
        return reading

    def _judge(self, reading: Reading) -> Pressure:
        self._has_rung = False
        if self._drawn_for[0] is not self.marks or self._drawn_for[1] != reading.limit:
            self._draw_lines(reading.limit)
        bounds, brim, held = self._bounds, self._brim, self.registry.held_bytes()
        stop, emergency, own = bounds.stop, bounds.emergency, reading.parts.get(OWN)
        if own is None:
            try:
                own = self._seen_by_inserts()
            except FOREIGN:  # What cannot be read is told already.
                own = 0
        meter, peers = self.meter, self.meter.peers
        self.floor.follow(
            reading,
            held + peers.held,
            meter.taken_in + peers.taken_in,
            bounds,
            beside=peers.held,
            unshown=self.ladder.credit,
            is_giving_back=self.ladder.is_giving_back,
        )
        transients, kept = self.transients, 0
        transients.follow(reading.at, own, held, reading.limit, meter.at_once)
        known = max(transients.kept, peers.kept)
        resting = transients.resting + reading.used - own - peers.passing
        if (line := self.floor.line) > stop:
            # Above a floor caches stop at its line, and pay steeply in what is left from there.
            left = max(0.0, (reading.limit or 0) - line)
            stop, emergency = line, max(emergency, line + left / 2)
            brim = max(brim, (line + emergency) / 2)
        elif self._is_active and known and reading.limit is not None:
            # Caches stop where what comes and goes still fits, and nobody pays while it is there.
            kept, little = known, reading.limit * LITTLE
            stop = min(stop, max(bounds.top - kept, resting + little))
            brim = min(brim, stop + little)
        age = max(0.0, reading.at - self._began)
        if age < self._warm_up and not kept and peers.excess is None:
            # What comes and goes is seen while there is room for it, before caches are full.
            first = max(_FIRST * bounds.low, resting + _FIRST * (stop - resting))
            stop = min(stop, first + (stop - first) * age / self._warm_up)
        self.full_at = stop
        if peers.excess is not None:
            stop = brim  # Up to there the share bounds them, and not who happens to insert.
        meter.rebase(
            reading.used,
            reading.limit,
            mark=stop,
            brim=brim,
            ceiling=emergency,
            door=bounds.critical,
            own=own,
            held=held,
            kept=kept,
            resting=resting,
        )
        passing = min(kept, transients.passing + peers.passing)
        if self.is_resting:
            # Looks seconds apart show no trend; judged twice, a mark reached is a level.
            self._judgement = judge(reading, self.marks, lines=self._lines)
        self._judgement = judge(
            reading,
            self.marks,
            self._judgement,
            taken_in=meter.expected(reading.used) + peers.taken_in + passing,
            window=self._window,
            foretold=self.foretold,
            floor=self.floor.bytes,
            lines=self._lines,
            passing=passing,
        )
        self._count_time(reading.at)
        return self._judgement.pressure

    def _draw_lines(self, limit: int | None) -> None:
        """Reckon with the marks in bytes; anew only where they or the limit have changed."""
        self._drawn_for = self.marks, limit
        self._lines = self.marks.resolved(limit)
        low, warning, critical, emergency, _ = self._lines if self._is_active else _NOWHERE
        stop = _between(low, warning, _CACHES_STOP)
        self._brim = _between(low, warning, _CACHES_BRIM)
        top = top_of(emergency, limit)
        self._bounds = Lines(low=low, stop=stop, critical=critical, emergency=emergency, top=top)

    def stop_at(self, limit: int | None) -> float:
        """Bytes of this limit up to which caches fill."""
        low, warning, *_ = self.marks.resolved(limit)
        return _between(low, warning, _CACHES_STOP)

    def _count_time(self, now: float) -> None:
        self.seconds_at[self.pressure.level] += max(0.0, now - self._last_step)
        self._last_step = now

    def maintain(self) -> None:
        """Run a slice of every chore, due or not; waits for a step under way as `reclaim` does."""
        self._in_turn(lambda: self._run_chores(is_forced=True))

    def _run_chores(self, *, is_early: bool = False, is_forced: bool = False) -> int:
        """Run a slice of those that are due or brought forward, or of all; lets nothing go."""
        now = self.clock.now
        at = now()
        for chore in (*self.chores, *self.registry.chores()):
            try:
                is_brought = is_forced or (is_early and getattr(chore, "comes_early", False))
                if is_brought or chore.due(at):
                    chore.run(now() + SLICE)
                    at = now()
            except FOREIGN as error:  # foreign code is fenced
                self.tell.failed(f"chore {chore.name}", error)
        return 0

    def _make_room(self, size: int) -> bool:
        """Have somebody free what is missing; whether the caller may wait for it."""
        if self.watch.is_running and not self.watch.is_own_thread:
            self.watch.ring()
            return True
        self.admission.wanted = max(self.admission.wanted, size)
        self.step()
        return False


def _between(one: float, two: float, part: float) -> float:
    """So much of the way from one mark to another; infinite where one of them is."""
    return one if one == two else one + part * (two - one)
