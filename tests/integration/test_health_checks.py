"""`membudget status -q`: what decides over the life of a process says nothing of its memory."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import membudget
from membudget.core import Level, Pressure
from membudget.host import claim_folder, identity_of
from membudget.host.slot import Slot


class _Shown:
    """This process, shown in a slot as if it ran under a budget; it has no socket."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.slot = Slot(claim_folder(folder), identity_of(), "service")

    def stands(self, level: str, *, age: float = 0.0) -> None:
        """Have figures of this level, as old as that."""
        self.slot.write(
            Pressure(level=Level[level], used=82 << 20, limit=100 << 20, source="configured"),
            peak=82 << 20,
            governed=0,
            reclaimed=0,
            wall=time.time() - age,
        )

    def check(self, *options: str) -> tuple[int, str]:
        """The exit code of a check, and all that it says."""
        done = membudget("status", *options, environment={"MEMBUDGET_AGENT_DIRECTORY": self.folder})
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[_Shown]:
    one = _Shown(str(tmp_path / "meet"))
    yield one
    one.slot.close()


@pytest.mark.parametrize("level", ["NORMAL", "WARNING", "CRITICAL", "EMERGENCY"])
def test_a_process_that_is_there_is_well_at_every_level(shown: _Shown, level: str) -> None:
    """A full cache is no reason to restart the one who keeps it."""
    shown.stands(level)
    assert shown.check("-q") == (0, "")


def test_a_level_fails_only_where_it_is_asked_for(shown: _Shown) -> None:
    """From that level on, and below it not; with words unless they are unwanted."""
    shown.stands("CRITICAL")
    assert shown.check("-q", "--fail-at", "emergency") == (0, "")
    assert shown.check("-q", "--fail-at", "critical") == (1, "")
    code, told = shown.check("--fail-at", "WARNING")
    assert code == 1
    assert told.startswith("CRITICAL, 1 process")


def test_without_quiet_the_exit_code_is_the_levels(shown: _Shown) -> None:
    """For scripts: 1 at WARNING, 2 above, as `memory` has it."""
    for level, code in (("NORMAL", 0), ("WARNING", 1), ("CRITICAL", 2), ("EMERGENCY", 2)):
        shown.stands(level)
        assert shown.check()[0] == code


def test_one_that_neither_tells_nor_answers_fails(shown: _Shown) -> None:
    """Its slot is there, its figures are old, and nobody is at its socket."""
    shown.stands("NORMAL", age=3600)
    assert shown.check("-q") == (1, "")
    shown.stands("NORMAL", age=-3600)  # The clock was set back meanwhile.
    assert shown.check("-q") == (1, "")


def test_one_that_is_gone_fails(shown: _Shown) -> None:
    """1 for a check, which knows no other failure; 3 for a script."""
    shown.stands("NORMAL")
    shown.slot.close()
    assert shown.check("-q") == (1, "")
    assert shown.check()[0] == 3
    assert shown.check("--pid", "4000000", "-q") == (1, "")


def test_an_unknown_level_is_wrong_usage(shown: _Shown) -> None:
    """One line that names those there are."""
    shown.stands("NORMAL")
    code, told = shown.check("-q", "--fail-at", "normal")
    assert code == 64
    assert "critical" in told
