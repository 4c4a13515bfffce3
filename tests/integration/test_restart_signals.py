"""Signals and terminals under `membudget run --restart`: whose they are, and who ends when."""

import contextlib
import os
import select
import shlex
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from commands import clean_environment, ended, line_from
from supervised import children, python_text, started, state, supervised, supervisor_of, wait_until

_FAULTS = {
    signal.Signals[f"SIG{name}"] for name in ("SEGV", "BUS", "FPE", "ILL", "TRAP", "ABRT", "SYS")
}
HANDLED = signal.valid_signals() - _FAULTS - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}


@pytest.mark.parametrize(
    ("handler", "code"), [("", 143), ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))", 7)]
)
def test_sigterm_ends_both_with_the_programs_code(handler: str, code: int) -> None:
    """128 + 15 where the program has no handler, else its own code; it is not started again."""
    text = f"import signal, sys; {handler}\nprint('ready', flush=True)\nsignal.pause()"
    with supervised(text) as process:
        (program,) = children(process.pid)
        process.terminate()
        assert process.wait(20) == code
        assert state(program) is None


def test_a_program_that_ignores_sigterm_is_not_taken_from() -> None:
    """The supervisor waits as long as the program; a second signal still reaches it."""
    text = """
        import signal, time
        signal.signal(signal.SIGTERM, lambda *_: print("heard", flush=True))
        print("ready", flush=True)
        while True:
            time.sleep(0.05)
    """
    with supervised(text) as process:
        process.terminate()
        assert line_from(process) == "heard\n"
        process.send_signal(signal.SIGQUIT)
        assert process.wait(20) == 128 + signal.SIGQUIT


def test_signals_that_end_nothing_are_passed_on() -> None:
    """Reload and the user's own signals reach the program; a death later is answered by a start."""
    text = """
        import signal, sys, time
        signal.signal(signal.SIGUSR1, lambda *_: print("usr1", flush=True))
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(5))
        print("ready", flush=True)
        while True:
            time.sleep(0.05)
    """
    with supervised(text) as process:
        process.send_signal(signal.SIGUSR1)
        assert line_from(process) == "usr1\n"
        process.send_signal(signal.SIGHUP)
        assert line_from(process) == "ready\n"
        process.terminate()
        assert process.wait(20) == 143


def test_every_signal_that_can_be_handled_is_the_programs() -> None:
    """None ends or stops the supervisor where the program lives on, real-time ones included."""
    text = f"""
        import os, signal, time
        for number in {sorted(map(int, HANDLED))}:
            signal.signal(number, lambda *seen: os.write(1, b"%d\\n" % seen[0]))
        print("ready", flush=True)
        while True:
            time.sleep(0.05)
    """
    with supervised(text) as process:
        for number in HANDLED:
            process.send_signal(number)
            assert line_from(process) == f"{number:d}\n"
            assert state(process.pid) != "T"


def test_an_end_long_after_a_signal_that_the_program_outlived_is_answered_by_a_start() -> None:
    """A Ctrl-C of this morning says nothing of a kill in the evening."""
    program = """
        import os, signal, time
        signal.signal(signal.SIGINT, lambda *_: print("heard", flush=True))
        print("life", os.getpid(), flush=True)
        while True:
            time.sleep(0.05)
    """
    at_a_million_times_the_speed = f"""
        import signal, sys, time
        from membudget.cli.restart import TAKEN, Backoff, Room, Supervisor
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
        program = "/bin/sh", {python_text(program)!r}
        now = lambda: 1e6 * time.monotonic()
        parts = program, mask, Room(1.0), Backoff(0.001), now
        print("ready", flush=True)
        sys.exit(Supervisor(*parts).run())
    """
    command = [sys.executable, "-c", textwrap.dedent(at_a_million_times_the_speed)]
    with started(command) as process:
        pid = int(line_from(process).split()[1])
        process.send_signal(signal.SIGINT)
        assert line_from(process) == "heard\n"
        os.kill(pid, signal.SIGKILL)
        assert int(line_from(process).split()[1]) != pid
        process.terminate()
        assert process.wait(20) == 143


def test_a_supervisor_that_is_killed_takes_the_program_along() -> None:
    """Nobody is left who would start it again, so nobody is left running."""
    with supervised("import signal; print('ready', flush=True); signal.pause()") as process:
        (program,) = children(process.pid)
        process.kill()
        process.wait(20)
        wait_until(lambda: state(program) in (None, "Z"))


def test_a_signal_during_the_wait_ends_it_at_once() -> None:
    """There is no program to ask; the code tells the signal."""
    with supervised("print('ready', flush=True); raise SystemExit(1)", delay="1h") as process:
        assert process.stderr is not None
        assert "in 1.0 h (restart 1)" in process.stderr.readline()
        process.terminate()
        assert process.wait(20) == 143


@contextlib.contextmanager
def _at_a_terminal(*command: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A command at a terminal of its own that has said "ready", and what types into it."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        ["/usr/bin/setsid", "--ctty", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(),
    ) as process:
        os.close(theirs)
        try:
            _read_until(ours, b"ready")
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


def _read_until(descriptor: int, text: bytes) -> None:
    """Read up to a text and no further: what comes after it may be there already."""
    read = b""
    while text not in read:
        assert select.select([descriptor], [], [], 20)[0], f"{text!r} did not come: {read!r}"
        read += os.read(descriptor, 1)


def test_ctrl_c_reaches_the_program_once() -> None:
    """The terminal has told the whole group already; what kill sends is passed on."""
    text = """
        import signal, sys, time
        seen = []
        signal.signal(signal.SIGINT, lambda *_: seen.append(1))
        print("ready", flush=True)
        while not seen:
            time.sleep(0.01)
        time.sleep(0.3)
        sys.exit(10 + len(seen))
    """
    with _at_a_terminal(*supervisor_of(*python_text(text))) as (process, terminal):
        os.write(terminal, b"\x03")
        assert process.wait(20) == 11
    with _at_a_terminal(*supervisor_of(*python_text(text))) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 11


_CONTINUED = """
    import os, signal, sys
    signal.signal(signal.SIGCONT, lambda *_: sys.exit(0))
    print("ready", flush=True)
    {}
    while True:
        signal.pause()
"""


@pytest.mark.parametrize(
    ("doing", "typed", "number"),
    [
        ("", b"\x1a", signal.SIGTSTP),
        ("os.kill(0, signal.SIGTSTP)", b"", signal.SIGTSTP),
        ("sys.stdin.read(1)", b"", signal.SIGTTIN),
    ],
    ids=["typed", "an editor's own", "a read in the background"],
)
def test_a_stop_stops_both_and_the_shell_continues_both(
    doing: str, typed: bytes, number: int
) -> None:
    """The shell sees its job stop, and gets it back to the foreground."""
    job = shlex.join(supervisor_of(*python_text(_CONTINUED.format(doing))))
    wait = "& wait $!" if number == signal.SIGTTIN else ""
    script = f"{job} {wait}\necho job $?; fg; exit $?"
    with _at_a_terminal("bash", "-mc", script) as (process, terminal):
        os.write(terminal, typed)
        _read_until(terminal, f"job {128 + number}".encode())
        assert process.wait(20) == 0


def test_a_program_that_does_not_stop_keeps_the_supervisor_at_work() -> None:
    """Where Ctrl-Z means something else to the program, the shell sees no stop."""
    text = """
        import signal, sys, time
        signal.signal(signal.SIGTSTP, lambda *_: sys.exit(0))
        print("ready", flush=True)
        while True:
            time.sleep(0.05)
    """
    job = shlex.join(supervisor_of(*python_text(text)))
    with _at_a_terminal("bash", "-mc", f"{job}; exit $?") as (process, terminal):
        os.write(terminal, b"\x1a")
        assert process.wait(20) == 0


def test_the_program_starts_with_the_signals_it_would_have_without() -> None:
    """What the supervisor blocks is free again; what its caller ignores stays ignored."""
    text = "print(*[one for one in open('/proc/self/status') if one.startswith('Sig')][2:], sep='')"
    shown = [
        ended(["/bin/sh", "-c", f"trap '' HUP USR2; exec {shlex.join(command)}"], check=True).stdout
        for command in (python_text(text), supervisor_of(*python_text(text)))
    ]
    assert "SigBlk" in shown[0]
    assert shown[0] == shown[1]
