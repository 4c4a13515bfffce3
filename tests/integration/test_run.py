"""`membudget run`: a program that knows nothing of it, as a person starts it."""

import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from commands import ended, membudget, ready_process, run_python


def test_the_program_runs_under_a_budget_and_its_output_is_its_own() -> None:
    """Standard output is untouched; standard error tells the limit and the summary."""
    result = run_python("print('hello')", "--limit", "400MiB")
    assert result.stdout == "hello\n"
    assert result.returncode == 0
    first, last = result.stderr.splitlines()
    stamp = r"membudget: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \d+ python -c: "
    assert re.match(stamp + r"limit 400 MiB \(configured\); [\d.]+ MiB used now ", first)
    assert re.match(stamp + "stopped: peak ", last)


def test_quiet_says_nothing_when_all_is_well() -> None:
    """Only failures and severe levels are told."""
    result = run_python("print('hello')", "--limit", "400MiB", "--quiet")
    assert (result.stdout, result.stderr) == ("hello\n", "")


@pytest.mark.parametrize("code", [0, 1, 7, 64])
def test_the_exit_code_is_the_programs(code: int) -> None:
    assert run_python(f"raise SystemExit({code})", "--limit", "400MiB").returncode == code


def test_a_signal_ends_the_program_as_without() -> None:
    """The program is executed in place: the signal reaches it, and its death is by that signal."""
    program = "import signal, sys; print('ready', flush=True); signal.pause()"
    run = [sys.executable, "-m", "membudget", "run", "--limit", "400MiB", "--"]
    command = [*run, sys.executable, "-c", program]
    with ready_process(*command, errors=subprocess.DEVNULL) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(100) == -signal.SIGTERM


def test_a_budget_of_the_programs_own_takes_over() -> None:
    """`start()` in a launched program is no error: the launcher's budget gives way."""
    program = "import membudget; b = membudget.start('300MiB'); print(b.pressure.limit); b.stop()"
    result = run_python(program, "--limit", "400MiB", "--quiet")
    assert result.stdout == f"{300 << 20}\n"
    assert result.returncode == 0


def test_the_lines_go_on_where_the_programs_own_budget_takes_over() -> None:
    """Nothing ends in between, the new limit is told, and what it came to at the end."""
    program = "import logging, membudget; logging.basicConfig(); membudget.start('300MiB')"
    lines = run_python(program, "--limit", "400MiB").stderr.splitlines()
    told = [line.split(": ", 2)[2] for line in lines]
    assert [line.partition(" (")[0] for line in told[:2]] == ["limit 400 MiB", "limit 300 MiB"]
    assert told[2].startswith("stopped: ")
    assert len(told) == 3


def test_sinks_of_the_programs_own_are_told_alone() -> None:
    program = "import membudget; membudget.start('300MiB', sinks=[])"
    lines = run_python(program, "--limit", "400MiB").stderr.splitlines()
    assert [line.split(": ", 2)[2].split()[0] for line in lines] == ["limit", "stopped:"]


def test_a_sitecustomize_of_the_programs_own_still_runs(tmp_path: Path) -> None:
    """Ours is first on the path and loads the one it hides."""
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.own = 'seen'\n")
    result = run_python(
        "print(own)", "--limit", "400MiB", "--quiet", environment={"PYTHONPATH": str(tmp_path)}
    )
    assert (result.stdout, result.stderr) == ("seen\n", "")


def test_arguments_of_the_program_are_not_taken_for_ours() -> None:
    """Everything behind the command belongs to it."""
    result = membudget(
        "run", "--limit", "400MiB", "--quiet", sys.executable, "-c",
        "import sys; print(sys.argv[1:])", "--limit", "x", "--json",
    )  # fmt: skip
    assert result.stdout == "['--limit', 'x', '--json']\n"


def test_the_summary_tells_the_peak_that_the_kernel_saw() -> None:
    """A burst within a moment, and with the brake one that was refused at last."""
    burst = "x = b'x' * (60 << 20); del x"
    assert 65 <= _peak(run_python(burst, "--limit", "200MiB").stderr) <= 75
    refused = "x = b'x' * (100 << 20); y = bytearray(x)"
    result = run_python(refused, "--limit", "200MiB", "--brake")
    assert "MemoryError" in result.stderr
    assert 105 <= _peak(result.stderr) <= 115


def test_a_forked_child_does_not_have_its_parents_peak() -> None:
    """What the parent held once, and let go before the fork, was never the child's."""
    program = textwrap.dedent("""
        import os
        from membudget.registry import REGISTRY
        x = b"x" * (100 << 20)
        del x
        if os.fork() == 0:
            governor = REGISTRY.governor
            governor.stop()
            print(governor.peak >> 20, flush=True)
            os._exit(0)
        os.wait()
    """)
    result = run_python(program, "--limit", "400MiB")
    assert int(result.stdout) < 40
    assert _peak(result.stderr) > 100


def _peak(told: str) -> float:
    """MiB of the last summary in this text."""
    return float(told.rpartition("peak ")[2].partition(" MiB")[0])


def test_a_program_that_grows_past_its_marks_is_told_so() -> None:
    """Levels go to standard error, one line each."""
    program = textwrap.dedent("""
        import time
        held = [b"x" * (n + (1 << 20)) for n in range(88)]
        time.sleep(1.5)
        del held
        time.sleep(2)
    """)
    result = run_python(program, "--limit", "100MiB")
    assert "NORMAL → " in result.stderr
    assert " → NORMAL" in result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--limit", "400"], "'400' has no unit"),
        (["--limit", "lots"], "'lots' is not a number"),
        (["--limit", "-5MiB"], "'-5MiB' is not above zero"),
        (["--limit", "1MiB"], "below what a bare interpreter holds"),
        (["--set", "thresholds.warning=50%"], "out of order"),
        (["--set", "thresholds.warnig=50%"], "did you mean thresholds.warning"),
        (["--set", "limit"], "KEY=VALUE"),
        (["--wat"], "--wat"),
        (["--restart", "--restart-delay", "5"], "--restart-delay '5' has no unit"),
        (["--config", "/no/such.toml"], "/no/such.toml"),
    ],
)
def test_bad_options_are_one_line_and_exit_64(options: list[str], named: str) -> None:
    """The value, the rule, the next thing to try; the program is not started."""
    result = membudget("run", *options, "--", sys.executable, "-c", "print('started')")
    assert result.returncode == 64
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("membudget: ")
    assert named in line


def test_bad_settings_in_the_environment_are_one_line_and_exit_64() -> None:
    """Whoever set them reads which variable it was."""
    result = run_python("print(1)", environment={"MEMBUDGET_LIMIT": "400"})
    assert result.returncode == 64
    assert result.stderr.count("\n") == 1
    assert "MEMBUDGET_LIMIT '400' has no unit" in result.stderr


def test_a_command_that_does_not_exist_is_the_shells_127() -> None:
    """One line with the command's name and what would be right."""
    result = membudget("run", "--limit", "400MiB", "--", "no-such-command")
    assert result.returncode == 127
    assert result.stderr.count("\n") == 1
    assert "'no-such-command' was not found" in result.stderr


def test_a_command_that_cannot_be_executed_is_the_shells_126(tmp_path: Path) -> None:
    """A file without its executable bit is there and cannot be run."""
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    result = membudget("run", "--", str(script))
    assert result.returncode == 126
    assert "cannot be executed" in result.stderr


def test_no_command_is_one_line_and_exit_64() -> None:
    result = membudget("run", "--limit", "400MiB")
    assert result.returncode == 64
    assert result.stderr.count("\n") == 1


def test_memory_shows_a_launched_process_from_outside() -> None:
    """Use, limit and level of one's own child, in words and as JSON, with an exit code."""
    program = "print('ready', flush=True); input()"
    command = [sys.executable, "-m", "membudget", "run", "--limit", "123MiB", "--quiet", "--"]
    with ready_process(*command, sys.executable, "-c", program) as process:
        words = membudget("memory", "--pid", str(process.pid))
        assert words.returncode == 0
        assert words.stdout.startswith(f"{process.pid} ")
        assert "of 123 MiB" in words.stdout
        assert "NORMAL" in words.stdout
        listed = membudget("memory", "--json")
        assert f'"pid": {process.pid}' in listed.stdout
        process.communicate("\n")


def test_memory_of_a_process_that_is_not_there_exits_3() -> None:
    """Unreachable is told apart from bad."""
    result = membudget("memory", "--pid", "4194304")
    assert result.returncode == 3
    assert "4194304" in result.stderr
    assert result.stderr.count("\n") == 1


def _dry_run(
    *options: str, environment: dict[str, str] | None = None
) -> tuple[str, dict[str, str]]:
    """The command that would be run, and the variables that would be set."""
    result = membudget(
        "run", "--dry-run", *options, "--", "python3", "a b.py", environment=environment
    )
    assert (result.returncode, result.stderr) == (0, "")
    command, *lines = result.stdout.splitlines()
    return command, dict(shlex.split(line)[0].split("=", 1) for line in lines)


def test_a_dry_run_prints_the_command_and_each_variable_and_starts_nothing() -> None:
    """One a line, as a shell would read them."""
    command, variables = _dry_run("--limit", "400MiB", "--set", "cleanup.settle=2s", "--brake")
    assert command == "python3 'a b.py'"
    assert variables["MEMBUDGET_LIMIT"] == "400MiB"
    assert variables["MEMBUDGET_CLEANUP_SETTLE"] == "2s"
    assert variables["MEMBUDGET_BRAKE"] == "true"
    assert variables["MEMBUDGET_LAUNCH"] == "lines"
    assert variables["PYTHONPATH"].endswith("_shim")


def test_a_dry_run_with_restart_shows_the_supervisor_and_opts_into_the_exit() -> None:
    """What stays is a bare interpreter; what somebody set is left as it is."""
    command, variables = _dry_run("--restart", "--restart-delay", "3s")
    assert " -I -S " in command
    assert " 3.0 0.7 " in command
    assert variables["MEMBUDGET_EMERGENCY_EXIT"] == "true"
    _, variables = _dry_run("--restart", "--set", "emergency.exit=false")
    assert variables["MEMBUDGET_EMERGENCY_EXIT"] == "false"
    _, variables = _dry_run("--restart", environment={"MEMBUDGET_EMERGENCY_EXIT": "false"})
    assert "MEMBUDGET_EMERGENCY_EXIT" not in variables


def test_caches_named_on_the_command_line_reach_the_program_as_settings() -> None:
    """Options that repeat become one list."""
    _, variables = _dry_run("--adopt", "app:PRICES", "--adopt", "app:NAMES", "--spare", "lib.*")
    assert variables["MEMBUDGET_CACHES_ADOPT"] == "app:PRICES,app:NAMES"
    assert variables["MEMBUDGET_CACHES_SPARE"] == "lib.*"


def test_malloc_sets_arenas_alone_and_leaves_what_is_set() -> None:
    """No threshold: a fixed one makes arrays slow; the user's own figure stays."""
    _, variables = _dry_run("--malloc")
    assert {name for name in variables if name.startswith("MALLOC")} == {"MALLOC_ARENA_MAX"}
    _, variables = _dry_run("--malloc", environment={"MALLOC_ARENA_MAX": "7"})
    assert "MALLOC_ARENA_MAX" not in variables
    _, variables = _dry_run()
    assert "MALLOC_ARENA_MAX" not in variables


def test_a_settings_file_is_checked_and_passed_on_by_its_whole_path(tmp_path: Path) -> None:
    """The program may change its folder before it reads the file."""
    (tmp_path / "budget.toml").write_text('[memory]\nlimit = "321MiB"\n')
    file = os.path.relpath(tmp_path / "budget.toml")
    _, variables = _dry_run("--config", file)
    assert variables["MEMBUDGET_CONFIG"] == str(tmp_path / "budget.toml")
    result = run_python("import os; os.chdir('/')", "--config", file)
    assert " python -c: limit 321 MiB (configured)" in result.stderr


def test_a_bad_settings_file_is_one_line_and_exit_64(tmp_path: Path) -> None:
    """Found before the program starts, with the file's name."""
    file = tmp_path / "budget.toml"
    for text in ('[memory]\nlimit = "400"\n', None):
        file.unlink(missing_ok=True) if text is None else file.write_text(text)
        result = run_python("print('started')", "--config", str(file))
        assert (result.returncode, result.stdout) == (64, "")
        (line,) = result.stderr.splitlines()
        assert "budget.toml" in line


def test_the_program_is_told_the_data_limit_it_came_with() -> None:
    """A brake lowers it for the program; children get this one back."""
    _, variables = _dry_run()
    soft, _hard = resource.getrlimit(resource.RLIMIT_DATA)
    assert variables["MEMBUDGET_LAUNCH_DATA_LIMIT"] == (
        "none" if soft == resource.RLIM_INFINITY else str(soft)
    )
    command = [sys.executable, "-m", "membudget", "run", "--dry-run", "--", "true"]
    limited = f"ulimit -S -d {8 << 20} && exec {shlex.join(command)}"
    told = ended(["/bin/sh", "-c", limited], check=True).stdout
    assert f"MEMBUDGET_LAUNCH_DATA_LIMIT={8 << 30}\n" in told


def test_signals_that_python_ignores_are_not_ignored_for_the_program() -> None:
    """A shell's pipeline ends by SIGPIPE as it does without us."""
    result = membudget("run", "--quiet", "--", "sh", "-c", "kill -PIPE $$; echo ignored")
    assert (result.returncode, result.stdout) == (-signal.SIGPIPE, "")


def test_the_launched_budget_survives_a_broken_environment_variable(tmp_path: Path) -> None:
    """A child that changes our variables still runs: one line, no budget."""
    program = textwrap.dedent("""
        import os, subprocess, sys
        env = dict(os.environ, MEMBUDGET_LIMIT="nonsense")
        print(subprocess.run([sys.executable, "-c", "print('child')"], env=env).returncode)
    """)
    result = run_python(program, "--quiet", environment={"TMPDIR": str(tmp_path)})
    assert result.stdout == "child\n0\n"
    assert "no budget for this process" in result.stderr
    assert os.sep not in result.stdout


def test_a_cache_is_adopted_from_the_script_that_runs(tmp_path: Path) -> None:
    """Its module is known by the name of its file, though Python calls it "__main__"."""
    program = """
        import membudget
        PRICES = {number: str(number) * 100 for number in range(5_000)}
        membudget.current().reclaim("aggressive")
        print(len(PRICES) < 5_000)
    """
    (tmp_path / "app.py").write_text(textwrap.dedent(program))
    options = ["--limit", "400MiB", "--quiet", "--adopt", "app:PRICES"]
    result = membudget("run", *options, "--", sys.executable, str(tmp_path / "app.py"))
    assert (result.stdout, result.stderr) == ("True\n", "")
