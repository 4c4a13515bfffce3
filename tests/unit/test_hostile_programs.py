"""Programs that do what programs do: close descriptors, raise in handlers, break their parts."""

import gc
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

import pytest

import membudget
from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer, Recorder
from membudget.core import AdmissionRefused, Failed, Marks, Rung
from membudget.core.native import NativeThread
from membudget.errors import ConfigError, OverBudgetError, ProbeError
from membudget.governor import Governor
from membudget.governor.watch import Doorbell
from membudget.probes.hints import KernelHint
from membudget.probes.kernel_files import KernelFile
from membudget.registry import Registry
from own_threads import own_threads
from waiting import eventually


@pytest.mark.parametrize("end", [0, 1])
def test_a_number_that_is_somebody_elses_by_now_is_neither_read_nor_closed(end: int) -> None:
    """A program that turns into a daemon closes all numbers, and its next files get ours."""
    bell = Doorbell()
    mine, others = socket.socketpair()
    taken = os.dup2(mine.fileno(), bell._ends[end])
    others.send(b"8 bytes!")
    bell.wait(0.01)
    bell.ring()
    bell.close()
    assert os.read(taken, 100) == b"8 bytes!"
    others.setblocking(False)
    with pytest.raises(BlockingIOError):
        others.recv(1)  # Nothing was written to it.
    os.close(taken)
    mine.close()
    others.close()


def test_a_kernel_file_closes_only_what_it_opened() -> None:
    """After its number went to another file, closing leaves that one open."""
    file = KernelFile("/proc/self/statm")
    number = file._descriptor
    with open("/dev/null", "rb") as other:
        os.dup2(other.fileno(), number)
    file.close()
    os.fstat(number)
    os.close(number)


@pytest.mark.parametrize("place", ["__init__", "identity"])
def test_a_signal_within_the_opening_of_a_kernel_file_leaves_no_noise(place: str) -> None:
    """A handler's SystemExit may land anywhere; the half-made file is thrown away in silence."""
    noise: list[object] = []

    def interrupt(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_name == place:
            sys.setprofile(None)
            raise SystemExit

    kept, sys.unraisablehook = sys.unraisablehook, noise.append
    try:
        with pytest.raises(SystemExit):
            open_under(interrupt)
        gc.collect()
    finally:
        sys.setprofile(None)
        sys.unraisablehook = kept
    assert not noise


def open_under(profile: Callable[[FrameType, str, object], None]) -> None:
    sys.setprofile(profile)
    KernelFile("/proc/self/statm")


def test_a_holder_that_raises_breaks_neither_start_nor_inserts() -> None:
    """It counts as nothing; everybody else goes on."""

    class Broken:
        name = "broken"

        def held_bytes(self) -> int:
            raise RuntimeError("boom")

    registry, broken = Registry(), Broken()
    registry.add(broken)
    with membudget.start(2048 * MIB, thread=False, sinks=[], registry=registry) as budget:
        cache = budget.cache("values")
        assert cache.set("a", 1)
        assert registry.held_bytes() == cache.held_bytes()


def test_a_start_that_fails_leaves_nothing_behind() -> None:
    """The next one is not told that a budget runs already."""
    registry = Registry()

    def broken(_event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        membudget.start(2048 * MIB, thread=False, sinks=[broken], registry=registry)
    membudget.start(2048 * MIB, thread=False, sinks=[], registry=registry).stop()


def governor_at(used: int, **options: object) -> tuple[Governor, FakeMemory, FakeClock, Recorder]:
    """A governor over a fake memory of 300 MiB."""
    clock, recorder = FakeClock(), Recorder()
    memory = FakeMemory(clock, used=used * MIB, limit=300 * MIB)
    governor = Governor(
        memory,
        Marks(),
        sinks=[recorder],
        registry=Registry(),
        own=memory.own,
        clock=clock,
        **options,  # type: ignore[arg-type]  # passed on
    )
    governor.step()
    return governor, memory, clock, recorder


def test_old_reservations_do_not_let_too_much_in() -> None:
    """Growth that came in under one reservation is not set against the next."""
    governor, memory, _, _ = governor_at(6)
    old = governor.admit(MIB)
    old.acquire()
    memory.used += 150 * MIB
    governor.step()
    held = [governor.admit(50 * MIB) for _ in range(3)]
    held[0].acquire()
    held[1].acquire()
    with pytest.raises(OverBudgetError):
        held[2].acquire()
    for reservation in (old, *held[:2]):
        reservation.release()
    assert governor.meter.reserved == 0


def test_a_released_load_takes_its_growth_with_it() -> None:
    """What one load grew by is no room for another that has not come in yet."""
    governor, memory, _, _ = governor_at(50)
    first, second = governor.admit(100 * MIB), governor.admit(100 * MIB)
    first.acquire()
    second.acquire()
    memory.used += 100 * MIB
    governor.step()
    first.release()
    assert governor.admission.room() == (270 - 150 - 100) * MIB
    second.release()


def test_a_reservation_nobody_keeps_is_given_back() -> None:
    """Forgetting to release does not shut the door."""
    governor, _, _, _ = governor_at(50)
    governor.admit(100 * MIB).acquire()
    assert governor.meter.reserved == 0


def test_refusals_in_a_loop_are_told_once_a_second() -> None:
    governor, _, clock, recorder = governor_at(50)
    for _ in range(500):
        with pytest.raises(OverBudgetError):
            governor.admit(290 * MIB).acquire()
        clock.advance(0.01)
    told = [event.times for event in recorder.of(AdmissionRefused)]
    assert 4 <= len(told) <= 6
    assert sum(told) > 390


def test_only_watching_does_not_evict_either() -> None:
    """With cleanup turned off inserting threads are not made to pay."""
    governor, memory, _, _ = governor_at(290, is_active=False)
    memory.used += MIB
    assert governor.meter.claim(50 * MIB) == 0


def test_a_part_that_asks_in_turn_gets_nothing_and_does_not_wait() -> None:
    """`reclaim()` from within a round returns at once."""
    governor, memory, clock, _ = governor_at(50)
    answers: list[int] = []

    class Asking(FakeReclaimer):
        def reclaim(self, target: int, until: float) -> int:
            answers.append(governor.reclaim(Rung.MODERATE))
            return super().reclaim(target, until)

    asking = Asking(memory, 50 * MIB)
    governor.ladder.add(asking)
    memory.used = 290 * MIB
    clock.advance(1)
    began = clock.now()
    governor.step()
    assert answers == [0]
    assert clock.now() - began < 1
    asking.holds = MIB
    assert governor.reclaim(Rung.MODERATE) == MIB
    assert answers == [0, 0]


def test_nobody_is_asked_to_let_go_inside_the_programs_own_fork() -> None:
    """A callback may wait for a lock that another thread held; the child's thread asks it later."""
    governor, memory, clock, _ = governor_at(50)
    one = FakeReclaimer(memory, 50 * MIB, rung=Rung.GENTLE)
    governor.ladder.add(one)
    memory.used = 299 * MIB
    clock.advance(1)
    governor.after_fork_in_child()
    assert not one.asked
    assert governor.step().used == 299 * MIB


def test_marks_of_mixed_units_are_checked_once_the_limit_is_known() -> None:
    """500 MiB as the low mark of 200 MiB would mean that nothing is ever freed."""
    with pytest.raises(ConfigError, match=r"warning=80% is below low=4GiB"):
        membudget.start(2048 * MIB, thresholds={"low": "4GiB"}, sinks=[], registry=Registry())
    low, warning, *_ = Marks(low=500 * MIB).resolved(200 * MIB)
    assert low <= warning


def test_a_very_long_interval_and_timeout_do_no_harm() -> None:
    """Waits are capped at what the system can take."""
    recorder = Recorder()
    with membudget.start(
        2048 * MIB, sinks=[recorder], registry=Registry(), monitoring={"check_interval": "30d"}
    ) as budget:
        with budget.admit("1MiB", timeout="200000d"):
            pass
        eventually(lambda: own_threads() == 1)
    assert not recorder.of(Failed)


def test_protection_that_recovered_three_times_still_ends() -> None:
    """With its attempts spent, standing above the mark is the last resort's case."""
    clock, recorder = FakeClock(), Recorder()
    memory = FakeMemory(clock, used=50 * MIB)
    from membudget.governor.floor import Protection

    governor = Governor(
        memory, Marks(), sinks=[recorder], registry=Registry(), own=memory.own, clock=clock
    )
    governor.protection = Protection(
        lambda: None, governor.tell, most=3, cooldown=60.0, restart_after=300.0
    )
    for _ in range(3):
        for used, seconds in ((99, 2), (93, 70)):
            memory.used = used * MIB
            for _ in range(seconds):
                governor.step()
                clock.advance(1)
    assert not governor.admission.is_shut
    memory.used = 99 * MIB
    for _ in range(100):
        governor.step()
        clock.advance(1)
    assert governor.admission.is_shut


def test_a_hint_neither_reads_nor_closes_what_is_somebody_elses_by_now() -> None:
    """Two eventfds look alike to fstat: the kernel's own number tells them apart."""
    hint = KernelHint("usage", os.eventfd(0, os.EFD_NONBLOCK), select.POLLIN)
    others = os.eventfd(7, os.EFD_NONBLOCK)
    number = os.dup2(others, hint.fileno())
    with pytest.raises(ProbeError, match="closed by the program"):
        hint.clear()
    hint.close()
    assert os.eventfd_read(number) == 7
    os.close(number)
    os.close(others)


def test_a_thread_of_ours_is_not_listed_even_if_it_logs() -> None:
    """A program that joins all it finds would wait for it for ever."""
    before = threading.enumerate()
    names: list[str] = []
    thread = NativeThread(lambda: names.append(threading.current_thread().name), "membudget")
    thread.start()
    thread.join(10)
    assert names
    assert not thread.is_alive()
    assert threading.enumerate() == before
