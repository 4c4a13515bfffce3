"""Processes under one limit share its room: real ones, in a real group."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cgroup_v1
from cgroup_v1 import LimitedGroup
from fakes import MIB
from membudget.host.slot import living
from waiting import eventually

pytestmark = pytest.mark.skipif(
    cgroup_v1.unavailable() is not None, reason=cgroup_v1.unavailable() or ""
)
PROGRAM = str(Path(__file__).with_name("sharing_program.py"))
LIMIT = 240 * MIB  # Caches stop at 72 % of it.


class Worker:
    """One process of the group."""

    def __init__(self, group: LimitedGroup, folder: Path) -> None:
        self.process = group.start(
            [sys.executable, PROGRAM, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline()) == "ready"

    def ask(self, line: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def fills_up_to(self, size: int) -> bool:
        """Whether it holds so many MiB after taking in some."""
        return bool(self.ask("fill 10") >= size)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Team:
    """The workers of one group."""

    def __init__(self, group: LimitedGroup, folder: Path) -> None:
        self.group, self.folder = group, folder
        self._workers: list[Worker] = []

    def starts(self) -> Worker:
        self._workers.append(Worker(self.group, self.folder))
        return self._workers[-1]

    def end(self) -> None:
        for one in self._workers:
            one.end()


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    with cgroup_v1.limited_group(LIMIT) as group:
        workers = Team(group, tmp_path / "slots")
        try:
            yield workers
            assert group.oom_kills() == 0
        finally:
            workers.end()


def test_a_newcomer_at_the_full_group_gets_its_part_from_who_was_first(team: Team) -> None:
    first = team.starts()
    eventually(lambda: first.fills_up_to(120))
    second = team.starts()
    eventually(lambda: second.fills_up_to(50))
    # What the first let go of went back to the kernel: its own holes are no room for the second.
    eventually(lambda: first.ask("look")["resident"] < 120)


def test_one_large_value_takes_no_more_than_its_own_room(team: Team) -> None:
    """One larger than the share is refused, and nothing goes for it."""
    first, *others = (team.starts() for _ in range(4))
    eventually(lambda: first.fills_up_to(25) and all(one.fills_up_to(25) for one in others))
    # The others keep some, however little is asked of them while the machine is busy.
    assert first.ask("offer 120") is False
    assert first.ask("look")["held"] > 10
    eventually(lambda: first.fills_up_to(25))
    assert first.ask("take 12") is True
    assert first.ask("look")["held"] > 10 + 12


def test_what_one_that_was_killed_held_goes_to_the_others(team: Team) -> None:
    first, second = team.starts(), team.starts()
    eventually(lambda: first.fills_up_to(50) and second.fills_up_to(50))
    second.end()
    eventually(lambda: first.fills_up_to(120))


def test_what_one_that_is_stopped_holds_is_left_to_it(team: Team) -> None:
    first, second = team.starts(), team.starts()
    eventually(lambda: first.fills_up_to(50) and second.fills_up_to(50))
    os.kill(second.process.pid, signal.SIGSTOP)
    for _ in range(40):
        assert first.ask("fill 10") < 130
    os.kill(second.process.pid, signal.SIGCONT)
    eventually(lambda: second.fills_up_to(50))


def test_what_is_granted_to_one_is_not_granted_to_another(team: Team) -> None:
    first, second = team.starts(), team.starts()
    eventually(lambda: len(living(str(team.folder))) == 2)  # the test's own
    eventually(lambda: first.ask("fill 1") and second.ask("fill 1"))
    assert first.ask("admit 120") is True
    assert second.ask("admit 120") is False
    first.ask("release")
    assert second.ask("admit 120") is True


def test_the_group_is_told_with_its_rows(team: Team) -> None:
    first, second = team.starts(), team.starts()
    eventually(lambda: first.fills_up_to(50) and second.fills_up_to(50))

    def told(*more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "membudget", *(more or ("memory", "-v"))],
            env={**os.environ, "MEMBUDGET_AGENT_DIRECTORY": str(team.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    named = ("--pid", str(first.process.pid))  # Its folder is set in its code alone.
    eventually(lambda: "2 processes share" in told("memory", "-v", *named))
    row = f" {second.process.pid} sharing_program.py: caches "
    assert row in told()
    assert row in told("report", *named)
    assert "2 processes share it, their caches hold" in told("memory")
