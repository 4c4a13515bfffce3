"""Admission: what fits is granted, what does not is refused, and nothing is lost."""

import asyncio
import contextlib
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer, Recorder
from membudget._native import core
from membudget.core import AdmissionRefused, Event, Level, Marks, Meter, Rung, Shortcoming
from membudget.errors import LeaseError, OverBudgetError
from membudget.governor import Governor
from membudget.governor.admission import Reservation
from membudget.registry import Registry


class Scene:
    """A governor without a thread over a fake memory of 100 MiB, at 50 MiB."""

    def __init__(self, *reclaimable: int) -> None:
        self.clock = FakeClock()
        self.memory = FakeMemory(self.clock, used=50 * MIB)
        self.recorder = Recorder()
        self.governor = Governor(
            self.memory,
            Marks(),
            [FakeReclaimer(self.memory, size * MIB) for size in reclaimable],
            [self.recorder],
            registry=Registry(),
            own=self.memory.own,
            clock=self.clock,
        )
        self.governor.step()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_fits_below_critical_is_granted_and_given_back(scene: Scene) -> None:
    """40 MiB fit between 50 and 90; while they are held, no more does."""
    with scene.governor.admit(40 * MIB):
        assert scene.governor.meter.reserved == 40 * MIB
        with pytest.raises(OverBudgetError), scene.governor.admit(MIB):
            pass
    assert scene.governor.meter.reserved == 0


def test_a_refusal_says_how_much_room_there_is_and_is_told(scene: Scene) -> None:
    """The error names the size, the room and what to do; sinks hear of it."""
    with pytest.raises(OverBudgetError, match=r"no memory for 60\.0 MiB: 40\.0 MiB is free"):
        scene.governor.admit(60 * MIB).acquire()
    assert [event.asked for event in scene.recorder.of(AdmissionRefused)] == [60 * MIB]


def test_a_load_that_came_in_is_not_counted_twice(scene: Scene) -> None:
    """As the process grows by what was reserved, the reservation gives way to the real use."""
    with scene.governor.admit(30 * MIB):
        assert scene.governor.admission.room() == 10 * MIB
        scene.memory.used += 30 * MIB
        assert scene.governor.admission.room() == 10 * MIB


def test_with_patience_room_is_made() -> None:
    """A waiting request has caches shrunk; without a thread the caller's own step does it."""
    scene = Scene(40)
    with pytest.raises(OverBudgetError):
        scene.governor.admit(60 * MIB).acquire()
    with scene.governor.admit(60 * MIB, timeout=1.0):
        assert scene.memory.used == 30 * MIB


def test_an_error_inside_gives_the_reservation_back(scene: Scene) -> None:
    with pytest.raises(ValueError, match="broken"), scene.governor.admit(10 * MIB):
        raise ValueError("broken")
    assert scene.governor.meter.reserved == 0


def test_a_reservation_is_held_once() -> None:
    reservation = Scene().governor.admit(MIB)
    with pytest.raises(LeaseError):
        reservation.release()
    reservation.acquire()
    with pytest.raises(LeaseError):
        reservation.acquire()
    reservation.release()
    with pytest.raises(LeaseError):
        reservation.release()
    with reservation:
        pass


def test_a_second_release_ends_nobody_elses_reservation(scene: Scene) -> None:
    """Nor does a reservation that was released and is forgotten."""
    mine, other = scene.governor.admit(10 * MIB), scene.governor.admit(15 * MIB)
    mine.acquire()
    other.acquire()
    mine.release()
    with pytest.raises(LeaseError):
        mine.release()
    assert scene.governor.meter.reserved == 15 * MIB
    del mine
    assert scene.governor.meter.reserved == 15 * MIB
    assert scene.governor.admission.room() == 25 * MIB


def test_coroutines_reserve_with_async_with() -> None:
    scene = Scene(40)

    async def load() -> int:
        async with scene.governor.admit(60 * MIB, timeout=1.0):
            return scene.governor.meter.reserved

    assert asyncio.run(load()) == 60 * MIB
    assert scene.governor.meter.reserved == 0


def test_without_a_limit_everything_is_admitted(scene: Scene) -> None:
    scene.memory.limit = None
    scene.governor.step()
    with scene.governor.admit(1 << 40), scene.governor.admit(1 << 40):
        assert scene.governor.meter.reserved == 2 << 40


def test_shut_admission_refuses_even_what_fits(scene: Scene) -> None:
    """After the last protection attempt nothing is let in until the level is NORMAL."""
    scene.governor.admission.is_shut = True
    with pytest.raises(OverBudgetError, match="requests are refused until"):
        scene.governor.admit(1).acquire()


def test_a_granted_load_raises_no_level_on_its_way_in() -> None:
    """Growth that was granted is expected: at 300 MiB/s towards 85 % nothing is an emergency."""
    scene = Scene(20)
    with scene.governor.admit(35 * MIB):
        for _ in range(35):
            scene.clock.advance(0.1)
            scene.memory.used += MIB
            scene.governor.step()
            assert scene.governor.pressure.level <= Level.WARNING
            assert scene.governor.pressure.seconds_left is None
    assert scene.memory.used == 85 * MIB


def test_growth_beyond_what_was_granted_is_runaway_growth(scene: Scene) -> None:
    with scene.governor.admit(10 * MIB):
        for _ in range(30):
            scene.clock.advance(0.1)
            scene.memory.used += MIB
            scene.governor.step()
    assert scene.governor.pressure.seconds_left is not None


def test_what_was_granted_before_a_load_was_freed_explains_no_later_growth(scene: Scene) -> None:
    """Ten loads, freed within their reservations, excuse no growth beyond one of them."""
    for _ in range(10):
        with scene.governor.admit(20 * MIB):
            scene.memory.used += 20 * MIB
            scene.clock.advance(0.1)
            scene.governor.step()
            scene.memory.used -= 20 * MIB
        scene.clock.advance(0.1)
        scene.governor.step()
    for _ in range(35):
        scene.clock.advance(0.1)
        scene.memory.used += MIB
        scene.governor.step()
    assert scene.governor.pressure.seconds_left is not None


def test_a_granted_load_takes_nothing_from_caches_that_insert_meanwhile(scene: Scene) -> None:
    """Neither its grant nor its growth has an inserting thread evict, up to the door."""
    meter = scene.governor.meter
    with scene.governor.admit(35 * MIB):
        for _ in range(35):
            scene.memory.used += MIB
            assert meter.claim(MIB) == 0


def test_no_cache_fills_the_room_that_was_granted(scene: Scene) -> None:
    """What is granted counts as used from the grant on: an inserting thread stops before it."""
    holder = FakeHolder(scene.governor.registry)
    meter = scene.governor.meter
    with scene.governor.admit(30 * MIB):
        for _ in range(30):
            holder.held += MIB
            scene.memory.used += MIB
            due = meter.claim(MIB)
            holder.held -= due
            scene.memory.used -= due
        assert scene.memory.used <= 62 * MIB
        assert scene.governor.admission.room() == 90 * MIB - 30 * MIB - scene.memory.used


class FakeHolder:
    name = "holder"

    def __init__(self, registry: Registry) -> None:
        self.held = 0
        registry.add(self)

    def held_bytes(self) -> int:
        return self.held


def test_room_is_made_only_where_that_suffices() -> None:
    """A request that cannot be met takes nothing from anybody, and is refused all the same."""
    scene = Scene(20)
    cache = scene.governor.ladder._seats[0].reclaimer
    with pytest.raises(OverBudgetError), scene.governor.admit(80 * MIB, timeout=1.0):
        pass
    assert cache.reclaimable() == 20 * MIB


def test_what_could_never_fit_is_refused_at_once_and_says_so() -> None:
    """Not with everything else gone: nobody waits for it, and nobody is asked to let go."""
    scene = Scene(40)
    never = r"no memory for 95\.0 MiB: 90\.0 MiB is the most that is ever granted; load less"
    began = scene.clock.now()
    with pytest.raises(OverBudgetError, match=f"{never}.*, or raise the limit$"):
        scene.governor.admit(95 * MIB, timeout=3600.0).acquire()

    async def load() -> None:
        async with scene.governor.admit(95 * MIB, timeout=3600.0):
            pass

    with pytest.raises(OverBudgetError, match=never):
        asyncio.run(asyncio.wait_for(load(), 60.0))
    assert scene.clock.now() == began
    assert scene.governor.admission.wanted == 0
    assert scene.memory.used == 50 * MIB


def test_who_did_not_wait_is_told_no_time(scene: Scene) -> None:
    with pytest.raises(OverBudgetError, match=r"40\.0 MiB is free; load less"):
        scene.governor.admit(60 * MIB).acquire()


def test_what_cannot_be_counted_is_asked_first() -> None:
    """It may have what is missing; what can be counted is left alone where it does not suffice."""
    scene = Scene(20)
    unknown = FakeReclaimer(scene.memory, 5 * MIB, name="unknown", rung=Rung.MODERATE)
    unknown.reclaimable = lambda: None  # type: ignore[method-assign]  # it cannot tell
    scene.governor.ladder.add(unknown)
    with pytest.raises(OverBudgetError):
        scene.governor.admit(80 * MIB, timeout=1.0).acquire()
    assert unknown.holds == 0
    assert scene.governor.ladder._seats[0].reclaimer.reclaimable() == 20 * MIB


def test_what_caches_take_in_is_not_taken_for_the_load_that_was_granted() -> None:
    """35 MiB are on their way to the 90, and a cache took 4 of the other 5: one small load fits."""
    scene, size = Scene(), MIB - 1
    holder = FakeHolder(scene.governor.registry)
    with scene.governor.admit(35 * MIB):
        holder.held = 4 * MIB
        scene.memory.used += 4 * MIB
        scene.governor.meter.claim(4 * MIB)
        with (
            scene.governor.admit(size),
            pytest.raises(OverBudgetError),
            scene.governor.admit(size),
        ):
            pass


def test_a_plain_with_that_would_hold_up_the_event_loop_is_refused_at_once() -> None:
    """The message says what to write instead; without a timeout nothing waits, and it may be."""
    scene = Scene(40)

    async def load() -> None:
        with pytest.raises(LeaseError, match="write `async with`"):
            scene.governor.admit(MIB, timeout=1.0).acquire()
        with scene.governor.admit(MIB):
            pass

    asyncio.run(load())
    assert scene.governor.meter.reserved == 0


def test_a_reservation_never_entered_is_told_when_it_is_collected(scene: Scene) -> None:
    """Whoever forgets `with` has reserved nothing, and hears of it."""
    told: list[Event] = []
    scene.governor.tell.add(told.append)
    for _ in range(3):
        scene.governor.admit(10 * MIB)
    scene.governor.admit(MIB)
    with scene.governor.admit(MIB):
        pass
    scene.governor.step()
    first, other = (one.what for one in told if isinstance(one, Shortcoming))
    assert "test_admission.py" in first
    assert "admit(10.0 MiB) was never entered" in first
    assert "admit(1.00 MiB)" in other


def test_a_lock_that_tells_a_number_is_let_go_of_as_often_as_it_was_taken() -> None:
    """As in a signal's handler that reserves amid another reservation, under gevent's locks."""
    admission, lock = Scene().governor.admission, threading._PyRLock()  # type: ignore[attr-defined]  # as gevent's
    admission._lock, admission._acquire, admission._release = lock, lock.acquire, lock.release
    with lock, Reservation(admission, 1000, 0.0):
        pass
    with pytest.raises(RuntimeError, match="un-acquired"):
        lock.release()


@pytest.mark.skipif(core is None, reason="there is nothing but plain Python")
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["take", "end", "grow", "hold", "step", "claim"]),
            st.integers(1, 3 * MIB // 2),
        ),
        max_size=40,
    )
)
def test_a_reservation_counts_the_same_in_c_and_in_python(steps: list[tuple[str, int]]) -> None:
    """Whoever takes it, the meter stands alike after each step; refusals included."""
    twins = Scene(), Scene()
    holders = [FakeHolder(scene.governor.registry) for scene in twins]
    reservations: tuple[list[Reservation], list[Reservation]] = [], []
    entering: tuple[Any, ...] = (Reservation.__enter__, Reservation.acquire)
    for do, size in steps:
        for scene, holder, held, enter, leave in zip(
            twins,
            holders,
            reservations,
            entering,
            (_leave, Reservation.release),
            strict=True,
        ):
            if do == "take":
                reservation = scene.governor.admit(size)
                with contextlib.suppress(OverBudgetError):
                    enter(reservation)
                    held.append(reservation)
            elif do == "end" and held:
                leave(held.pop())
            elif do == "claim":
                scene.governor.meter.claim(size)
            elif do == "step":
                scene.governor.step()
            else:
                scene.memory.used += size * (20 if do == "grow" else 1)
                holder.held += size if do == "hold" else 0
        assert _counts_of(twins[0].governor.meter) == _counts_of(twins[1].governor.meter)


def _leave(reservation: Reservation) -> None:
    reservation.__exit__(None, None, None)


def _counts_of(meter: Meter) -> list[object]:
    return [getattr(meter, slot) for slot in Meter.__slots__ if slot not in ("_own", "_held")]
