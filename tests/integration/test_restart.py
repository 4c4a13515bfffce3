"""`membudget run --restart`: real programs that die, in real memory groups."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cgroup_v1 import limited_group, unavailable
from commands import clean_environment, ended, line_from, membudget, say_to
from dying import REASONS, starts
from supervised import BARE, python_text, state, supervised, supervisor_of, wait_until

PROGRAM = Path(__file__).parents[1] / "dying.py"
LIMIT = 120 << 20
needs_group = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))

DEATHS = re.compile(r"membudget: program (?P<reason>.*); starting it again in .* \(restart (\d+)\)")


@needs_group
def test_every_death_is_told_with_its_reason_and_answered_by_a_start(tmp_path: Path) -> None:
    """Kernel, signals, errors, the ladder's code: each is told apart, counted, and survived."""
    ways = ["oom", "error", "kill", "left", "other", "fault", "term", "orphan", "oom", "kill"]
    counter = tmp_path / "lives"
    command = supervisor_of(*BARE, str(PROGRAM), ",".join(ways), str(counter))
    with limited_group(LIMIT) as group:
        result = group.run(command, env=clean_environment(), timeout=60)
        left = (group.path / "cgroup.procs").read_text()
    told = DEATHS.findall(result.stderr)
    assert [number for _, number in told] == [str(n + 1) for n in range(len(ways))]
    for way, (reason, _) in zip(ways, told, strict=True):
        assert REASONS[way] in reason
    assert len(starts(counter)) == len(ways) + 1
    assert result.returncode == 0
    assert left == ""


@needs_group
def test_from_the_third_kill_in_a_row_on_more_than_a_restart_is_advised(tmp_path: Path) -> None:
    """A program that does not fit its limit is not mended by starting it again."""
    ways = ["oom", "oom", "oom", "error", "oom"]
    command = supervisor_of(*BARE, str(PROGRAM), ",".join(ways), str(tmp_path / "lives"))
    with limited_group(LIMIT) as group:
        result = group.run(command, env=clean_environment(), timeout=60)
    told = [line for line in result.stderr.splitlines() if DEATHS.match(line)]
    advised = ["raise the limit" in line for line in told]
    assert advised == [False, False, True, False, False]


def test_the_programs_input_output_and_code_are_its_own() -> None:
    """The supervisor reads nothing, writes only to standard error, and says nothing of success."""
    text = "import sys; print(sys.stdin.read().upper(), end='')"
    result = ended(supervisor_of(*python_text(text)), input="hello\n")
    assert (result.returncode, result.stdout, result.stderr) == (0, "HELLO\n", "")


@pytest.mark.parametrize("code", [64, 126, 127])
def test_wrong_usage_is_told_and_not_tried_again(code: int) -> None:
    """No restart mends a wrong command line."""
    result = membudget("run", "--restart", "--quiet", "--", "sh", "-c", f"exit {code}")
    assert result.returncode == code
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"membudget: program ended by itself with exit code {code} (")
    assert line.endswith("not starting it again")


def test_orphans_of_a_running_program_are_reaped() -> None:
    """Whatever is re-parented to the supervisor leaves no zombie."""
    text = """
        import signal, subprocess
        print("ready", flush=True)
        subprocess.run(["sh", "-c", "sleep 0.05 & echo $!"])
        signal.pause()
    """
    with supervised(text) as process:
        orphan = int(line_from(process))
        wait_until(lambda: state(orphan) is None)
        process.terminate()
        assert process.wait(20) == 143


def test_what_the_program_leaves_behind_is_gone_before_the_next_start(tmp_path: Path) -> None:
    """Asked first; what ignores that is killed ten seconds later, its own children too."""
    text = """
        import subprocess, sys
        from pathlib import Path
        pids = Path(sys.argv[1])
        if pids.exists():
            left = [pid for pid in pids.read_text().split() if Path("/proc", pid).exists()]
            print("left:", left, flush=True)
            raise SystemExit
        deaf = "trap '' TERM; sleep 1000 & echo $$ $!; wait"
        child = subprocess.Popen(["sh", "-c", deaf], stdout=subprocess.PIPE, text=True)
        pids.write_text(child.stdout.readline())
        raise SystemExit(1)
    """
    began = time.monotonic()
    result = ended([*supervisor_of(*python_text(text)), str(tmp_path / "pids")])
    assert (result.returncode, result.stdout) == (0, "left: []\n")
    assert time.monotonic() - began >= 10


def test_what_ran_before_the_supervisor_is_left_alone(tmp_path: Path) -> None:
    """A container's entry point starts a sidecar and becomes the supervisor by exec."""
    program = [*BARE, str(PROGRAM), "code,error", str(tmp_path / "lives")]
    pids = tmp_path / "pids"
    script = f"""
        (sleep 1000 & echo $BASHPID $!; wait) >{pids} 2>/dev/null &
        until [ -s {pids} ]; do :; done
        exec {shlex.join(supervisor_of(*program))}
    """
    result = ended(["/bin/bash", "-c", script])
    sidecar, child = map(int, pids.read_text().split())
    try:
        assert (result.returncode, len(DEATHS.findall(result.stderr))) == (0, 2)
        assert (state(sidecar), state(child)) == ("S", "S")
        assert "left behind" not in result.stderr
    finally:
        for pid in (child, sidecar):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_what_is_ended_is_told_by_its_name() -> None:
    """A program that makes itself a daemon learns where it went."""
    text = """
        import subprocess
        daemon = subprocess.Popen(["setsid", "sleep", "1000"])
        while open(f"/proc/{daemon.pid}/comm").read() != "sleep\\n": pass
        print(daemon.pid)
    """
    result = ended(supervisor_of(*python_text(text)))
    told = f"ended 1 process that the program left behind: {result.stdout.strip()} sleep"
    assert (result.returncode, result.stderr) == (0, f"membudget: {told}\n")


@needs_group
def test_a_start_waits_until_there_is_room() -> None:
    """While others fill the group it is told why nothing runs; their end lets the program start."""
    hold = "import time; held = b'x' * (150 << 20); print('holding', flush=True); time.sleep(1000)"
    with limited_group(200 << 20) as group:
        text = "print('ready', flush=True); raise SystemExit(input() != 'end')"
        with (
            supervised(text, group=group) as process,
            group.start(python_text(hold), stdout=subprocess.PIPE) as other,
        ):
            assert process.stderr is not None
            line_from(other)
            say_to(process, "die")
            assert "exit code 1" in process.stderr.readline()
            waiting = "waiting for room .* holds 15. MiB of 200 MiB without it, above 70%"
            assert re.search(waiting, process.stderr.readline())
            other.kill()
            assert line_from(process) == "ready\n"
            say_to(process, "end")
            assert process.wait(20) == 0


def test_the_ladders_exit_is_opted_in_unless_somebody_set_it() -> None:
    """With somebody there to start it again, ending in good order is the better end."""
    text = "import os; print(os.environ['MEMBUDGET_EMERGENCY_EXIT'])"
    for environment, seen in (({}, "true"), ({"MEMBUDGET_EMERGENCY_EXIT": "no"}, "no")):
        command = ["--restart", "--quiet", "--", *python_text(text)]
        assert membudget("run", *command, environment=environment).stdout == f"{seen}\n"


def test_a_program_above_its_limit_for_good_leaves_by_the_ladder(tmp_path: Path) -> None:
    """What nothing can free is ended in good order, told so, and started anew."""
    ladder = {"COOLDOWN": "10ms", "MAX_ATTEMPTS": "1", "DUMP": "false"}
    result = membudget(
        *("run", "--restart", "--restart-delay", "2ms", "--limit", "64MiB", "--quiet"),
        *("--", sys.executable, str(PROGRAM), "asked", str(tmp_path / "lives")),
        environment={f"MEMBUDGET_EMERGENCY_{name}": text for name, text in ladder.items()},
    )
    ((reason, _),) = DEATHS.findall(result.stderr)
    assert reason == "left by the ladder's exit (75)"
    assert result.returncode == 0
