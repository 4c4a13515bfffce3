"""The brake: a soft RLIMIT_DATA kept so that what would be killed becomes a MemoryError.

No thread of Python runs while one C call maps a gigabyte; the kernel does, if a limit stands at

    soft limit = VmData + max(0, headroom - margin - slack - reserve)

headroom is limit less used of the reading judged; margin is charged without being mapped; slack is
mapped and not touched; reserve is let go at the first hit. Not bounded by it are pages shared with
a parent and copied when written to, and other processes of the group. ADR 11 has the figures.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from membudget.brake import BrakeState, Children, DataLimits, OwnLimit
from membudget.brake.hooks import LostErrors, ignore, listen
from membudget.brake.room import Room, Stacks, default_stack_size, reserve_of
from membudget.core import BrakeHit, Rung, SystemClock
from membudget.core.native import RLock
from membudget.errors import ConfigError, MembudgetError
from membudget.governor.watch import WARM
from membudget.probes.allocator import load_unwinder
from membudget.reclaimers.allocators import RISE
from membudget.units import MIB, human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from membudget.core import Clock, Pressure, Reading
    from membudget.governor import Governor
    from membudget.governor.telling import Teller
    from membudget.registry import Registry

EASED = 0.005  # Seconds between the event that tells of a child, or a thread, and its birth.
GIVE_BACK_EVERY = 10.0  # Seconds until allocators are asked again, so that nothing is refused.

_TIGHT, _SCARCE, _WORTH = 0.5, 1 / 3, 0.25
"""Shares of the limit where the room is small, or a stall is better than a refusal; share of the
room that is worth asking for."""

SETTLED = 1.0  # Seconds of a forked child's life before it is braked.
NEAR = 2 * MIB  # From this far below the limit on, mapping anything is about to fail, or just did.
TOLD_EVERY = 1.0  # Seconds between two events of hits.


class Hits:
    """Counts refusals, seen where one came near the limit; knows whether the reserve is let go."""

    def __init__(self) -> None:
        self.count: int = 0
        self.last: float | None = None
        self._told = float("-inf")
        self.begin()

    def begin(self, mapped: int = 0, reserve: int = 0) -> None:
        """Begin anew with what is mapped, and what is to be held back; the count goes on."""
        self.is_reserve_released: bool = False
        self._is_near = False
        self.reserve: int = reserve
        self._untold, self._mapped = 0, mapped

    def note(self, now: float) -> int:
        """Count one and let the reserve go; returns the bytes that this frees."""
        self.count += 1
        self._untold += 1
        self.last = now
        freed = 0 if self.is_reserve_released else self.reserve
        self.is_reserve_released = True
        return freed

    def look(self, mapped: int, stands: int | None, allowed: int, reserve: int, now: float) -> int:
        """Count one where growth just came near the limit; returns what is to be held back.

        A limit that came near by itself lets the reserve go and is no hit. It comes back once there
        is room for it twice (`allowed` may still be mapped): else it would be a hit at once.
        """
        self.reserve = reserve
        # Once near, it has to go further away to come near again.
        distance = 2 * NEAR if self._is_near else NEAR
        is_near = stands is not None and mapped >= stands - distance
        has_grown, self._mapped = mapped > self._mapped, mapped
        was_near, self._is_near = self._is_near, is_near and (self._is_near or has_grown)
        if self._is_near and not was_near:
            self.note(now)
        elif allowed >= 2 * reserve:
            self.is_reserve_released = False
        elif is_near:
            self.is_reserve_released = True
        return 0 if self.is_reserve_released else reserve

    def are_due(self, now: float) -> bool:
        """Whether there is something to tell, once a second; then it counts as told."""
        if not self._untold or now - self._told < TOLD_EVERY:
            return False
        self._untold, self._told = 0, now
        return True


class Brake:
    """Keeps the soft limit of this process's private memory just above what it may have.

    `follow` runs on the governor's thread, the hooks on any. `ready` tells the bytes that
    allocators hold free, `ask` asks for them, `wake` for a tick soon; `is_scarce` allows longer
    stalls.
    """

    def __init__(
        self,
        *,
        tell: Teller,
        registry: Registry,
        room: Room,
        wake: Callable[[], object],
        ready: Callable[[], int],
        ask: Callable[[int], object],
        limits: DataLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        if sys.version_info >= (3, 13):
            import traceback  # noqa: F401  # Python shows errors by it, and memory is short then
        self._tell = tell
        self._registry = registry
        limits = limits or DataLimits()
        self._limit = OwnLimit(limits)
        self._children = Children(limits)
        self._ready, self._ask = ready, ask
        self._room = room
        self._wake = wake
        self._clock = clock or SystemClock()
        self._lost = LostErrors(self.on_memory_error)
        self._hits = Hits()
        self._is_armed = False
        self._forget()

    def _forget(self) -> None:
        """Know nothing of this process yet: at first, and in a forked child."""
        # Reentrant: a signal's handler may start a child while its own thread is in here.
        self._lock = RLock()
        self._hits.begin()
        self._base = self._free = 0
        self.is_scarce: bool = False
        self._eased_until = self._granted_until = self._give_back_at = float("-inf")
        self._settles_at: float | None = None

    @property
    def own_limit(self) -> int | None:
        """The soft limit set last by the brake, or None where none is."""
        return self._limit.stands if self._is_armed else None

    def original(self, soft: int) -> int | None:
        """The limit to judge this process by where `soft` stands: never one of the brake's."""
        return self._limit.recent.get(soft, soft) if self._is_armed else soft

    @property
    def state(self) -> BrakeState:
        """The figures now."""
        return BrakeState(
            is_armed=self._is_armed,
            limit=self.own_limit,
            room=self._free,
            never_touched=self._room.never_touched,
            hits=self._hits.count,
            last_hit=self._hits.last,
            is_reserve_released=self._hits.is_reserve_released,
        )

    def arm(self, reading: Reading) -> str:
        """Measure, set the limit, and listen; returns a line that tells so, or raises why not."""
        with self._lock:
            if self._is_armed:
                raise ConfigError("the brake is armed already: disarm() it first")
            try:
                self._registry.add(self)
                listen(self)
                self._begin(reading)
                self._limit.check(self._free)
                self._lost.install()
            except BaseException:
                self._leave()
                raise
            self._is_armed = True
        return (
            f"brake armed: {human_bytes(self._free)} more may be asked for, then a MemoryError is "
            f"raised; {human_bytes(self._room.never_touched)} asked for and never used do not count"
        )

    def disarm(self) -> None:
        """Give the old limit back and listen no more; a second call does nothing."""
        with self._lock:
            if not self._is_armed:
                return
            self._is_armed = False
            self._leave()

    def follow(self, reading: Reading, _pressure: Pressure) -> None:
        """Keep the limit where the reading says. Cost: 10 µs."""
        with self._lock:
            if not self._is_armed:
                return
            now = self._clock.now()
            if self._settles_at is not None:
                if now >= self._settles_at:
                    self._settles_at = float("inf")  # Where there is no room, it stays unbound.
                    self._begin(reading)
                    self._settles_at = None
            elif now < self._eased_until:
                self._wake()
            else:
                self._refresh(reading, now)
        if self._settles_at is None:
            self._make_room(reading, now)
        self._children.look(self._limit.recent, self._limit.before)
        stands = self._limit.stands
        if stands is not None and self._hits.are_due(now):
            mapped = reading.parts["data"]
            self._tell(BrakeHit(at=now, mapped=mapped, limit=stands, times=self._hits.count))

    def before_child(self) -> None:
        """Give the old limit back for a moment: a child takes over what stands at its birth."""
        with self._lock:
            if self._is_armed and self._settles_at is None:
                self._eased_until = self._clock.now() + EASED
                self._limit.give_back()
                self._wake()

    def before_thread(self) -> None:
        """Let the stack of a thread about to start be mapped beyond the room: it is not touched."""
        with self._lock:
            now = self._clock.now()
            if self._is_armed and self._settles_at is None and now >= self._eased_until:
                self._granted_until = now + EASED
                self._limit.raise_to(self._base + self._room.stacks.for_one_more())

    def on_memory_error(self) -> None:
        """Let the reserve go at once: the error is about to be formatted."""
        with self._lock:
            if self._is_armed and self._settles_at is None:
                freed = self._hits.note(self._clock.now())
                if self._limit.stands is not None:
                    self._limit.raise_to(self._limit.stands + freed)

    def before_fork(self, until: float) -> None:
        """Nothing has to rest."""

    def after_fork_in_parent(self) -> None:
        """Nothing rested."""

    def after_fork_in_child(self) -> None:
        """Leave the child unbound; it is braked anew once it has lived for a while."""
        self._forget()
        if self._is_armed:
            self._settles_at = self._clock.now() + SETTLED
            self._limit.give_back()
        else:
            self._leave()  # The thread that was arming it, or disarming, is not here.

    def _begin(self, reading: Reading) -> None:
        limit, data = reading.limit, reading.parts.get("data")
        if limit is None:
            raise ConfigError(
                'the brake has no limit to keep: give one, as in limit="400MiB", or leave it off'
            )
        if data is None:
            raise ConfigError(
                "the brake cannot see what this process has mapped: /proc tells it; mount that, "
                "or leave the brake off"
            )
        ceiling = self._limit.begin()
        if ceiling is not None and ceiling <= data:
            raise ConfigError(
                f"RLIMIT_DATA stands at {human_bytes(ceiling)} and {human_bytes(data)} is mapped: "
                "raise it (ulimit -d), or leave the brake off"
            )
        self._hits.begin(data, reserve_of(limit))
        free = self._room.begin(reading, limit) - self._hits.reserve
        if free <= 0:
            raise ConfigError(
                f"the brake would leave no room: {human_bytes(reading.used)} of "
                f"{human_bytes(limit)} is used and {human_bytes(self._room.slack)} more is mapped "
                "and not touched; raise the limit, set less aside, or leave the brake off"
            )
        self._free, self._base = free, data + free
        self._limit.set(self._base)

    def _leave(self) -> None:
        self._lost.remove()
        self._registry.remove(self)
        try:
            self._limit.end()
        finally:
            ignore(self)
            self._forget()

    def _refresh(self, reading: Reading, now: float) -> None:
        limit, data = reading.limit, reading.parts["data"]
        if limit is None:
            self._limit.give_back()
            return
        meter = self._registry.meter
        # What was granted to others under this limit is theirs.
        granted = 0 if meter is None else meter.peers.reserved
        allowed = self._room.allowed(reading, limit) - granted
        held_back = self._hits.look(data, self._limit.stands, allowed, reserve_of(limit), now)
        self._free = max(0, allowed - held_back)
        self._base = data + self._free
        # A thread may be on its way between its event and its stack.
        coming = 2 * self._room.stacks.size_of_next() if now < self._granted_until else 0
        self._limit.set(self._base + coming)

    def _make_room(self, reading: Reading, now: float) -> None:
        """Have allocators give back where that makes much more room; the next tick will show it."""
        limit = reading.limit or 0
        self.is_scarce = self._free < _SCARCE * limit
        is_tight = self._free < _TIGHT * limit
        if is_tight and now >= self._give_back_at and (free := self._ready()) > _WORTH * self._free:
            self._give_back_at = now + GIVE_BACK_EVERY
            self._ask(free)
            self._wake()


class BrakePlugin:
    """Arms the brake where that is possible; where it is not, one line says so, or an error.

    `sources` are the budget's: the `probe` judged, `allocators`, and `original_limit`.
    """

    name = "brake"

    def __init__(self, sources: Any, *, is_strict: bool = False) -> None:
        self._sources = sources
        self._is_strict = is_strict
        self.brake: Brake | None = None

    def join(self, governor: Governor) -> None:
        """Arm it."""
        load_unwinder()
        sources, allocators = self._sources, self._sources.allocators

        def ask(size: int) -> None:
            governor.ladder.ask(Rung.GENTLE, size)

        ready = allocators.ready if governor.settings["cleanup.auto"] else int
        if (free := ready()) >= RISE:
            ask(free)
        try:
            if sys.platform != "linux":
                raise ConfigError(
                    f"the brake does not work on {sys.platform}: only Linux holds all private "
                    "memory against RLIMIT_DATA; leave it off here"
                )
            brake = Brake(
                tell=governor.tell,
                registry=governor.registry,
                room=Room(Stacks(default_stack_size()), lambda: allocators.given_back),
                wake=governor.watch.ring,
                ready=ready,
                ask=ask,
            )
            note = brake.arm(sources.probe())
        except (MembudgetError, OSError, ValueError) as error:
            note = f"no brake: {error}"
            if self._is_strict:
                raise ConfigError(note) from error
            governor.notes.append(note)
            return
        governor.notes.append(note)
        self.brake = brake
        is_pressed = allocators.is_pressed
        allocators.is_pressed = lambda: brake.is_scarce or is_pressed()
        sources.original_limit = brake.original
        # What libraries map and never touch is taken for the program's until the next step: 66 MiB
        # of numpy's would refuse others 66 MiB for a quarter of a second.
        governor.watch.quick = WARM
        governor.followers.append(brake.follow)

    def leave(self) -> None:
        """Give the old limit back."""
        if self.brake is not None:
            self.brake.disarm()

    def status(self) -> Mapping[str, Any]:
        """How the brake stands; None where it is not armed."""
        return {"brake": None if self.brake is None else self.brake.state}
