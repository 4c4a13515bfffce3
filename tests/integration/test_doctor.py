"""`membudget doctor` as a person runs it: real groups, real programs, other users."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from cgroup_v1 import limited_group, unavailable
from commands import Result, clean_environment, ended, membudget, ready_process
from terminal import on_terminal, plain_lines
from waiting import eventually

MIB = 1 << 20
DOCTOR = [sys.executable, "-m", "membudget", "doctor", "--json"]

needs_group = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

Row = dict[str, str]


def rows_of(result: Result, subject: str | None = None) -> list[Row]:
    told = json.loads(result.stdout)
    assert told["exit"] == result.returncode
    rows: list[Row] = told["findings"]
    return [row for row in rows if subject in (None, row["subject"])]


def doctor(*arguments: str, environment: Mapping[str, str] | None = None) -> Result:
    return membudget("doctor", "--json", *arguments, environment=environment)


def found(rows: list[Row], text: str) -> Row:
    (row,) = (row for row in rows if text in row["found"])
    return row


@needs_group
@pytest.mark.parametrize(
    ("environ", "code", "told"),
    [
        ({}, 0, ("200 MiB by cgroup v1 ", "rules", "ok")),
        ({"MEMBUDGET_LIMIT": "500MiB"}, 1, ("above the 200 MiB of the cgroup", "", "warning")),
        ({"MEMBUDGET_LIMIT": "150MiB"}, 0, ("150 MiB by the settings", "rules", "ok")),
        (
            {"MEMBUDGET_LIMIT": "4MiB"},
            2,
            ("a budget would start and could not be kept", "4.00 MiB", "danger"),
        ),
        ({"MEMBUDGET_LIMIT": "4"}, 1, ("MEMBUDGET_LIMIT '4' has no unit", "", "warning")),
        ({"MALLOC_TRIM_THRESHOLD_": "65536"}, 1, ("MALLOC_TRIM_THRESHOLD_=65536", "", "warning")),
    ],
)
def test_in_a_real_group_its_limit_and_the_settings_are_weighed(
    environ: dict[str, str], code: int, told: tuple[str, str, str]
) -> None:
    """The exit code says whether something is to be done."""
    with limited_group(200 * MIB) as group:
        result = group.run(DOCTOR, env=clean_environment(environ))
    row = found(rows_of(result), told[0])
    assert told[1] in row["found"]
    assert (row["level"], result.returncode) == (told[2], code)


@needs_group
def test_a_group_without_room_is_not_filled_by_looking() -> None:
    """Attempts that could get others killed are left out, and said to be."""
    with limited_group(40 * MIB) as group:
        result = group.run([*DOCTOR, "--", sys.executable], env=clean_environment())
        assert group.oom_kills() == 0
    rows = rows_of(result)
    assert [row["subject"] for row in rows if "not tried" in row["found"]] == ["start", "reach"]


@needs_linux
def test_a_resource_limit_rules_where_it_is_the_smallest() -> None:
    """Set by a shell, read from the kernel's own table."""
    limited = ["sh", "-c", f'ulimit -S -v {(1 << 30) >> 10} && exec "$@"', "sh", *DOCTOR]
    result = ended(limited)
    assert "RLIMIT_AS rules" in found(rows_of(result), "1.00 GiB by")["found"]


@needs_linux
def test_on_a_terminal_lines_are_as_wide_as_it_is() -> None:
    """But for what has no blank; a pipe gets whole lines, for `grep`."""
    written, _code = on_terminal(DOCTOR[:-1], columns=60)
    wide = [line for line in plain_lines(written) if len(line) > 60]
    assert all(len(line.split()) == 1 for line in wide)
    assert max(map(len, membudget("doctor").stdout.splitlines())) > 60


@needs_linux
def test_whether_the_brake_can_be_armed_is_tried_and_leaves_nothing() -> None:
    """It is tried in a process of its own."""
    result = doctor(environment={"MEMBUDGET_LIMIT": "300MiB"})
    (brake,) = rows_of(result, "brake")
    assert brake["level"] == "ok"
    assert "more may be asked for" in brake["found"]


def isolated(folder: Path) -> str:
    """A script whose first line closes it."""
    script = folder / "app"
    script.write_text(f"#!{sys.executable} -I\n")
    script.chmod(0o755)
    return str(script)


@needs_linux
def test_commands_are_told_by_whether_run_reaches_them(tmp_path: Path) -> None:
    """The interpreter itself is asked."""
    cases = [
        ([sys.executable, "app.py", "-I"], "ok", "is reached"),
        ([sys.executable, "-I", "app.py"], "warning", "started with -I"),
        ([sys.executable, "-S", "app.py"], "warning", "started with -S"),
        ([isolated(tmp_path)], "warning", "started with -I"),
        (["true"], "warning", "is no Python"),
        (["sh", "-c", "true"], "note", "is a shell"),
        (["no-such-command"], "danger", "was not found"),
    ]
    for command, level, told in cases:
        result = doctor("--", *command)
        (row,) = rows_of(result, "reach")
        assert (row["level"], told in row["found"]) == (level, True), row
        assert result.returncode == {"danger": 2, "warning": 1}.get(level, 0)


@needs_linux
def test_an_interpreter_without_membudget_is_reached_as_under_run(tmp_path: Path) -> None:
    """A venv of its own does not see ours, and is lent it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], check=True)
    python = str(tmp_path / "bin" / "python")
    (row,) = rows_of(doctor("--", python, "app.py"), "reach")
    assert (row["level"], "is reached" in row["found"]) == ("ok", True)


@needs_linux
def test_a_sitecustomize_of_ones_own_is_named(tmp_path: Path) -> None:
    """It is loaded after ours, as under run, and may print."""
    (tmp_path / "sitecustomize.py").write_text("print('hello')\n")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = doctor("--", sys.executable, "x.py", environment={"PYTHONPATH": paths})
    reached, own = rows_of(Result([], result.returncode, result.stdout.removeprefix("hello\n")),
                           "reach")  # fmt: skip
    assert reached["level"] == "ok"
    assert str(tmp_path) in own["found"]


FAMILY = """
    import subprocess, sys
    sleep = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    children = [
        subprocess.Popen(sleep, stdin=subprocess.PIPE),
        subprocess.Popen([sleep[0], "-I", *sleep[1:]], stdin=subprocess.PIPE),
        subprocess.Popen(["cat"], stdin=subprocess.PIPE),
    ]
    print("ready", flush=True)
    sys.stdin.read()
    for child in children:
        child.communicate()
"""


@needs_linux
def test_a_running_family_is_told_one_by_one(tmp_path: Path) -> None:
    """Who is under a budget, who is not and why, and what the brake says."""
    environment = {"MEMBUDGET_AGENT_DIRECTORY": str(tmp_path / "meet")}
    command = [sys.executable, "-m", "membudget", "run", "--quiet", "--limit", "300MiB", "--brake"]
    words = [*command, "--", sys.executable, "-c", textwrap.dedent(FAMILY)]
    with ready_process(*words, environment=environment) as process:

        def look() -> list[Row]:
            rows = rows_of(doctor("--pid", str(process.pid)))
            kept = [row for row in rows if "is under a budget" in row["found"]]
            return rows if len(kept) == 2 else []

        rows = eventually(look)
        process.communicate()
    assert found(rows, "is started with -I")["level"] == "warning"
    assert found(rows, "(cat) is no Python")["level"] == "note"
    assert found(rows, "armed: ")["subject"] == "brake"
    assert "rules" in found(rows, "300 MiB by the settings")["found"]
    assert found(rows, f"{tmp_path}/meet: 2 processes")["level"] == "ok"


@needs_linux
def test_a_process_that_is_not_there_or_not_ours_exits_3() -> None:
    """One line on standard error, and JSON all the same where it was asked for."""
    result = doctor("--pid", "4194304")
    assert (result.returncode, json.loads(result.stdout)) == (3, {"findings": [], "exit": 3})
    assert result.stderr.count("\n") == 1
    if os.geteuid() == 0:
        result = as_nobody("--pid", str(os.getpid()))
        assert result.returncode == 3
        assert result.stderr.startswith("membudget: process ")


def as_nobody(*arguments: str) -> Result:
    """Run it as a user without rights, in an interpreter that may be out of that user's reach."""
    text = """
        import os, sys
        import click, difflib, encodings.idna, json, locale, membudget.cli.doctor
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        membudget.cli.main()
    """
    return ended(
        [sys.executable, "-c", textwrap.dedent(text), "doctor", "--json", *arguments],
        {"MEMBUDGET_AGENT_DIRECTORY": "none"},
    )


@needs_linux
def test_another_user_gets_findings_and_no_traceback() -> None:
    """What may not be read or run is told as such."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    result = as_nobody()
    assert "Traceback" not in result.stderr
    assert len(rows_of(result)) > 10


def test_wrong_usage_exits_64() -> None:
    """A process and a program at once are two questions."""
    for arguments in (["--pid", "1", "--", "true"], ["--pid", "x"], ["--wat"]):
        result = doctor(*arguments)
        assert (result.returncode, result.stderr.count("\n")) == (64, 1)


def test_words_come_in_columns_with_a_summary_and_fit_any_terminal() -> None:
    """A terminal that has no arrow gets a question mark."""
    result = membudget("doctor", environment={"PYTHONIOENCODING": "ascii"})
    *lines, last = result.stdout.splitlines()
    assert all(line.split(" ")[0] in {"ok", "note", "warning", "danger", ""} for line in lines)
    assert last.endswith(" ok")
    assert "Traceback" not in result.stderr
