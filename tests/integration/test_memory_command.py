"""`memory` and `status`: what people and checks learn of processes under a budget."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from commands import Result, ended, line_from, membudget, ready_process, say_to
from membudget.host.slot import living
from terminal import on_terminal, plain_lines
from waiting import eventually

AS_NOBODY = """
    import os, sys
    # Before they are out of reach:
    import click, difflib, json, locale, membudget.cli.memory
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    sys.argv[0] = "membudget"
    membudget.cli.main()
"""

HOLD = """
    import functools, sys, time

    @functools.cache
    def load(number):
        return "x" * 1000 + str(number)

    for number in range(5000):
        load(number)
    ballast = b"x" * (int(sys.argv[1]) << 20)
    print("ready", flush=True)
    sys.stdin.read()
"""


class Program:
    """A program under `membudget run`, with a folder of its own to meet in."""

    def __init__(self, process: subprocess.Popen[str], environment: Mapping[str, str]) -> None:
        self.process = process
        self.environment = environment

    def ask(self, *arguments: str) -> Result:
        """Run a command of ours that looks where this program can be found."""
        return membudget(*arguments, environment=self.environment)

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """What `memory --json` tells, once the program has a slot."""
        out = self.ask("memory", "--pid", str(self.process.pid), "--json", *arguments).stdout
        return [json.loads(line) for line in out.splitlines()]


@contextlib.contextmanager
def running(
    folder: Path, *options: str, ballast: int = 0, text: str = HOLD, **extra: str
) -> Iterator[Program]:
    """The program, ready and with a slot."""
    environment = {"MEMBUDGET_AGENT_DIRECTORY": str(folder / "meet"), **extra}
    command = [sys.executable, "-m", "membudget", "run", *options, "--", sys.executable, "-c"]
    words = (*command, textwrap.dedent(text), str(ballast))
    with ready_process(*words, environment=environment, errors=subprocess.PIPE) as process:
        eventually(lambda: list((folder / "meet").glob(f"*-{process.pid}-*.sock")))
        eventually(lambda: living(str(folder / "meet")))  # The first figures come later.
        yield Program(process, environment)


def test_a_process_is_found_and_told_in_one_line(tmp_path: Path) -> None:
    """Who, how much of which limit, the level; and a check is content."""
    with running(tmp_path, "--limit", "400MiB") as program:
        result = program.ask("memory")
        assert result.returncode == 0
        assert result.stdout.startswith(f"{program.process.pid} python -c: ")
        assert "of 400 MiB (" in result.stdout
        assert ", configured) NORMAL" in result.stdout
        status = program.ask("status")
        assert status.returncode == 0
        assert status.stdout.startswith("NORMAL, 1 process; the fullest: ")
        assert program.ask("status", "-q").stdout == ""


def test_a_budget_is_found_and_answers_as_soon_as_it_has_started(tmp_path: Path) -> None:
    """With the limit that only the process itself knows; nobody has to wait a second."""
    text = "import membudget; b = membudget.start('2GiB'); print('ready', flush=True); input()"
    environment = {"MEMBUDGET_AGENT_DIRECTORY": str(tmp_path / "meet")}
    with ready_process(sys.executable, "-c", text, environment=environment) as process:
        told = membudget("memory", "-v", "--pid", str(process.pid), environment=environment)
        process.communicate("\n")
    assert (told.returncode, told.stderr) == (0, "")
    assert " of 2.00 GiB (" in told.stdout
    assert "  allocator  " in told.stdout


def test_what_the_process_answers_has_its_caches(tmp_path: Path) -> None:
    """A functools cache of a program that knows nothing of us, by its name and entries."""
    with running(tmp_path, "--limit", "400MiB") as program:
        (row,) = program.rows("-v")
        (load,) = [one for one in row["found"] if one["name"] == "__main__.load"]
        assert load["entries"] == 5000
        assert load["why"] == ""
        assert 5_000_000 < load["held"] < 8_000_000
        assert row["gc"]["is_enabled"] is True
        assert row["brake"] is None
        told = program.ask("memory", "-v").stdout
        assert "lru_cache  __main__.load: 5,000 entries unbounded" in told


def test_a_full_process_is_critical_for_checks(tmp_path: Path) -> None:
    """Exit 2 of `memory` and of `status`, and the change of level is in the history."""
    options = ("--limit", "100MiB", "--set", "emergency.protection=false", "--quiet")
    with running(tmp_path, *options, ballast=82) as program:
        eventually(lambda: program.rows()[0]["level"] in ("CRITICAL", "EMERGENCY"))
        assert program.ask("memory").returncode == 2
        assert program.ask("status").returncode == 2
        assert program.rows("-v")[0]["changes"]


def test_a_stopped_process_is_seen_and_does_not_answer(tmp_path: Path) -> None:
    """Its slot tells the last figures; asking it ends in a clear line and exit 3."""
    with running(tmp_path, "--limit", "400MiB") as program:
        program.process.send_signal(signal.SIGSTOP)
        assert program.ask("memory").returncode == 0
        result = program.ask("memory", "-v")
        program.process.send_signal(signal.SIGCONT)
        assert result.returncode == 3
        assert f"process {program.process.pid}" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_who_meets_in_another_folder_is_not_listed(tmp_path: Path) -> None:
    """Launched or not: each folder shows its own."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with running(folders[0], "--limit", "400MiB") as first, running(folders[1]) as second:
        for program in (first, second):
            told = program.ask("memory", "--json").stdout
            assert [json.loads(line)["pid"] for line in told.splitlines()] == [program.process.pid]


def test_nobody_to_be_found_is_told(tmp_path: Path) -> None:
    """One line and exit 3; a number that is nobody's as well."""
    where = {"MEMBUDGET_AGENT_DIRECTORY": str(tmp_path)}
    for arguments in (("status",), ("memory", "--pid", "4000000"), ("status", "--pid", "4000000")):
        result = membudget(*arguments, environment=where)
        assert (result.returncode, result.stdout) == (3, "")
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only the superuser may run as somebody else")
def test_another_user_gets_nothing(tmp_path: Path) -> None:
    """Neither figures nor an answer, and the process goes on."""
    tmp_path.chmod(0o755)
    with running(tmp_path, "--limit", "400MiB") as program:
        for arguments in (("memory",), ("memory", "-v", "--pid", str(program.process.pid))):
            result = ended(
                [sys.executable, "-c", textwrap.dedent(AS_NOBODY), *arguments], program.environment
            )
            assert (result.returncode, result.stdout) == (3, ""), result
            assert len(result.stderr.splitlines()) == 1
        assert program.rows("-v")[0]["level"] == "NORMAL"


def test_settings_are_read_anew_at_a_hangup(tmp_path: Path) -> None:
    """A new limit holds at once; a broken file is told and changes nothing."""
    file = tmp_path / "membudget.yaml"
    file.write_text("memory:\n  limit: 400MiB\n")
    with running(tmp_path, "--config", str(file)) as program:
        assert program.rows()[0]["limit"] == 400 << 20
        file.write_text("memory:\n  limit: 500MiB\n  caches:\n    cleanup_interval: 1h\n")
        program.process.send_signal(signal.SIGHUP)
        eventually(lambda: program.rows()[0]["limit"] == 500 << 20)
        file.write_text("memory:\n  limit: lots\n")
        program.process.send_signal(signal.SIGHUP)
        assert program.process.stderr is not None
        lines = iter(program.process.stderr.readline, "")
        told = next(line for line in lines if "settings reloaded" in line)
        assert "limit; restart the process for caches.cleanup_interval" in told
        failed = next(line for line in lines if "reload failed" in line)
        assert "membudget.yaml:2: limit 'lots'" in failed
        assert program.rows()[0]["limit"] == 500 << 20


def test_a_programs_own_hangup_handler_stays_its_own(tmp_path: Path) -> None:
    """Also where there is a settings file."""
    file = tmp_path / "membudget.toml"
    file.write_text('[memory]\nlimit = "400MiB"\n')
    text = """
        import select, signal, sys
        signal.signal(signal.SIGHUP, lambda *_: print("mine", flush=True))
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0.1)[0]:
            pass  # Not one long read: a signal just before it would wait for its end.
    """
    with running(tmp_path, "--config", str(file), text=text) as program:
        program.process.send_signal(signal.SIGHUP)
        assert line_from(program.process) == "mine\n"


def test_without_a_settings_file_a_hangup_ends_the_program(tmp_path: Path) -> None:
    with running(tmp_path, "--limit", "400MiB") as program:
        program.process.send_signal(signal.SIGHUP)
        assert program.process.wait(100) == -signal.SIGHUP


def test_a_budget_of_the_programs_own_is_found_as_well(tmp_path: Path) -> None:
    """It takes over slot and socket from the launcher's."""
    text = """
        import membudget, sys
        budget = membudget.start("300MiB")
        cache = budget.cache("prices")
        cache.set("one", "x" * 1000)
        print("ready", flush=True)
        sys.stdin.read()
    """
    with running(tmp_path, "--limit", "400MiB", text=text) as program:
        eventually(lambda: program.rows("-v")[0].get("caches"))
        (row,) = program.rows("-v")
        assert row["limit"] == 300 << 20
        assert [one["name"] for one in row["caches"]] == ["prices"]


def test_a_program_that_closes_all_descriptors_can_still_be_asked(tmp_path: Path) -> None:
    """As daemons do: at their start, and here once more later on."""
    text = """
        import os, sys
        os.closerange(3, 256)
        print("ready", flush=True)
        sys.stdin.readline()
        os.closerange(3, 256)
        print("again", flush=True)
        sys.stdin.read()
    """
    with running(tmp_path, "--limit", "400MiB", text=text) as program:
        eventually(lambda: "gc" in program.rows("-v")[0])
        say_to(program.process, "")
        assert line_from(program.process) == "again\n"
        eventually(lambda: "gc" in program.rows("-v")[0])
        assert program.process.poll() is None


def test_a_program_that_forks_all_the_time_can_be_asked(tmp_path: Path) -> None:
    """The thread rests around each fork, and listens again at once."""
    text = """
        import os, time
        time.sleep(2)
        print("ready", flush=True)
        while True:
            if (child := os.fork()) == 0:
                os._exit(0)
            os.waitpid(child, 0)
            time.sleep(0.1)
    """
    with running(tmp_path, "--limit", "400MiB", text=text) as program:
        for _ in range(5):
            assert "gc" in program.rows("-v")[0]


def test_in_a_terminal_a_watch_redraws_in_place(tmp_path: Path) -> None:
    """The line and a chart over the last ones, until Ctrl-C; in a pipe there is a line a second."""
    with running(tmp_path, "--limit", "400MiB") as program:
        pid = str(program.process.pid)
        command = [sys.executable, "-m", "membudget", "memory", "--watch", "--pid", pid]
        again = rf"(?s)\x1b\[6A.*{pid} "
        written, code = on_terminal(command, environment=program.environment, interrupt_at=again)
        assert code == 130
        first, *chart = plain_lines(written.partition("\x1b[6A")[0])[:6]
        assert first.startswith(f"{pid} python -c: ")
        assert "▁" in chart[-1] or "▂" in chart[-1] or "▃" in chart[-1]
