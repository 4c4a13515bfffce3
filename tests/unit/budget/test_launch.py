"""Which processes of a launched program are governed."""

from __future__ import annotations

import pytest

from membudget.budget.launch import helper_of


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
