"""What the doctor makes of commands and of families of processes."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from membudget.budget.reexec import flags_of, script_of
from membudget.cli.checkup import Finding, Grade
from membudget.cli.checkup.reach import MARK, Relative, answer_of, judge_family, judge_reach
from membudget.cli.program import Program, program_of
from membudget.cli.run import SUPERVISOR
from membudget.core.nouns import Status
from membudget.errors import ProbeError

PYTHON = "/usr/bin/python3"
REACHED = {"reached": True, "error": "", "path": PYTHON, "version": [3, 11, 7], "customized": ""}
FIGURES = Status(
    at=1.0, name="app", used=90 << 20, limit=400 << 20, source="configured", level="NORMAL",
    rate=0.0, seconds_left=None, peak=0, governed=0, reclaimed=0,
)  # fmt: skip
LAUNCHED = {"MEMBUDGET_LAUNCH": "lines"}


def script(folder: Path, text: str, name: str = "app") -> str:
    file = folder / name
    file.write_bytes(text.encode("latin-1"))
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ("-I x.py", ["-I"]),
        ("-Es -m app -I", ["-E", "-s"]),
        ("-W error -S x.py", ["-S"]),
        ("-Werror -X utf8 -I -c pass", ["-I"]),
        ("-BuE -", ["-E"]),
        ("--check-hash-based-pycs always -S x", ["-S"]),
        ("-SEmapp -I", ["-S", "-E"]),
        ("x.py -I -E -S", []),
        ("-m app -I", []),
        ("-c -I", []),
        ("", []),
    ],
)
def test_only_the_interpreters_own_flags_count(words: str, flags: list[str]) -> None:
    """Those behind the script are the program's."""
    assert list(flags_of(words.split())) == flags


@pytest.mark.parametrize(
    ("text", "kind", "path", "flags"),
    [
        ("#!/usr/bin/python3 -I\n", "python", PYTHON, ["-I"]),
        ("#! /usr/bin/python3\n", "python", PYTHON, []),
        ("#!/opt/env/bin/python3.13t -sE\n", "python", "/opt/env/bin/python3.13t", ["-s", "-E"]),
        ("#!/usr/bin/env -S no-such-python -I\n", "other", "no-such-python", []),
        ("#!/usr/bin/env -S A=1 python3.99 -I\n", "python", "python3.99", ["-I"]),
        ("#!/bin/sh\n'''exec' '/a b/python3' \"$0\" \"$@\"\n", "python", "/a b/python3", []),
        ("#!/bin/sh\nexec python3 x\n", "shell", "/bin/sh", []),
        ("#!/usr/bin/perl\n", "other", "/usr/bin/perl", []),
        ("#!\n", "other", "", []),
        ("plain text\n", "other", None, []),
        ("\x7fELF\x01\x01" + "\0" * 60, "other", None, []),
        ("\x7fELF\x02\x01" + "\0" * 60, "other", None, []),
        ("\x7fELF\x02\x01" + "\0" * 60 + "MEI\x0c\x0b\x0a\x0b\x0e", "frozen", None, []),
        ("\x7fELF\x02\x01" + "\0" * 60 + "libpython3.11.so", "embedding", None, []),
        ("\x7fELF\x02\x01" + "\0" * 60 + "Py_BytesMain", "embedding", None, []),
        ("\x7fELF\x02\x01" + "\0" * 60 + "libpython3.11.so PyConfig_InitIsolatedConfig",
         "isolated", None, []),
    ],
)  # fmt: skip
def test_a_command_is_told_by_its_file(
    text: str, kind: str, path: str | None, flags: list[str], tmp_path: Path
) -> None:
    """First lines, also those that pip writes for long paths, and binaries."""
    file = script(tmp_path, text)
    found = program_of([file, "-I"])
    assert (found.kind, found.path) == (kind, file if path is None else path)
    assert list(found.flags) == flags


def test_an_interpreter_is_known_by_its_name_or_by_what_it_leads_to(tmp_path: Path) -> None:
    """A version manager's stand-in is a script called python3; a link may be called anything."""
    shim = script(tmp_path, "#!/usr/bin/env bash\n", "python3")
    assert program_of([shim, "-E", "x.py"]) == Program(path=shim, kind="python", flags=("-E",))
    (tmp_path / "interpreter").symlink_to(Path(sys.executable).resolve())
    assert program_of([str(tmp_path / "interpreter")]).kind == "python"


@pytest.mark.parametrize(
    ("name", "kind"), [("sudo", "cleaning"), ("tini", "passing"), ("bash", "shell")]
)
def test_starters_of_other_programs_are_told_apart(name: str, kind: str, tmp_path: Path) -> None:
    assert program_of([script(tmp_path, "\x7fELF", name), "python"]).kind == kind


def test_env_with_a_clean_environment_hands_nothing_on(tmp_path: Path) -> None:
    """Its -i takes our variables away."""
    env = script(tmp_path, "\x7fELF", "env")
    assert program_of([env, "-i", "python"]).kind == "cleaning"
    assert program_of([env, "A=1", "python"]).kind == "passing"
    for words in ("-u PYTHONPATH", "--unset=PYTHONPATH", "PYTHONPATH=", "A=1 -C / PYTHONPATH=/a"):
        assert program_of([env, *words.split(), "python"]).kind == "cleaning"
    assert program_of([env, "-u", "HOME", "python", "-i"]).kind == "passing"


def test_what_a_passing_command_starts_is_looked_at_for_what_closes_it(tmp_path: Path) -> None:
    """An interpreter's own flags, and behind env any command; options of theirs are not known."""
    env, timeout = (script(tmp_path, "\x7fELF", name) for name in ("env", "timeout"))
    frozen = script(tmp_path, "\x7fELF\x02\x01" + "\0" * 60 + "MEI\x0c\x0b\x0a\x0b\x0e", "frozen")
    for command in (
        [env, sys.executable, "-I", "x.py"],
        [env, "-S", f"A=1 {sys.executable} -E"],
        [timeout, "-k", "1", "5", sys.executable, "-S", "x.py"],
        [env, "A=1", frozen],
    ):
        verdict = program_of(command).verdict()
        assert verdict is not None
        assert verdict.is_lost
    for command in (
        [env, sys.executable, "x.py", "-I"],
        [timeout, "5", sys.executable, "x.py", "-E"],
        [env, "no-such-command", "-I"],
        [env],
    ):
        verdict = program_of(command).verdict()
        assert verdict is not None
        assert not verdict.is_lost


@pytest.mark.parametrize(
    ("words", "file"),
    [("-X dev app.pex -I", "app.pex"), ("-m app", None), ("-c x", None), ("-", None), ("", None)],
)
def test_the_file_that_an_interpreter_runs_is_known(words: str, file: str | None) -> None:
    assert script_of(words.split()) == file


def test_a_command_that_is_not_there_is_told_from_one_that_cannot_run(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="was not found"):
        program_of(["/no/such/command"])
    (tmp_path / "app").touch()
    with pytest.raises(ProbeError, match="cannot be executed"):
        program_of([str(tmp_path / "app")])


@pytest.mark.parametrize(
    ("kind", "is_lost"),
    [
        ("shell", False), ("passing", False), ("embedding", False), ("cleaning", True),
        ("frozen", True), ("isolated", True), ("other", True),
    ],
)  # fmt: skip
def test_what_may_start_a_python_is_told_from_what_cannot(kind: str, is_lost: bool) -> None:  # noqa: FBT001
    for is_setuid in (False, True):
        verdict = Program(path="/bin/x", kind=kind, is_setuid=is_setuid).verdict()
        assert verdict is not None
        assert verdict.is_lost is (is_lost or is_setuid)
        assert verdict.advice


def test_an_interpreter_that_started_us_is_reached_and_its_own_start_is_named() -> None:
    """A sitecustomize that was there is loaded after ours."""
    program = Program(path=PYTHON, kind="python")
    (found,) = judge_reach(program, REACHED)
    assert found.grade is Grade.OK
    assert "Python 3.11.7, is reached" in found.found
    _, own = judge_reach(program, {**REACHED, "customized": "/etc/sitecustomize.py"})
    assert own.found.endswith("/etc/sitecustomize.py")


@pytest.mark.parametrize(
    ("flags", "changes", "told", "advice"),
    [
        (("-I",), {}, "started with -I, which ignores", "take it out of the command"),
        (("-S",), {}, "started with -S, which leaves out", "take it out of the command"),
        ((), {"version": [3, 8, 1]}, "needs 3.11", "newer Python"),
        (("-P",), {"error": "ImportError: no"}, "ImportError: no", f"{PYTHON} -m pip install"),
        ((), {}, "its site module did not load", "pip install"),
    ],
)
def test_why_an_interpreter_is_not_reached_is_told(
    flags: tuple[str, ...], changes: Mapping[str, Any], told: str, advice: str
) -> None:
    program = Program(path=PYTHON, kind="python", flags=flags)
    (found,) = judge_reach(program, {**REACHED, "reached": False, **changes})
    assert found.grade is Grade.WARNING
    assert told in found.found
    assert advice in found.advice


def test_an_interpreter_without_an_answer_is_a_warning() -> None:
    (found,) = judge_reach(Program(path=PYTHON, kind="python"), "it ended with 1: boom")
    assert (found.grade, "boom" in found.found) == (Grade.WARNING, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import sys; sys.exit('boom')", "it ended with 1: boom"),
        ("", "it ended with 0: without a word"),
        ("import time; time.sleep(60)", "it gave no answer within 2 s"),
        ("import os, time; os.fork() or time.sleep(60)", "it gave no answer within 2 s"),
    ],
)
def test_an_attempt_that_fails_or_hangs_ends_in_words(text: str, told: str) -> None:
    """Nothing it started stays behind."""
    assert answer_of([sys.executable, "-c", text], {}, seconds=2.0) == told


def test_an_attempts_answer_is_found_among_other_output() -> None:
    """What a program's start prints does not disturb; the launcher's messages are left out."""
    text = f"import os; print('noise'); print({MARK!r} + '{{\"a\": %d}}' % len(os.environ))"
    environ = {"MEMBUDGET_LAUNCH": "lines", "A": "1", "LC_ALL": "C.UTF-8"}
    assert answer_of([sys.executable, "-c", text], environ) == {"a": 2}
    assert "did not start" in str(answer_of(["/no/such/python"], {}))


TRACKER = "python -c from multiprocessing.resource_tracker import main;main(11)"


def relative(words: str, environ: Mapping[str, str] | None, *, kept: bool = False) -> Relative:
    program = "/usr/bin/python3.11" if "python" in words else "/bin/sleep"
    figures = FIGURES if kept else None
    own = tuple(words.split(maxsplit=2) if " -c " in words else words.split())
    return Relative(pid=7, words=own, program=program, environ=environ, figures=figures)


def verdict(one: Relative) -> Finding:
    (found,) = judge_family([one])
    return found


@pytest.mark.parametrize(
    ("words", "environ", "grade", "told"),
    [
        ("python app.py", {}, Grade.WARNING, "has no budget: `membudget run` did not start it"),
        ("python -I app.py", LAUNCHED, Grade.WARNING, "started with -I"),
        ("python app.py -I", LAUNCHED, Grade.WARNING, "tells of no budget"),
        ("sleep 60", LAUNCHED, Grade.NOTE, "process 7 (sleep 60) is no Python"),
        ("python app.py", None, Grade.NOTE, "cannot be looked at"),
        (f"python -I -S {SUPERVISOR} 1.0", {}, Grade.OK, "is the supervisor"),
        (TRACKER, LAUNCHED, Grade.OK, "is a helper of multiprocessing's: it has no budget"),
        (
            "python app.py",
            {**LAUNCHED, "MEMBUDGET_AGENT_DIRECTORY": "none"},
            Grade.NOTE,
            "agent.directory none",
        ),
    ],
)
def test_why_a_process_has_no_budget_is_told(
    words: str, environ: Mapping[str, str] | None, grade: Grade, told: str
) -> None:
    finding = verdict(relative(words, environ))
    assert finding.grade is grade
    assert told in finding.found


def test_those_under_a_budget_come_first_and_long_families_are_cut() -> None:
    """A server with a hundred workers fits a screen."""
    kept = relative("/venv/bin/python -m app", LAUNCHED, kept=True)
    lost, other = relative("python app.py", {}), relative("sleep 60", {})
    findings = list(judge_family([*[other] * 12, lost, *[kept] * 30]))
    assert findings[0].found == (
        "process 7 (python -m app) is under a budget: 90.0 MiB of 400 MiB, NORMAL"
    )
    assert findings[10].found == "and 20 more under a budget"
    assert findings[11].grade is Grade.WARNING
    assert findings[-1].found == "and 3 more without one"


def test_what_forking_does_to_the_collector_is_told_where_there_are_forks() -> None:
    """A look at gc.get_objects() in such a child would else be a riddle."""
    kept = relative("python app.py", LAUNCHED, kept=True)
    alone = list(judge_family([kept]))
    assert not any("gc.freeze" in finding.found for finding in alone)
    told = list(judge_family([kept, kept.replace(is_fork=True)]))
    assert any("gc.freeze" in finding.found for finding in told)


def test_the_advice_for_a_lost_process_names_its_own_interpreter() -> None:
    """The file behind a venv's link would be the wrong one to ask."""
    lost = relative("/venv/bin/python app.py", LAUNCHED)
    assert verdict(lost).advice == "membudget doctor -- /venv/bin/python"
