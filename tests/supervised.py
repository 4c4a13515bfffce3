"""Programs under `membudget run --restart`, and what can be seen of them from outside."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cgroup_v1 import LimitedGroup
from commands import clean_environment, line_from

BARE = ["sh", "-c", 'exec "$@"', "sh", sys.executable, "-S"]
"""An interpreter without a budget: from a shell, of which `run` cannot know that it starts one."""


def supervisor_of(*program: str, delay: str = "2ms") -> list[str]:
    """The command that runs a program under a supervisor."""
    options = ["--restart", "--restart-delay", delay, "--quiet"]
    return [sys.executable, "-m", "membudget", "run", *options, "--", *program]


def python_text(text: str) -> list[str]:
    """The command that runs a text in a bare interpreter, without a budget."""
    return [*BARE, "-c", textwrap.dedent(text)]


@contextlib.contextmanager
def supervised(
    text: str, delay: str = "2ms", group: LimitedGroup | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A supervisor of a program that has said "ready"; killed at the end if it still runs."""
    command = supervisor_of(*python_text(text), delay=delay)
    with started(group.enter_command(command) if group else command) as process:
        yield process


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A command that has said "ready"; killed with its children at the end if it still runs."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        try:
            assert line_from(process) == "ready\n"
            yield process
        finally:
            for pid in [process.pid, *children(process.pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The direct children of a process of one thread."""
    with contextlib.suppress(FileNotFoundError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def state(pid: int) -> str | None:
    """The letter that ps shows, or None for a process that is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return None


def wait_until(condition: Callable[[], bool], patience: float = 20) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.01)
