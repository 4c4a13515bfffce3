"""Tasks, threads, descriptors and child processes that a function leaves behind."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from commands import lines_of
from membudget.testing import check_leaks, check_leaks_async
from membudget.testing.result import explain

linux = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")


@linux
def test_descriptors_left_open_are_found_before_they_run_out() -> None:
    opened: list[int] = []
    result = check_leaks(lambda: opened.append(os.open(os.devnull, os.O_RDONLY)))
    for descriptor in opened:
        os.close(descriptor)
    assert result.is_leak
    assert [left.kind for left in result.left] == ["file descriptors"]
    assert result.left[0].names[0] == os.devnull
    assert len(opened) < 1000
    assert "scarce" in result.notes[0]


def test_threads_left_running_are_found() -> None:
    over = threading.Event()
    started: list[threading.Thread] = []

    def call() -> None:
        thread = threading.Thread(target=over.wait, daemon=True)
        thread.start()
        started.append(thread)

    result = check_leaks(call, calls=2, warmup=2, rounds=2)
    over.set()
    for thread in started:
        thread.join(10)
    left = {one.kind: one for one in result.left}["threads"]
    assert left.count == sum(one.calls * len(one.blocks) for one in result.series)
    assert "Event.wait" in left.names[0]


def test_threads_that_are_about_to_end_are_waited_for() -> None:
    def call() -> None:
        threading.Thread(target=time.sleep, args=(0.05,)).start()

    assert not check_leaks(call, calls=3, warmup=3, rounds=3).left


def test_a_pool_that_starts_its_threads_when_first_used_is_no_leak() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        result = check_leaks(lambda: pool.submit(int).result(), calls=50)
    assert not result.is_leak, explain(result)


@linux
def test_child_processes_left_running_are_found() -> None:
    started: list[subprocess.Popen[bytes]] = []

    def call() -> None:
        started.append(subprocess.Popen(["sleep", "60"]))  # noqa: S607

    result = check_leaks(call, calls=1, warmup=0, rounds=2)
    for child in started:
        child.kill()
        child.wait()
    left = {one.kind: one for one in result.left}["child processes"]
    assert "sleep" in left.names[0]


def test_a_coroutine_function_is_run_on_a_loop_of_its_own() -> None:
    async def call() -> None:
        await asyncio.sleep(0)

    assert not check_leaks(call, calls=200).is_leak


def test_a_program_without_asyncio_is_looked_at_without_it() -> None:
    program = (
        "import sys; from membudget.testing.rounds import Leftovers; found = Leftovers();"
        "found.look(); assert not found.have_grown(); assert 'asyncio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_tasks_left_behind_are_found_on_the_running_loop() -> None:
    """Memory and tasks, by their coroutines."""
    kept: set[asyncio.Task[None]] = set()

    async def forgotten() -> None:
        await asyncio.sleep(3600)

    async def call() -> None:
        kept.add(asyncio.get_running_loop().create_task(forgotten()))

    async def main() -> Any:
        return await check_leaks_async(call)

    result = asyncio.run(main())
    left = {one.kind: one for one in result.left}["tasks"]
    assert left.count == result.calls
    assert "forgotten" in left.names[0]


def test_tasks_that_end_by_themselves_are_no_leak() -> None:
    """Their last callbacks run before anything is counted."""

    async def call() -> None:
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))

    assert not check_leaks(call, calls=100).is_leak


def test_a_check_loads_no_asyncio() -> None:
    """A program without coroutines is not to pay for it, nor is its check to stumble over it."""
    assert lines_of(
        "import sys, membudget.testing\n"
        "print(membudget.testing.check_leaks(int).is_leak, 'asyncio' in sys.modules)"
    ) == ["False False"]
