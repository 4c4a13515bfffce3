"""profile_memory: held and peak of functions and blocks, within and beside each other."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from beside import in_threads
from membudget import ConfigError, MemoryProfile, profile_memory

MIB = 1 << 20
SLACK = 64 << 10


@pytest.fixture(autouse=True)
def _no_tracing_is_left() -> Iterator[None]:
    assert not tracemalloc.is_tracing()
    yield
    is_left = tracemalloc.is_tracing()
    tracemalloc.stop()
    assert not is_left


def test_a_block_tells_what_it_holds_and_what_it_held_at_most() -> None:
    with profile_memory("load") as profile:
        kept = bytearray(2 * MIB)
        gone = bytearray(8 * MIB)
        del gone
    assert profile.result is not None
    assert profile.result.name == "load"
    assert abs(profile.held - 2 * MIB) < SLACK
    assert abs(profile.peak - 10 * MIB) < SLACK
    assert profile.result.is_complete
    assert len(kept) == 2 * MIB


def test_an_open_block_tells_its_figures_so_far() -> None:
    with profile_memory() as profile:
        kept = bytearray(MIB)
        assert abs(profile.held - MIB) < SLACK
        del kept
        assert abs(profile.held) < SLACK
        assert abs(profile.peak - MIB) < SLACK
        assert profile.result is None


def test_what_is_let_go_is_held_below_zero() -> None:
    with profile_memory():
        kept = [bytearray(MIB)]
        with profile_memory() as inner:
            kept.clear()
    assert abs(inner.held + MIB) < SLACK
    assert inner.peak < SLACK
    assert "-1.0" in str(inner.result)


def test_an_inner_peak_is_its_own_and_leaves_the_outer_ones() -> None:
    """The only peak of tracemalloc is set back in between."""
    with profile_memory("outer") as outer:
        bytearray(16 * MIB)  # The outer's peak, before the inner one sets tracemalloc's back.
        with profile_memory("inner") as inner:
            bytearray(4 * MIB)
            assert abs(outer.peak - 16 * MIB) < SLACK
        with profile_memory("second") as second:
            bytearray(MIB)
    assert abs(inner.peak - 4 * MIB) < SLACK
    assert abs(second.peak - MIB) < SLACK
    assert abs(outer.peak - 16 * MIB) < SLACK


def test_an_inner_peak_counts_for_the_outer_too() -> None:
    with profile_memory() as outer, profile_memory():
        bytearray(8 * MIB)
    assert abs(outer.peak - 8 * MIB) < SLACK


def test_stretches_that_overlap_without_lying_within_each_other_keep_their_peaks() -> None:
    """As in tasks."""
    first, second = profile_memory("first"), profile_memory("second")
    early = first.__enter__()
    bytearray(8 * MIB)
    late = second.__enter__()
    bytearray(2 * MIB)
    first.__exit__(None, None, None)
    bytearray(4 * MIB)
    second.__exit__(None, None, None)
    assert abs(early.peak - 8 * MIB) < SLACK
    assert abs(late.peak - 4 * MIB) < SLACK


def test_tracing_of_somebody_else_stays_on() -> None:
    tracemalloc.start(3)
    with profile_memory() as profile:
        bytearray(MIB)
    assert tracemalloc.is_tracing()
    assert tracemalloc.get_traceback_limit() == 3
    assert abs(profile.peak - MIB) < SLACK
    tracemalloc.stop()


def test_a_profile_whose_tracing_was_ended_says_so() -> None:
    with profile_memory() as profile:
        tracemalloc.stop()
    assert profile.result is not None
    assert not profile.result.is_complete
    assert "ended" in str(profile.result)
    with profile_memory() as after:
        bytearray(MIB)
    assert abs(after.peak - MIB) < SLACK


def test_a_decorated_function_gives_its_answer_and_its_profile() -> None:
    @profile_memory
    def load(size: int) -> bytearray:
        """Load."""
        return bytearray(size)

    kept = load(3 * MIB)
    profile: MemoryProfile = load.profile.last  # type: ignore[attr-defined]
    assert len(kept) == 3 * MIB
    assert (load.__name__, load.__doc__) == ("load", "Load.")
    assert profile.name.endswith("load")
    assert abs(profile.held - 3 * MIB) < SLACK


def test_a_decorated_function_that_raises_is_profiled_and_raises() -> None:
    found: list[MemoryProfile] = []

    @profile_memory("fails", on_result=found.append)
    def fail() -> None:
        bytearray(MIB)
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [one.name for one in found] == ["fails"]
    assert abs(found[0].peak - MIB) < SLACK


def test_recursion_profiles_each_depth() -> None:
    found: list[MemoryProfile] = []

    @profile_memory(on_result=found.append)
    def descend(depth: int) -> None:
        kept = bytearray(MIB)
        if depth:
            descend(depth - 1)
        kept.clear()

    descend(2)
    assert [round(one.peak / MIB) for one in found] == [1, 2, 3]


def test_coroutines_are_profiled_until_they_end() -> None:
    found: list[MemoryProfile] = []

    @profile_memory("coroutine", on_result=found.append)
    async def load() -> int:
        bytearray(2 * MIB)
        await asyncio.sleep(0)
        return 7

    async def main() -> None:
        async with profile_memory("block") as profile:
            assert await load() == 7
        assert profile.peak >= 2 * MIB

    asyncio.run(main())
    assert [one.name for one in found] == ["coroutine"]
    assert abs(found[0].peak - 2 * MIB) < SLACK


def test_threads_may_profile_at_the_same_time() -> None:
    barrier = threading.Barrier(2)
    found: list[MemoryProfile] = []

    def work() -> None:
        with profile_memory(on_result=found.append):
            barrier.wait(10)
            bytearray(MIB)
            barrier.wait(10)

    in_threads(work, work)
    assert len(found) == 2
    assert all(one.is_complete and one.peak >= MIB - SLACK for one in found)


def test_the_profile_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "membudget"), profile_memory("load"):
        bytearray(MIB)
    assert [record.name for record in caplog.records] == ["membudget"]
    assert "profile of load: +" in caplog.text
    assert "peak 1.0" in caplog.text


def test_a_generator_function_is_refused() -> None:
    """Its body does not run when it is called."""
    with pytest.raises(ConfigError, match="generator function"):

        @profile_memory
        def rows() -> Iterator[int]:
            yield 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_while_a_stretch_begins_elsewhere_can_profile() -> None:
    """The lock of that moment is held by a thread that the child does not have."""
    program = (
        "import os, signal, sys\nfrom membudget import profiling\n"
        "from membudget.heap import window\n"
        "window.own_lock().acquire(); child = os.fork();"
        "child or (signal.alarm(10), profiling.profile_memory('x').__enter__(), os._exit(0));"
        "sys.exit(os.waitpid(child, 0)[1])"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
