"""The plugin on tests of every kind, beside other plugins, and where nothing is marked."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_runs import IS_INSTALLED, Runner


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


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
    if IS_INSTALLED:
        outcomes.append(run(text, "-q", "-p", "no:membudget"))
    for end in outcomes:
        assert end.counts(failed=1, passed=2, skipped=1), end.text


def test_the_markers_are_listed(run: Runner) -> None:
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
