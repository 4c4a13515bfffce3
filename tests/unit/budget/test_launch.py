"""Which processes of a launched program are governed, and which of them tells what all see."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakes import MIB
from membudget.budget.launch import _News, helper_of
from membudget.core import Event, FloorFound, Level, Pressure, ProtectionTried


@pytest.mark.parametrize(
    ("words", "helper"),
    [
        (["-c", "from multiprocessing.resource_tracker import main;main(7)"], "resource_tracker"),
        (["-B", "-c", "from multiprocessing.forkserver import main; main(3)"], "forkserver"),
        (
            ["-c", "from joblib.externals.loky.backend.resource_tracker import main; main(7, 0)"],
            "resource_tracker",
        ),
        (["-c", "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5)"], ""),
        (["-c", "from app import main; main()"], ""),
        (["-c"], ""),
        (["app.py", "resource_tracker"], ""),
        ([], ""),
    ],
)
def test_multiprocessings_own_helpers_are_known_by_their_command(
    words: list[str], helper: str
) -> None:
    """Its workers are the program's, and so is all else."""
    assert helper_of(["python", *words]) == helper


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def is_told(event: Event, folder: Path) -> int:
    """Whether another process of a launch tells an event."""
    pid = os.fork()
    if pid == 0:
        os._exit(_News(f"{folder}/web")(event))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@forks
def test_an_attempt_to_protect_a_group_is_told_once(tmp_path: Path) -> None:
    """Its workers try in the same second; each tells its own end, and what is its own alone."""

    def tried(outcome: str, source: str = "cgroup v1 /web") -> int:
        event = ProtectionTried(at=0.0, attempt=1, most=3, outcome=outcome, source=source)
        return is_told(event, tmp_path)

    assert [tried("not enough"), tried("not enough"), tried("recovered")] == [1, 0, 1]
    assert [tried("exit"), tried("exit")] == [1, 1]
    assert [tried("not enough", "RLIMIT_AS"), tried("not enough", "RLIMIT_AS")] == [1, 1]


@forks
def test_workers_that_hold_the_same_tell_their_floor_once(tmp_path: Path) -> None:
    """Ten of a kind would say the same in ten lines; another cause is another story."""
    pressure = Pressure(
        level=Level.WARNING, used=330 * MIB, limit=400 * MIB, source="cgroup v1 /web"
    )

    def is_found(held_by: str) -> int:
        event = FloorFound(at=0.0, pressure=pressure, kept=0, held_by=held_by)
        return is_told(event, tmp_path)

    assert is_found("284 MiB are held outside Python's view") == 1
    assert is_found("28.5 MiB are held outside Python's view") == 0
    assert is_found("the program itself holds it") == 1


def test_telling_a_floor_loads_nothing() -> None:
    """A child that is forked amid an import never ends that one, and this thread marks none."""
    program = (
        "import sys; from membudget.budget.launch import _shared\n"
        "from membudget.core import FloorFound, Level, Pressure\n"
        "pressure = Pressure(level=Level.WARNING, used=3, limit=4, source='cgroup v1 /web')\n"
        "event = FloorFound(at=0.0, pressure=pressure, kept=0, held_by='28.5 MiB are held')\n"
        "before = set(sys.modules); print(_shared(event), set(sys.modules) - before)\n"
    )
    # Without `site`, which may load half of the library.
    command = [sys.executable, "-S", "-c", f"import sys; sys.path += {sys.path!r}\n{program}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == "FloorFound WARNING  MiB are held cgroup v1 /web set()\n"
