"""The tests of this folder run in a guest, all in one, and are told here as if they ran here."""

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from guest import NoGuestError, run_in_guest

_TOLD = "GUEST_TOLD"
"""In the guest: the file for what came of each test."""
_REQUIRED = "REQUIRE_GUEST"
"""Where a guest must be had, its lack fails."""
_PATIENCE = 500.0
_PASSED = ("PYTHON", "MEMBUDGET_PURE")

_outcomes = pytest.StashKey[dict[str, tuple[str, str]]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first one that runs waits for all."""
    if _TOLD not in os.environ:
        for item in _ours(items):
            item.add_marker(pytest.mark.timeout(_PATIENCE + 50))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Outside, a test is what came of it in the guest."""
    if _TOLD in os.environ:
        return None
    stash = pyfuncitem.session.stash
    if _outcomes not in stash:
        stash[_outcomes] = _run_all(pyfuncitem.session)
    outcome, text = stash[_outcomes][_plain_id(pyfuncitem)]
    if outcome == "skipped":
        pytest.skip(text)
    if outcome != "passed":
        pytest.fail(text, pytrace=False)
    return True


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Inside, what came of a test goes to a file."""
    if _TOLD in os.environ and (report.when == "call" or not report.passed):
        text = "\n".join([report.longreprtext, *(text for _title, text in report.sections)])
        with open(os.environ[_TOLD], "a", encoding="utf-8") as file:
            file.write(json.dumps([report.nodeid, report.outcome, text]) + "\n")


def _run_all(session: pytest.Session) -> dict[str, tuple[str, str]]:
    """What came of all tests of this folder that were asked for, by name."""
    names = [_plain_id(item) for item in _ours(session.items)]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory(prefix="membudget-told-") as folder:
        told = Path(folder, "told")
        told.touch()
        options = [
            "--basetemp",
            str(told.with_name("folders")),
            "-o",
            "addopts=--import-mode=importlib",
        ]
        environment = {name: os.environ[name] for name in os.environ if name.startswith(_PASSED)}
        environment[_TOLD] = str(told)
        try:
            printed = run_in_guest([*command, *options, *names], environment, _PATIENCE)
        except NoGuestError as error:
            outcome = "failed" if os.environ.get(_REQUIRED) else "skipped"
            return dict.fromkeys(names, (outcome, str(error)))
        outcomes: dict[str, tuple[str, str]] = {}
        for line in told.read_text().splitlines():
            name, outcome, text = json.loads(line)
            if name not in outcomes or outcome == "failed":
                outcomes[name] = (outcome, text)
    untold = ("failed", f"the guest ended before it:\n{printed}")
    return {name: outcomes.get(name, untold) for name in names}


def _ours(items: list[pytest.Item]) -> list[pytest.Item]:
    return [item for item in items if item.path.is_relative_to(Path(__file__).parent)]


def _plain_id(item: pytest.Item) -> str:
    """A test's name without the group that a runner in parallel puts after it."""
    return item.nodeid.removesuffix("@guest")
