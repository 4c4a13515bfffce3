"""`membudget report`: of a process that runs, of a recording, as text, JSON and a page."""

import contextlib
import json
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from commands import membudget, ready_process
from membudget.core.wire import plain
from report_scene import leaking
from waiting import eventually

PROGRAM = """
    import sys, membudget
    budget = membudget.start("600MiB", monitoring={"snapshot_interval": "100ms"})
    prices = budget.cache("<script>prices</script>", max_bytes="20MiB")
    for number in range(2000):
        prices.set(number, "x" * 1000)
    try:
        with budget.admit("900MiB"):
            pass
    except membudget.OverBudgetError:
        pass
    print("ready", flush=True)
    sys.stdin.read()
    budget.stop()
"""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The program, ready; its number, and where it can be found."""
    environment = {"MEMBUDGET_AGENT_DIRECTORY": str(folder / "meet")}
    words = (sys.executable, "-c", textwrap.dedent(PROGRAM))
    with ready_process(*words, environment=environment) as process:
        yield process.pid, environment
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(100) == 0


def test_a_running_process_is_reported_on(tmp_path: Path) -> None:
    """Its samples, its cache with limit and fill, the refusal; in all three forms."""
    with running(tmp_path) as (pid, environment):
        words = ("report", "--pid", str(pid))

        def asked() -> dict[str, Any]:
            found = membudget(*words, "--json", environment=environment)
            told: dict[str, Any] = json.loads(found.stdout) if not found.returncode else {}
            memory = told.get("memory")
            is_enough = isinstance(memory, dict) and memory["samples"] >= 5
            return told if is_enough else {}

        made = eventually(asked)
        (part,) = made["parts"]
        assert part["name"] == "<script>prices</script>"
        assert part["max_bytes"] == 20 << 20
        assert 0.05 < part["fill_share"] < 0.5
        assert "refused" in [one["kind"] for one in made["events"]]
        assert made["process"] == {"name": "python -c", "pid": pid}
        text = membudget("report", environment=environment)
        assert text.returncode == 0
        assert "600 MiB" in text.stdout
        page = tmp_path / "page.html"
        found = membudget(*words, "--html", str(page), environment=environment)
        assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
        written = page.read_text(encoding="utf-8")
        assert "\\u003cscript\\u003eprices" in written
        assert "<script>prices" not in written


def test_a_recording_is_held_against_a_limit_that_is_given(tmp_path: Path) -> None:
    """12 MiB an hour under 700 MiB: the limit comes in about 26 hours, and it is said when."""
    path = tmp_path / "rows.jsonl"
    rows = [json.dumps(plain(one.replace(limit=None))) for one in leaking()]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    words = ("report", "--samples", str(path), "--json")
    assert json.loads(membudget(*words).stdout)["forecast"]["seconds_left_s"] is None
    made = json.loads(membudget(*words, "--limit", "700MiB").stdout)
    assert made["forecast"]["seconds_left_s"] / 3600 == pytest.approx(26, abs=3)
    assert membudget(*words, "--limit", "700").returncode == 64


def test_nobody_to_ask_is_3(tmp_path: Path) -> None:
    """Nobody under a budget, or a process without one."""
    environment = {"MEMBUDGET_AGENT_DIRECTORY": str(tmp_path)}
    found = membudget("report", environment=environment)
    assert found.returncode == 3
    assert "no process of yours" in found.stderr
    found = membudget("report", "--pid", str(os.getpid()), environment=environment)
    assert found.returncode == 3
    assert "cannot be asked" in found.stderr


def test_several_processes_need_a_choice(tmp_path: Path) -> None:
    """Which one is meant cannot be guessed."""
    with running(tmp_path) as (one, environment), running(tmp_path) as (two, _):

        def refused() -> str:
            told = membudget("report", environment=environment)
            return told.stderr if told.returncode == 64 else ""

        told = eventually(refused)
        assert str(one) in told
        assert str(two) in told


def test_a_recording_of_another_program_is_reported_on(tmp_path: Path) -> None:
    """Two minutes by mprof: figures and a page, and no verdict yet."""
    rows = ["CMDLINE python train.py", "FUNC train.step 50.0 1763700000.0 80.0 1763700090.0"]
    rows += [f"MEM {50 + at / 40:.6f} {1763700000 + at / 10:.4f}" for at in range(1200)]
    path = tmp_path / "mprofile.dat"
    path.write_text("\n".join(rows) + "\n", encoding="ascii")
    page = tmp_path / "page.html"
    found = membudget("report", "--samples", str(path), "--html", str(page), "--json")
    made = json.loads(found.stdout)
    assert (found.returncode, made["process"]["name"]) == (0, "python train.py")
    assert made["memory"]["samples"] == 1200
    assert made["leak"]["confidence"] == "none"
    assert made["operations"] == [
        {"name": "train.step", "times": 1, "grew_bytes": 30 << 20, "took_s": 90.0}
    ]
    assert "Too early to say whether it leaks." in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--samples", "x", "--pid", "1"), "exclude each other"),
        (("--bounds", "x"), "--bounds goes with --samples"),
        (("--limit", "1MiB"), "--limit goes with --samples"),
        (("--samples", __file__), "begins no kind of file that is known"),
        (("--hours", "0"), "--hours"),
        (("--hours", "nan"), "--hours is no number above zero: give one"),
    ],
)
def test_wrong_usage_is_64(words: tuple[str, ...], says: str) -> None:
    found = membudget("report", *words)
    assert found.returncode == 64
    assert says in found.stderr


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    path.write_text('{"wall": 1700000000, "rss": 1048576}\n')
    page = str(tmp_path / "no" / "page.html")
    found = membudget("report", "--samples", str(path), "--html", page)
    assert found.returncode == 64
    assert page in found.stderr


@pytest.mark.parametrize("what", ["document", "link", "pipe", "folder"])
def test_a_page_replaces_nothing_but_a_page(tmp_path: Path, what: str) -> None:
    """What else stands there stays, and is not waited for."""
    path, page = tmp_path / "few.jsonl", tmp_path / "page.html"
    path.write_text('{"wall": 1700000000, "rss": 1048576}\n')
    (precious := tmp_path / "precious").write_text("dear diary")
    if what == "document":
        precious.rename(page)
        precious = page
    elif what == "link":
        page.symlink_to(precious)
    elif what == "pipe":
        os.mkfifo(page)
    else:
        page.mkdir()
    before = sorted(tmp_path.iterdir()), page.lstat().st_ino
    found = membudget("report", "--samples", str(path), "--html", str(page))
    assert found.returncode == 64
    assert f"--html {page} is" in found.stderr
    assert precious.read_text() == "dear diary"
    assert (sorted(tmp_path.iterdir()), page.lstat().st_ino) == before
