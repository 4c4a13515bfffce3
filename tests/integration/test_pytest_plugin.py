"""The plugin in real pytest processes, on projects made for each test."""

from pathlib import Path

import pytest

from pytest_runs import Runner


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Runs pytest on a test file of that text."""
    return Runner(tmp_path)


def test_a_leaking_test_fails_and_says_where(run: Runner) -> None:
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


def test_descriptors_left_open_fail_the_test(run: Runner) -> None:
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


def test_the_check_leaves_nothing_behind_itself(request: pytest.FixtureRequest) -> None:
    """The oracle of this repository looks at the same things after each of its tests."""
    from membudget.testing.markers import checker

    kept: list[str] = []
    check = checker(request.node)
    assert not check(int, calls=50).is_leak
    with pytest.raises(pytest.fail.Exception, match="leaks"):
        check(lambda: kept.append(str(len(kept))), calls=50)
