"""`membudget demo`: the main job, as a newcomer meets it."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cgroup_v1 import MOUNT, own_folder, unavailable
from commands import clean_environment, ended, membudget
from terminal import on_terminal, plain_lines
from waiting import eventually

REASON = unavailable()
in_group = pytest.mark.skipif(REASON is not None, reason=str(REASON))
WORDS = (sys.executable, "-m", "membudget", "demo", "--limit", "100MiB", "--for")
HIDDEN = f'mount -t tmpfs none "{MOUNT}" && exec "$@"'
MARK = "MARK_OF_A_DEMO"


@contextlib.contextmanager
def nothing_left() -> Iterator[dict[str, str]]:
    """Variables for a demo, of which neither a process nor a memory group is left at the end."""
    mark = secrets.token_hex(8)
    yield {MARK: mark}
    sought = f"{MARK}={mark}".encode()
    eventually(lambda: not [path for path in Path("/proc").glob("[0-9]*") if has(path, sought)])
    assert not groups()


def has(process: Path, variable: bytes) -> bool:
    try:
        return variable in (process / "environ").read_bytes()
    except OSError:
        return False


def groups() -> list[Path]:
    """Those of demos that have ended or were started here; other tests may run one as well."""
    found = own_folder().glob("membudget-demo-*")
    return [path for path in found if not Path(f"/proc/{path.name.split('-')[2]}").exists()]


@in_group
def test_one_is_killed_by_the_kernel_and_the_other_lives() -> None:
    """A line a second for whoever is no terminal, three of what happened, and what is next."""
    with nothing_left() as environment:
        result = membudget("demo", "--for", "4s", "--limit", "100MiB", environment=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    out = result.stdout
    assert "the kernel kills what needs" in out
    assert re.search(
        r"^Without a budget: killed by the kernel after .*, [\d,]+ answers lost\.$",
        out,
        re.MULTILINE,
    )
    assert re.search(
        r"^With a budget: alive after 4\.\d s, at most .* of 100 MiB\.$", out, re.MULTILINE
    )
    assert re.search(r"^It took in .*, freed .*, and found \d+% of the answers", out, re.MULTILINE)
    assert "membudget run --limit 400MiB -- python app.py" in out
    lines = out.splitlines()
    assert [line for line in lines if re.match(r" +[34] s   without: KILLED at .* with: ", line)]
    assert max(map(len, lines)) < 80
    assert "\x1b" not in out
    assert not result.stderr


def test_the_demo_speaks_json_for_scripts() -> None:
    """Every line is an object, the last one the summary; what was let go had been taken in."""
    result = membudget("demo", "--for", "3s", "--limit", "100MiB", "--json")
    *seconds, last = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["seconds"] for one in seconds][:2] == [1, 2]
    summary = last["summary"]
    assert summary["kept"]
    assert summary["twin"]["killed_by"] == ("demo" if summary["group"] is None else "kernel")
    assert summary["peak"] <= summary["limit"] == 100 << 20
    # What each entry held is more than the thousand characters of its answer.
    assert summary["inserted"] >= summary["evicted"] + 1000 * summary["entries"]
    assert summary["evicted"] > 0


@in_group
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_where_no_group_can_be_made_the_demo_stops_it_and_says_so() -> None:
    """As a user without rights, or in a container."""
    with nothing_left() as environment:
        command = ["unshare", "--mount", "sh", "-c", HIDDEN, "sh", *WORDS, "2s"]
        result = ended(command, environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no memory group can be made here" in result.stdout
    assert "Without a budget: stopped at the limit after" in result.stdout
    assert "With a budget: alive" in result.stdout


@pytest.mark.parametrize("columns", [80, 120])
def test_in_a_terminal_charts_are_redrawn_in_place(columns: int) -> None:
    """Nothing is wider than the terminal, and what is well is green."""
    written, code = on_terminal([*WORDS, "2s"], columns=columns)
    assert code == 0, written
    assert "\x1b[12A" in written
    assert "\x1b[32m" in written
    lines = plain_lines(written)
    assert columns - 2 <= max(map(len, lines)) < columns
    assert any("█" in line for line in lines)


def test_no_color_ends_colour_alone() -> None:
    """As no-color.org has it."""
    written, code = on_terminal([*WORDS, "1s"], environment={"NO_COLOR": "1"})
    assert code == 0, written
    assert "\x1b[12A" in written
    assert not re.search(r"\x1b\[[\d;]*m", written)


@pytest.mark.parametrize("at", ["Two workers", "█"])
def test_ctrl_c_leaves_nothing_behind(at: str) -> None:
    """Neither at the beginning nor in the middle."""
    with nothing_left() as environment:
        written, code = on_terminal([*WORDS, "60s"], environment=environment, interrupt_at=at)
    assert code == 130, written
    assert written.endswith("Stopped: both workers have ended.\r\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_else_ends_it_leaves_nothing_behind_either(number: signal.Signals) -> None:
    """A service manager, a terminal that is closed."""
    with (
        nothing_left() as environment,
        subprocess.Popen(
            [*WORDS, "60s"],
            stdout=subprocess.PIPE,
            env=clean_environment({**environment, "PYTHONUNBUFFERED": "1"}),
        ) as process,
    ):
        assert process.stdout is not None
        while b"without: " not in process.stdout.readline():
            pass
        os.kill(process.pid, number)
        process.communicate(timeout=60)
        assert process.returncode == 128 + number


def test_a_reader_that_goes_away_ends_it() -> None:
    """`membudget demo | head -1`."""
    with nothing_left() as environment:
        command = ["sh", "-c", '"$@" | head -1', "sh", *WORDS, "60s"]
        result = ended(command, environment)
    assert result.stdout.startswith("Two workers")
    assert not result.stderr


def test_a_limit_too_small_for_the_demo_is_refused_in_one_line() -> None:
    """No worker is started."""
    result = membudget("demo", "--limit", "10MiB")
    assert result.returncode == 64
    assert result.stderr.count("\n") == 1
