"""The governor's thread: lateness is told and counted, waiting can be ended at any time."""

import os
import select
import threading

from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.core import Late, Marks, Severity
from membudget.governor import Governor
from membudget.governor.watch import Doorbell
from membudget.registry import Registry


class PipeHint:
    """A wake-up by a pipe, as the kernel's are by files."""

    name = "pipe"
    events = select.POLLIN

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.is_closed = False

    def fileno(self) -> int:
        return self.read

    def clear(self) -> None:
        os.read(self.read, 1)

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            os.close(self.read)
            os.close(self.write)


def test_a_ring_ends_the_wait_even_when_it_came_before() -> None:
    """Nobody sleeps through a wish for room."""
    bell = Doorbell()
    bell.ring()
    bell.wait(60)
    thread = threading.Thread(target=bell.wait, args=(60,))
    thread.start()
    bell.ring()
    thread.join(10)
    assert not thread.is_alive()
    bell.close()
    bell.ring()


def test_a_hint_ends_the_wait_and_is_named() -> None:
    """The kernel's wake-ups and rings are waited for together; closing gives all back."""
    bell, hint = Doorbell(), PipeHint()
    bell.listen([hint])
    os.write(hint.write, b"x")
    assert bell.wait(60) == ["pipe"]
    assert bell.wait(0) == []
    bell.close()
    assert hint.is_closed


def test_a_broken_hint_is_left_aside_instead_of_spinning() -> None:
    """A descriptor that is ready for ever would keep the loop running hot."""
    bell, hint = Doorbell(), PipeHint()
    bell.listen([hint])
    os.close(hint.write)
    bell.wait(60)
    assert bell.wait(0) == []
    os.close(hint.read)
    hint.is_closed = True
    bell.close()


def test_lateness_is_counted_and_told_once_a_minute() -> None:
    """A step that comes a second late is loss of protection; a hundred are one line a minute."""
    clock, recorder = FakeClock(), Recorder()
    memory = FakeMemory(clock, used=MIB)
    governor = Governor(
        memory, Marks(), sinks=[recorder], registry=Registry(), own=memory.own, clock=clock
    )
    for _ in range(100):
        clock.advance(1)
        governor.watch._note_lateness(1.0, governor.pressure)
    governor.watch._note_lateness(0.1, governor.pressure)
    assert governor.watch.late == 100
    assert [event.times for event in recorder.of(Late)] == [1, 61]


def test_lateness_is_a_warning_only_where_protection_was_needed() -> None:
    """A machine that sleeps is no news to a process with room; to one that has none it is.

    From a second on: less happens in every worker on a busy machine.
    """
    clock, recorder = FakeClock(), Recorder()
    memory = FakeMemory(clock, used=MIB)
    governor = Governor(
        memory, Marks(), sinks=[recorder], registry=Registry(), own=memory.own, clock=clock
    )
    governor.step()
    governor.watch._note_lateness(1.0, governor.pressure)
    memory.used = 75 * MIB
    before = governor.pressure
    clock.advance(2)
    governor.step()
    governor.watch._note_lateness(0.9, before)
    governor.watch._note_lateness(1.0, before)
    assert [one.severity for one in recorder.of(Late)] == [Severity.DEBUG, Severity.WARNING]
    memory.used, before = MIB, governor.pressure
    clock.advance(100)
    governor.step()
    governor.watch._note_lateness(1.0, before)
    assert recorder.of(Late)[-1].was_needed
