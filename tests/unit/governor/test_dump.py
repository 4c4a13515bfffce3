"""The dump: on standard error where that still is one, and nowhere else."""

import os
import threading

import pytest

from fakes import MIB, FakeClock, FakeMemory
from membudget.core import Marks
from membudget.governor import Governor
from membudget.governor.status import dump
from membudget.registry import Registry
from membudget.sinks import STDERR, StandardError
from unread import fill_standard_error, unread_standard_error


@pytest.fixture
def governor() -> Governor:
    """One that has read once."""
    clock = FakeClock()
    memory = FakeMemory(clock, used=90 * MIB)
    memory.parts = {"anon": 80 * MIB}
    governor = Governor(memory, Marks(), sinks=[], registry=Registry(), own=memory.own, clock=clock)
    governor.step()
    return governor


def test_the_state_and_every_threads_stack_are_told(governor: Governor) -> None:
    with unread_standard_error() as pipe:
        done = threading.Event()

        def wait_in_this_function() -> None:
            done.wait()

        thread = threading.Thread(target=wait_in_this_function)
        thread.start()
        dump(governor)
        done.set()
        thread.join()
        told = os.read(pipe, 1 << 16).decode()
        assert told.startswith("membudget: state at NORMAL: used 90.0 MiB of 100 MiB (fake)\n")
        assert "membudget:   anon: 80.0 MiB\n" in told
        assert "in wait_in_this_function" in told
        assert "in test_the_state_and_every_threads_stack_are_told" in told


def test_a_file_that_took_the_number_of_standard_error_is_left_alone(governor: Governor) -> None:
    """A program that closed it and opened a file has its data there."""
    with unread_standard_error():
        out = StandardError()
        source, target = os.pipe()
        os.dup2(target, STDERR)
        os.close(target)
        dump(governor, out)
        os.set_blocking(source, False)
        with pytest.raises(BlockingIOError):
            os.read(source, 1)
        os.close(source)


@pytest.mark.timeout(30)
def test_a_pipe_that_nobody_reads_does_not_hold_up_the_dump(governor: Governor) -> None:
    """It would hold up the planned exit that comes after it."""
    with unread_standard_error() as pipe:
        filled = fill_standard_error()
        dump(governor)
        assert os.read(pipe, 1 << 24) == bytes(filled)


def test_the_names_of_holders_forge_no_line(governor: Governor) -> None:
    class Holder:
        name = "x\nmembudget: forged \x1b[2J" + "y" * 10_000

        def held_bytes(self) -> int:
            return MIB

    holder = Holder()
    governor.registry.add(holder)
    with unread_standard_error() as pipe:
        dump(governor)
        told = os.read(pipe, 1 << 16).decode().splitlines()
    (line,) = [line for line in told if "forged" in line]
    assert line.startswith("membudget:   holds 1.00 MiB: x membudget: forged \\x1b[2Jyyy")
    assert len(line) < 300
