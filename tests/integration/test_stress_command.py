"""`membudget stress` as CI runs it: its exit codes, its words, its JSON."""

import json
import sys
from pathlib import Path

import pytest

from commands import Result, membudget

_MODULE = """
import asyncio
kept = []

def leaks():
    print("talking")
    kept.append(str(len(kept)))

def fine():
    return [1] * 100

async def fine_too():
    await asyncio.sleep(0)

def needs(what):
    return what

def raises():
    raise KeyError("no")

class Service:
    @staticmethod
    def work():
        kept.append([1])

number = 7
"""
_LEAKS = (
    "import time\nkept = []\nwhile True: kept.append(bytearray(b'x') * 100_000); time.sleep(0.005)"
)
_FINE = "import time\nfor _ in range(10_000): bytearray(100_000); time.sleep(0.005)"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "service.py").write_text(_MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("path", "code"), [("service:fine", 0), ("service:fine_too", 0), ("service:leaks", 1)]
)
def test_a_function_is_called_in_rounds(path: str, code: int) -> None:
    """The exit code is the verdict."""
    end = membudget("stress", "--calls", "100", path)
    assert end.returncode == code, end.stdout + end.stderr
    assert path in end.stdout
    assert "talking" not in end.stdout
    if code:
        assert "service.py:7" in end.stdout
        assert "service.kept (list)" in end.stdout


@pytest.mark.usefixtures("here")
def test_the_function_may_lie_within_a_class() -> None:
    assert membudget("stress", "--calls", "50", "service:Service.work").returncode == 1


@pytest.mark.usefixtures("here")
def test_json_tells_all() -> None:
    """One object, alone on standard output."""
    end = membudget("stress", "--json", "--calls", "50", "--rounds", "3", "service:leaks")
    told = json.loads(end.stdout)
    assert end.returncode == 1
    assert told["is_leak"] is True
    assert told["series"][0]["calls"] == 50
    assert len(told["series"][0]["blocks"]) == 3


@pytest.mark.usefixtures("here")
def test_a_function_that_raises_cannot_be_judged() -> None:
    end = membudget("stress", "service:raises")
    assert end.returncode == 2
    assert "KeyError: 'no'" in end.stderr
    assert "raised" in end.stderr


def test_a_module_that_raises_cannot_be_judged(here: Path) -> None:
    """Which is no leak, and told in a line."""
    (here / "broken.py").write_text("1 / 0")
    end = membudget("stress", "broken:fine")
    told = "membudget: broken raised as it was imported (ZeroDivisionError: division by zero)"
    assert (end.returncode, end.stderr) == (2, f"{told}: mend it\n")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "arguments",
    [
        ("service:nothing",),
        ("service:number",),
        ("service:needs",),
        ("no_such_module:function",),
        ("--", "no-such-command"),
        ("--calls", "5", "--", "true"),
        ("--rounds", "2", "service:fine"),
        ("--for", "10", "service:fine"),
        ("service:fine", "--for", "10s"),
        (),
    ],
)
def test_wrong_usage_is_told_in_a_line(arguments: tuple[str, ...]) -> None:
    end = membudget("stress", *arguments)
    assert end.returncode == 64, end.stdout + end.stderr
    assert end.stderr.startswith("membudget: ")
    assert end.stderr.count("\n") == 1


def watch(program: str, *options: str) -> Result:
    return membudget(
        "stress", "--for", "4s", "--rounds", "4", *options, "--", sys.executable, "-c", program
    )


def test_a_program_is_watched_for_its_time_and_ended() -> None:
    end = watch(_LEAKS)
    assert end.returncode == 1, end.stdout + end.stderr
    assert "leak in 4.0 s" in end.stdout
    assert "floors" in end.stdout


def test_a_program_without_a_leak_passes() -> None:
    end = watch(_FINE, "--json")
    assert end.returncode == 0, end.stdout + end.stderr
    told = json.loads(end.stdout)
    assert told["verdict"] == "no leak"
    assert told["code"] is None
    assert len(told["floors"]) == 4


def test_a_program_that_fails_cannot_be_judged() -> None:
    end = watch("raise SystemExit(3)")
    assert end.returncode == 2
    assert "ended     with 3" in end.stdout
