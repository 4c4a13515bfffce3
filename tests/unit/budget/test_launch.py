"""Which processes of a launched program are governed, and which of them tells what all see."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fakes import MIB
from membudget.budget.launch import _News, helper_of
from membudget.core import FloorFound, Level, Pressure

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_workers_that_hold_the_same_tell_their_floor_once(tmp_path: Path) -> None:
    """Ten of a kind would say the same in ten lines; another cause is another story."""
    pressure = Pressure(
        level=Level.WARNING, used=330 * MIB, limit=400 * MIB, source="cgroup v1 /web"
    )

    def is_told(held_by: str) -> int:
        pid = os.fork()
        if pid == 0:
            event = FloorFound(at=0.0, pressure=pressure, kept=0, held_by=held_by)
            os._exit(_News(f"{tmp_path}/web")(event))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert is_told("284 MiB are held outside Python's view") == 1
    assert is_told("28.5 MiB are held outside Python's view") == 0
    assert is_told("the program itself holds it") == 1
