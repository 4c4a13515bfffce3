"""The governor's thread and a fork that comes while another thread rings for it."""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

import membudget
from fakes import FakeClock
from membudget.core import Marks, Reading
from membudget.core.native import NativeThread
from membudget.governor import Governor
from membudget.governor.watch import Watch
from membudget.registry import Registry
from waiting import eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


class AtTheFork:
    """What another thread does when the governor rests already and the fork is to come."""

    def __init__(self, do: Callable[[threading.Event, threading.Event], None]) -> None:
        self._do = do
        self._over = threading.Event()

    def before_fork(self, until: float) -> None:
        begun = threading.Event()
        threading.Thread(target=self._do, args=(begun, self._over), daemon=True).start()
        assert begun.wait(10)

    def after_fork_in_parent(self) -> None:
        self._over.set()

    def after_fork_in_child(self) -> None:
        """Nothing: that thread is not here."""


def child_steps(do: Callable[[Watch, threading.Event, threading.Event], None]) -> bool:
    """Whether a child forked meanwhile takes readings of its own."""
    registry = Registry()
    with membudget.start(
        "4GiB", sinks=[], monitoring={"check_interval": 0.01}, registry=registry
    ) as own:
        governor = own.governor
        at_fork = AtTheFork(lambda begun, over: do(governor.watch, begun, over))
        registry.add(at_fork)
        pid = os.fork()
        if pid == 0:
            try:
                at = governor.reading.at if governor.reading else 0.0
                eventually(lambda: governor.reading and governor.reading.at > at, 10.0)
                os._exit(0)
            finally:
                os._exit(1)
        return exit_code(pid) == 0


def exit_code(pid: int) -> int | None:
    """What the child ends with, or None where it is stuck."""
    statuses: list[int] = []

    def has_ended() -> bool:
        ended, status = os.waitpid(pid, os.WNOHANG)
        statuses.append(status)
        return ended == pid

    try:
        eventually(has_ended)
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return None
    return os.waitstatus_to_exitcode(statuses[-1])


def test_a_child_does_not_wait_for_a_thread_that_was_ringing() -> None:
    """It did not come along, and the bell's lock would be taken for ever."""

    def hold(watch: Watch, begun: threading.Event, over: threading.Event) -> None:
        assert watch._bell is not None
        with watch._bell._lock:
            begun.set()
            over.wait(20)

    assert child_steps(hold)


def test_a_child_is_governed_though_a_ring_began_the_parents_thread_anew() -> None:
    """Rung for between the pause and the fork, the thread runs in the parent only."""

    def ring(watch: Watch, begun: threading.Event, over: threading.Event) -> None:
        watch.ring()
        begun.set()

    assert child_steps(ring)


class Read:
    """A reading that counts how often it is taken."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Reading:
        """Nothing used of 1 MiB."""
        self.times += 1
        return Reading(at=0.0, used=0, limit=1 << 20, source="fake")


def test_in_the_fork_a_child_reads_nothing_and_at_its_first_step_begins_anew() -> None:
    """One that only lives for a moment pays for a thread and no more."""
    probe, reopened = Read(), list[int]()

    class Reopened:
        name = "reopened"

        def after_fork_in_child(self) -> None:
            reopened.append(1)

    governor = Governor(probe, Marks(), registry=Registry(), clock=FakeClock())
    governor.join(Reopened())
    governor.step()
    governor.after_fork_in_child()
    assert (probe.times, reopened) == (1, [])
    governor.step()
    governor.step()
    assert (probe.times, reopened) == (3, [1])


def test_a_thread_that_rests_is_ended_at_once_and_does_nothing() -> None:
    """A fork waits for it."""
    did: list[int] = []
    thread = NativeThread(lambda: did.append(1), "membudget")
    thread.start(rest=3600)
    thread.dismiss()
    thread.join(10)
    assert not thread.is_alive()
    assert not did


def test_a_program_that_forks_without_end_is_watched_all_the_same() -> None:
    """Each fork ends the thread, and the next one takes over what is due."""
    with membudget.start(
        "4GiB",
        sinks=[],
        monitoring={"check_interval": 0.1},
        registry=Registry(),
        agent={"directory": "none"},
    ) as own:
        first = own.governor.reading

        def has_stepped_amid_forks() -> bool:
            for _ in range(5):
                if (pid := os.fork()) == 0:
                    os._exit(0)
                os.waitpid(pid, 0)
                time.sleep(0.002)
            return own.governor.reading is not first

        eventually(has_stepped_amid_forks)


def test_what_is_parked_has_no_thread_but_its_children_do() -> None:
    """A server of forks holds nothing; those that it forks do."""
    with membudget.start(
        "4GiB",
        sinks=[],
        monitoring={"check_interval": 0.01},
        registry=Registry(),
        agent={"directory": "none"},
    ) as own:
        watch = own.governor.watch
        watch.park()
        watch.ring()
        reading = own.governor.reading
        pid = os.fork()
        if pid == 0:
            try:
                eventually(lambda: own.governor.reading is not reading, 10.0)
                os._exit(0)
            finally:
                os._exit(1)
        assert exit_code(pid) == 0
        assert not watch.is_running
        assert own.governor.reading is reading
