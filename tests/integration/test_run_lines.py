"""Who says what under `membudget run`: a line says whose it is, and what all see is said by one."""

import re
import sys
import textwrap

import pytest

from cgroup_v1 import limited_group, unavailable
from commands import clean_environment, run_python

LINE = re.compile(
    r"membudget: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?P<pid>\d+) (?P<name>[^:]+): (?P<said>.*)"
)


def said(text: str) -> list[tuple[str, str, str]]:
    """Pid, name and words of each line of ours; there is nothing else."""
    found = [LINE.fullmatch(line) for line in text.splitlines()]
    return [(one["pid"], one["name"], one["said"]) for one in found if one is not None]


@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
def test_one_process_tells_what_becomes_of_the_limit_that_all_share() -> None:
    """Five see each level, at their own times; it is told by one, and the start by the first."""
    program = textwrap.dedent("""
        import os, sys, time
        pipes = [os.pipe() for _ in range(4)]
        for read, write in pipes:
            if os.fork() == 0:
                for _, end in pipes: os.close(end)
                os.read(read, 1)  # The end of its parent.
                os._exit(0)
        time.sleep(1)
        held = [bytearray(b"x" * (1 << 20)) for _ in range(110)]
        time.sleep(2)
        held.clear()
        time.sleep(1.5)
    """)
    command = [sys.executable, "-m", "membudget", "run", "--", sys.executable, "-c", program]
    with limited_group(180 << 20) as group:
        result = group.run(command, env=clean_environment())
    lines = said(result.stderr)
    assert result.returncode == 0
    assert sum(words.startswith("limit ") for _, _, words in lines) == 1
    tellers: dict[str, set[str]] = {}
    for pid, _, words in lines:
        if (change := re.match(r"\w+ → (\w+): ", words)) is not None:
            tellers.setdefault(change[1], set()).add(pid)
    assert tellers
    assert all(len(pids) == 1 for pids in tellers.values()), result.stderr


def test_each_line_says_whose_it_is_and_a_calm_worker_says_nothing() -> None:
    """A worker that was pressed is told by its pool's name, with a summary of its own."""
    program = textwrap.dedent("""
        import multiprocessing, sys, time
        def work(size):
            held = [bytearray(b"x" * (1 << 20)) for _ in range(size)]
            time.sleep(1.5)
            sys.exit()
        spawn = multiprocessing.get_context("fork")
        workers = [spawn.Process(target=work, args=(size,)) for size in (1, 88)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
    """)
    lines = said(run_python(program, "--limit", "100MiB").stderr)
    assert {name for _, name, _ in lines} == {"python -c", "python -c worker 2"}
    assert len({pid for pid, _, _ in lines}) == 2
    (first, *_, last) = lines
    assert first[2].startswith("limit 100 MiB (configured)")
    assert last[2].startswith("stopped: peak ")
    assert first[:2] == last[:2]
