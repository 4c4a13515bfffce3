"""Taking a sample: everything it knows, nothing imported or changed, failures left out."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fakes import MIB, raising
from membudget.core import Reading
from membudget.sampling import MOST_LOOKS, QUICK, Efficiency, Taker, began, children
from sampling_scene import part
from waiting import eventually

READING = Reading(at=50.0, used=90 * MIB, limit=200 * MIB, parts={"rss": 100 * MIB, "file": MIB})


def taker(told: list[str] | None = None, **sources: Any) -> Taker:
    """One with these sources, telling where something failed."""
    told = [] if told is None else told
    return Taker(lambda where, _: told.append(where), wall=lambda: 1e9, **sources)


def test_the_reading_and_the_sources_are_in_it() -> None:
    sample = taker(
        malloc=lambda: 7,
        system=lambda: (0.25, 11),
        parts=lambda: ((part(),), 3),
        governed=lambda: 5,
        gc=lambda: 0.5,
        requests=lambda: 17,
    ).take(READING)
    assert (sample.at, sample.wall, sample.used, sample.limit) == (50.0, 1e9, 90 * MIB, 200 * MIB)
    assert (sample.rss, sample.file) == (100 * MIB, MIB)
    assert (sample.malloc, sample.system_share, sample.system_available) == (7, 0.25, 11)
    assert (sample.parts, sample.explained, sample.governed) == ((part(),), 3, 5)
    assert (sample.gc_efficiency, sample.requests) == (0.5, 17)
    assert sample.gc_thresholds == gc.get_threshold()
    assert sample.pid == os.getpid()
    assert 0 < sample.cpu <= time.process_time()
    assert sample.blocks > 1000


def test_the_groups_page_cache_is_over_the_mapped_files() -> None:
    """Where the cgroup tells it."""
    reading = READING.replace(parts={"rss": 1, "file": 2, "cgroup_file": 3})
    assert taker().take(reading).file == 3
    assert taker().take(READING.replace(parts={})).file is None


def test_a_source_that_fails_is_left_out_and_told_once() -> None:
    """The rest of the sample is there; a display of memory never ends the loop."""
    told: list[str] = []
    broken = raising(OSError("gone"))
    one = taker(told, system=broken, parts=broken, malloc=broken, requests=broken, governed=broken)
    for _ in range(3):
        sample = one.take(READING)
        assert (sample.system_share, sample.malloc, sample.requests) == (None, None, None)
        assert (sample.parts, sample.explained, sample.governed) == ((), 0, 0)
        assert sample.rss == 100 * MIB
    assert sorted(told) == [
        "sample governed",
        "sample malloc",
        "sample parts",
        "sample requests",
        "sample system",
    ]


def test_a_slow_allocator_is_asked_hourly() -> None:
    took, spent, asked = [0.0], [0.0], []

    def malloc() -> int:
        asked.append(1)
        spent[0] += took[0]
        return 5

    one = Taker(raising(AssertionError()), spent=lambda: spent[0], malloc=malloc)
    for at in (0.0, 300.0):
        assert one.take(READING.replace(at=at)).malloc == 5
    took[0] = 2 * QUICK
    assert one.take(READING.replace(at=600.0)).malloc == 5
    for at in (900.0, 4100.0):
        assert one.take(READING.replace(at=at)).malloc is None
    assert one.take(READING.replace(at=4200.0)).malloc == 5
    assert len(asked) == 4


def test_the_beginning_is_the_processes_own_and_stays() -> None:
    """Each process has another; a look later has the same."""
    first, second = began(), began()
    assert abs(first - second) <= 0.011
    assert time.time() - 3600 * 24 < first < time.time()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert began(str(child.pid)) > first
    finally:
        child.communicate(b"\n")


def test_threads_files_and_children_are_counted() -> None:
    before = taker().take(READING)
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    ends = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        # Its memory comes with its first instructions.
        eventually(lambda: (children() or 0) > MIB)
        during = taker().take(READING)
    finally:
        go.set()
        thread.join()
        child.communicate(b"\n")
        for end in ends:
            os.close(end)
    assert before.children == 0
    assert during.threads == before.threads + 1
    assert before.fds is not None
    assert during.fds is not None
    assert during.fds >= before.fds + 2
    assert taker().take(READING).children == 0


def test_children_of_children_count_and_one_that_ends_leaves_nothing() -> None:
    """A shell that starts the large one is small itself."""
    inner = "ballast = b'x' * (30 << 20); print('ready', flush=True); input()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert (children() or 0) > 35 * MIB
        child.communicate(b"\n")
    assert children() == 0


def test_more_threads_than_can_be_looked_at_are_not_known() -> None:
    """Not counted in part, and not for long."""
    go = threading.Event()
    threads = [threading.Thread(target=go.wait) for _ in range(MOST_LOOKS)]
    for thread in threads:
        thread.start()
    try:
        assert children() is None
    finally:
        go.set()
        for thread in threads:
            thread.join()
    assert children() == 0


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="asyncio tells its own loop only")
def test_tasks_are_counted_and_none_is_touched() -> None:
    async def look() -> tuple[int | None, int]:
        rest = [asyncio.create_task(asyncio.sleep(60)) for _ in range(5)]
        await asyncio.sleep(0)
        found = taker().take(READING).tasks
        there = len(asyncio.all_tasks())
        for one in rest:
            one.cancel()
        return found, there

    found, there = asyncio.run(look())
    assert found == there == 6


def test_nothing_is_imported_for_a_sample() -> None:
    """Threads and tasks are told of without the modules that tell of them."""
    program = (
        "import sys\n"
        "from membudget.core import Reading\n"
        "from membudget.sampling import Taker\n"
        "taker = Taker(print)\n"
        "before = {*sys.modules}\n"
        "sample = taker.take(Reading(at=1.0, used=2))\n"
        "print(sorted({*sys.modules} - before), sample.tasks, sample.threads)\n"
        "print({'threading', 'asyncio', 'json', 'ctypes'} & {*sys.modules})\n"
    )
    argv = [sys.executable, "-S", "-c", program]
    environ = {"PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(argv, capture_output=True, check=True, env=environ, text=True)
    assert told.stdout.splitlines() == ["[] None 1", "set()"]


@pytest.mark.parametrize("told", [-1, 1.5, True, "7", None])
def test_requests_that_are_no_count_are_not_known(told: Any) -> None:
    """A history file would be refused for them at the next start."""
    assert taker(requests=lambda: told).take(READING).requests is None


@pytest.fixture
def efficiency() -> Iterator[Efficiency]:
    """One that listens, with nothing else collecting meanwhile."""
    gc.collect()
    gc.disable()
    listener = Efficiency()
    listener.begin()
    yield listener
    listener.end()
    gc.enable()


def make_garbage(count: int) -> None:
    """So many cycles that only a collection can free."""
    for _ in range(count):
        ring: list[object] = [object()]
        ring.append(ring)


def test_no_full_collection_is_not_known(efficiency: Efficiency) -> None:
    """Not 0: nothing was looked at; a young collection does not count."""
    assert efficiency.take() is None
    make_garbage(100)
    gc.collect(1)
    assert efficiency.take() is None


def test_the_share_grows_with_the_garbage(efficiency: Efficiency) -> None:
    """Much of it is a larger share than little, and both lie between 0 and 1."""
    shares = []
    for count in (1_000, 100_000):
        make_garbage(count)
        gc.collect()
        share = efficiency.take()
        assert share is not None
        shares.append(share)
    assert 0 < shares[0] < shares[1] < 1
    assert shares[1] > 10 * shares[0]


def test_nothing_to_free_is_a_share_of_nothing(efficiency: Efficiency) -> None:
    """Free lists that a collection empties are no garbage."""
    gc.collect()
    efficiency.take()
    gc.collect()
    assert efficiency.take() == 0.0


def test_it_is_since_the_last_sample(efficiency: Efficiency) -> None:
    make_garbage(50_000)
    gc.collect()
    assert efficiency.take()
    assert efficiency.take() is None


def test_it_listens_once_and_leaves_nothing_behind() -> None:
    before = list(gc.callbacks)
    listener = Efficiency()
    listener.begin()
    listener.begin()
    assert len(gc.callbacks) == len(before) + 1
    listener.end()
    listener.end()
    assert gc.callbacks == before


def test_a_collection_that_began_before_a_fork_does_not_count(efficiency: Efficiency) -> None:
    """The child knows nothing."""
    efficiency._note("start", {"generation": 2})
    efficiency.forget()
    efficiency._note("stop", {"generation": 2, "collected": 5, "uncollectable": 0})
    assert efficiency.take() is None


def test_where_the_collector_counts_what_it_looked_at_that_is_taken() -> None:
    """Python 3.15 tells."""
    listener = Efficiency()
    told = {"generation": 2, "collected": 20, "candidates": 80, "uncollectable": 0}
    for _ in range(2):
        listener._note("start", told)
        listener._note("stop", told)
    assert listener.take() == 0.25
