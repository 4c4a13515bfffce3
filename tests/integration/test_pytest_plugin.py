"""The plugin in real pytest processes, on projects made for each test."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from commands import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

_IS_INSTALLED = any(one.name == "membudget" for one in entry_points(group="pytest11"))

_HEAD = """
import asyncio, logging, os, unittest, warnings
import pytest
kept = []
"""


class Outcome:
    """What a pytest run printed and how it ended."""

    def __init__(self, end: subprocess.CompletedProcess[str]) -> None:
        self.code = end.returncode
        self.text = end.stdout + end.stderr

    def counts(self, **expected: int) -> bool:
        """Whether the last line tells these outcomes and no failure besides."""
        last = next(line for line in reversed(self.text.splitlines()) if " in " in line)
        told = all(f"{count} {name}" in last for name, count in expected.items())
        return told and ("failed" in expected or "failed" not in last) and "error" not in last


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Runs pytest on a test file of that text."""
    return Runner(tmp_path)


class Runner:
    """A project of its own with one test file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pytest.ini").write_text(
            "[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n"
        )

    def __call__(self, text: str, *options: str) -> Outcome:
        """Run it."""
        (self.folder / "test_it.py").write_text(_HEAD + text)
        load = () if _IS_INSTALLED else ("-p", "membudget.testing.plugin")
        return Outcome(
            subprocess.run(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *load, *options],
                capture_output=True,
                text=True,
                check=False,
                cwd=self.folder,
                env=clean_environment({"PYTEST_ADDOPTS": "", "COLUMNS": "120"}),
                timeout=100,
            )
        )


def test_a_leaking_test_fails_and_says_where(run: Runner) -> None:
    """The line, the container and the figure."""
    end = run("""
@pytest.mark.no_leak(calls=100)
def test_orders():
    kept.append(str(len(kept)))
""")
    assert end.counts(failed=1), end.text
    assert "test_orders leaks about" in end.text
    assert "test_it.py:8" in end.text
    assert "kept.append(str(len(kept)))" in end.text
    assert "test_it.kept (list)  +1 items a call" in end.text


def test_tests_that_keep_nothing_pass(run: Runner) -> None:
    """Parametrised ones, methods and those with fixtures, which are set up once."""
    end = run("""
@pytest.fixture
def made():
    kept.append("made")
    yield len(kept)
    kept.append("over")

@pytest.mark.no_leak
@pytest.mark.parametrize("number", [1, 2])
def test_numbers(number, made, tmp_path):
    assert kept.count("made") == number
    assert tmp_path.exists()

class TestClass:
    @pytest.mark.no_leak(rounds=4, warmup=10, calls=50, seconds=5)
    def test_method(self):
        assert self
""")
    assert end.counts(passed=3), end.text


def test_what_pytest_keeps_of_each_call_is_no_leak(run: Runner) -> None:
    """Logs, output and warnings; `caplog` holds those of one call."""
    end = run(
        """
@pytest.mark.no_leak
def test_talkative(caplog):
    logging.getLogger("app").warning("number %s", 1)
    print("out" * 100)
    assert len(caplog.records) == 1

@pytest.mark.no_leak
@pytest.mark.filterwarnings("always")
def test_warns(capsys):
    warnings.warn("careful")
    print("out")
    assert capsys.readouterr().out == "out\\n"
""",
        "-W",
        "default",
    )
    assert end.counts(passed=2), end.text


def test_what_was_printed_before_a_check_is_shown(run: Runner) -> None:
    """And of the calls only the first."""
    end = run("""
def test_it(leak_check):
    print("before the check")
    leak_check(lambda: print("in the check"))
    assert False
""")
    assert end.counts(failed=1), end.text
    assert "\nbefore the check" in end.text
    assert end.text.count("\nin the check") < 10


def test_a_failing_test_fails_as_it_would_and_tells_its_call(run: Runner) -> None:
    """With its own traceback; skips and expected failures pass through too."""
    end = run("""
@pytest.mark.no_leak
def test_fails():
    kept.append(1)
    assert len(kept) < 30

@pytest.mark.no_leak
def test_skips():
    pytest.skip("not here")

@pytest.mark.no_leak(calls=100)
@pytest.mark.xfail(strict=True)
def test_leaks():
    kept.append(str(len(kept)))
""")
    assert end.counts(failed=1, skipped=1, xfailed=1), end.text
    assert "assert 30 < 30" in end.text
    assert "in call 30 of a leak check" in end.text


def test_unittest_methods_are_called_between_one_set_up_and_tear_down(run: Runner) -> None:
    """Coroutine methods on the loop of their case."""
    end = run("""
class Plain(unittest.TestCase):
    def setUp(self):
        kept.append("set up")

    @pytest.mark.no_leak
    def test_fine(self):
        self.assertEqual(kept.count("set up"), 1)

    @pytest.mark.no_leak(calls=100)
    def test_leaks(self):
        kept.append(str(len(kept)))

class Async(unittest.IsolatedAsyncioTestCase):
    @pytest.mark.no_leak
    async def test_fine(self):
        await asyncio.sleep(0)

    @pytest.mark.no_leak(calls=100)
    async def test_leaks(self):
        kept.append(str(len(kept)))
""")
    assert end.counts(failed=2, passed=2), end.text
    assert "Plain.test_leaks leaks" in end.text
    assert "Async.test_leaks leaks" in end.text


def test_coroutine_tests_run_without_another_plugin(run: Runner) -> None:
    """By asyncio.run; tasks left behind are named."""
    end = run("""
@pytest.fixture
def number():
    return 7

@pytest.mark.no_leak
async def test_fine(number):
    await asyncio.sleep(0)
    assert number == 7

async def forgotten():
    await asyncio.sleep(3600)

@pytest.mark.no_leak(calls=20)
async def test_tasks():
    kept.append(asyncio.create_task(forgotten()))
""")
    assert end.counts(failed=1, passed=1), end.text
    assert "(forgotten)" in end.text
    assert "tasks" in end.text


@pytest.mark.skipif(find_spec("anyio") is None, reason="anyio is not installed")
def test_coroutine_tests_run_on_the_loop_of_their_plugin(run: Runner) -> None:
    """Here anyio's; within them the fixture is awaited."""
    end = run(
        """
@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
@pytest.mark.no_leak
async def test_fine():
    await asyncio.sleep(0)

@pytest.mark.anyio
@pytest.mark.no_leak(calls=100)
async def test_leaks():
    kept.append(str(len(kept)))

@pytest.mark.anyio
async def test_fixture(leak_check):
    loop = asyncio.get_running_loop()
    async def call():
        assert asyncio.get_running_loop() is loop
    assert not (await leak_check(call)).is_leak
"""
    )
    assert end.counts(failed=1, passed=2), end.text
    assert "test_leaks leaks" in end.text


def test_the_fixture_checks_any_function(run: Runner) -> None:
    """And returns what it found."""
    end = run("""
def test_fine(leak_check):
    result = leak_check(divmod, 7, 3, rounds=4)
    assert not result.is_leak and result.calls >= 600

def test_leaks(leak_check):
    def keep(number):
        kept.append([number])
    leak_check(keep, 7, calls=100)

async def call():
    kept.append([1])

def test_coroutine(leak_check):
    leak_check(call, calls=100)
""")
    assert end.counts(failed=2, passed=1), end.text
    assert "keep leaks" in end.text
    assert "call leaks" in end.text


def test_descriptors_left_open_fail_the_test(run: Runner) -> None:
    """Named, and before they run out."""
    end = run("""
@pytest.mark.no_leak
def test_files():
    kept.append(os.open(os.devnull, os.O_RDONLY))
""")
    assert end.counts(failed=1), end.text
    assert "file descriptors" in end.text
    assert "/dev/null" in end.text


def test_a_test_may_not_hold_more_than_it_says(run: Runner) -> None:
    """At most, not only at its end; and with both markers at once."""
    end = run("""
def fill(size):
    return bytearray(b"x") * (size << 20)

@pytest.mark.membudget("64MiB")
def test_within():
    fill(32)

@pytest.mark.membudget("16MiB")
def test_beyond():
    fill(48)

@pytest.mark.membudget(64 << 20)
@pytest.mark.no_leak(calls=20, warmup=5)
def test_both():
    fill(1)

class Case(unittest.TestCase):
    @pytest.mark.membudget("16MiB")
    def test_method(self):
        fill(48)
""")
    assert end.counts(failed=2, passed=2), end.text
    assert "test_beyond held 4" in end.text
    assert "may hold 16.0 MiB" in end.text


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("membudget", "write membudget('64MiB')"),
        ("membudget('64')", "has no unit"),
        ("no_leak(round=3)", "does not know round"),
        ("no_leak(3)", "does not know 3"),
        ("no_leak(rounds=1)", "give 2 or more"),
    ],
)
def test_a_marker_that_cannot_be_meant_fails_the_test(run: Runner, marker: str, told: str) -> None:
    """And says what to write."""
    end = run(f"@pytest.mark.{marker}\ndef test_it(): pass\n")
    assert end.counts(failed=1), end.text
    assert told in end.text
    assert "During handling" not in end.text


def test_a_project_without_markers_sees_no_difference(run: Runner) -> None:
    """The same outcomes as without the plugin, and nothing of ours loaded but the plugin."""
    text = """
import sys

def test_loaded():
    ours = {name for name in sys.modules if name.startswith("membudget")}
    assert ours <= {"membudget", "membudget.testing", "membudget.testing.plugin"}, ours
    assert "numpy" not in sys.modules and "tracemalloc" not in sys.modules

def test_fails():
    assert 0

class Case(unittest.TestCase):
    def test_method(self):
        self.assertTrue(True)

@pytest.mark.skip
def test_skipped(): pass
"""
    outcomes = [run(text, "-q"), run(text, "-q", "-p", "no:membudget.testing.plugin")]
    if _IS_INSTALLED:
        outcomes.append(run(text, "-q", "-p", "no:membudget"))
    for end in outcomes:
        assert end.counts(failed=1, passed=2, skipped=1), end.text


def test_the_markers_are_listed(run: Runner) -> None:
    """By `pytest --markers`."""
    end = run("", "--markers")
    assert "@pytest.mark.membudget(size)" in end.text
    assert "@pytest.mark.no_leak(rounds=6" in end.text


def test_a_test_that_runs_again_is_checked_again(run: Runner) -> None:
    """As plugins that repeat failed tests do."""
    (run.folder / "conftest.py").write_text("""
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    for _ in range(2):
        item._initrequest()
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            item.ihook.pytest_runtest_logreport(report=report)
    return True
""")
    end = run("""
@pytest.mark.no_leak(calls=50)
def test_leaks():
    kept.append(str(len(kept)))
""")
    assert end.counts(failed=2), end.text


@pytest.mark.skipif(find_spec("xdist") is None, reason="pytest-xdist is not installed")
def test_workers_of_xdist_check_too(run: Runner) -> None:
    """Each its own tests."""
    end = run(
        """
@pytest.mark.no_leak(calls=50)
@pytest.mark.parametrize("number", range(4))
def test_it(number):
    if number % 2:
        kept.append(str(len(kept)))
""",
        "-n",
        "2",
    )
    assert end.counts(failed=2, passed=2), end.text


def test_the_check_leaves_nothing_behind_itself(request: pytest.FixtureRequest) -> None:
    """The oracle of this repository looks at the same things after each of its tests."""
    from membudget.testing.marked import checker

    kept: list[str] = []
    check = checker(request.node)
    assert not check(int, calls=50).is_leak
    with pytest.raises(pytest.fail.Exception, match="leaks"):
        check(lambda: kept.append(str(len(kept))), calls=50)
