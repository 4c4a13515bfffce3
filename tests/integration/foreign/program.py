"""Starts a program without and with a budget, and sees how it ends and what it says."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from commands import clean_environment

FOREIGN = Path(__file__).parent
# Isolated, so that what stands on PYTHONPATH is loaded by the program alone.
RUN = (sys.executable, "-I", "-m", "membudget", "run", "--limit", "400MiB", "--quiet", "--")
WAYS: dict[str, tuple[str, ...]] = {"without": (), "with": RUN}
PATIENCE = 100.0
POLL = 0.01

T = TypeVar("T")


class Outcome(NamedTuple):
    """How a program ended and what it said."""

    code: int
    output: str
    errors: str

    def general(self) -> tuple[int, set[str], set[str]]:
        """Without numbers, and each line once: ids, ports, times and repetitions may differ."""
        return self.code, _general(self.output), _general(self.errors)


def _general(text: str) -> set[str]:
    return {re.sub(r"0x[0-9a-f]+|\d+", "0", line) for line in text.splitlines()}


class Program:
    """A program under test, in a session of its own, its streams in files."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self._folder = folder

    def told(self, pattern: str) -> re.Match[str]:
        """What it said on either stream, as soon as it has."""
        until = time.monotonic() + PATIENCE
        while True:
            said = self.read("stdout") + self.read("stderr")
            if (found := re.search(pattern, said, re.MULTILINE)) is not None:
                return found
            assert self.process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(POLL)

    def goes_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self, by: signal.Signals | None = None) -> Outcome:
        """Its outcome, after the end of its input and a signal to its first process, if given."""
        if by is not None:
            self.process.send_signal(by)
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        return Outcome(code, self.read("stdout"), self.read("stderr"))

    def read(self, stream: str) -> str:
        """What it has said on "stdout" or "stderr" so far."""
        return (self._folder / stream).read_text().replace(str(self._folder), "")


@contextlib.contextmanager
def started(
    command: Sequence[str], folder: Path, *, cwd: Path, environment: Mapping[str, str]
) -> Iterator[Program]:
    """A program whose streams are files in a folder; nothing of it is left."""
    with (folder / "stdout").open("wb") as output, (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            text=True,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )
    try:
        yield Program(process, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextlib.contextmanager
def running(
    way: str,
    *arguments: str,
    streams: Path,
    cwd: Path = FOREIGN,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Program]:
    """Python with these arguments, started without or with a budget."""
    folder = streams / way
    folder.mkdir()
    command = [*WAYS[way], python, *arguments]
    kept = clean_environment(environment)
    with started(command, folder, cwd=cwd, environment=kept) as program:
        yield program


def both(see: Callable[[str], T]) -> tuple[T, T]:
    """What is seen without and with a budget, looked at side by side."""
    with ThreadPoolExecutor() as pool:
        without, under = pool.map(see, WAYS)
    return without, under


def whole_run(way: str, *arguments: str, streams: Path, **options: Any) -> Outcome:
    with running(way, *arguments, streams=streams, **options) as program:
        return program.end()
