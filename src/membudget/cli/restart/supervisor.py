"""The loop of the supervisor: start the program, wait for its end, tell it, start it again.

Every signal that can be caught belongs to the program: what none of its own would do must not end
or stop the supervisor either. Those that a process brings on itself by a fault stay as they are.

A stop has two sides. The shell waits for the supervisor, so that has to stop where the program
does; yet many programs give the same signals a meaning of their own and run on. So the supervisor
stops when it has been sent such a signal and the program has stopped.

Sources: signal(7); core(5); si_code in sigaction(2).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from membudget.units import human_seconds

from .deaths import Backoff, Death, Request, Room, told_restart
from .processes import Leftovers, Program, adopt_orphans, name, tell, told_ended

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENDING = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
"""Signals after which the end of the program is the end."""

STOPPING = frozenset((signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
"""Signals that stop a program that does not handle them."""

_FAULTS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGABRT,
    signal.SIGSYS,
}
_UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}

TAKEN = frozenset(signal.valid_signals() - _FAULTS - _UNCATCHABLE)
"""All that is passed on, and SIGCHLD."""

_BY_TERMINAL = ENDING | STOPPING | {signal.SIGHUP, signal.SIGCONT, signal.SIGWINCH}
_BY_KERNEL = 0x80
"""si_code of what the kernel sends: SI_KERNEL."""

PATIENCE = 10.0
"""Seconds that what the program left behind has to end, and again to be gone once killed."""

LOOK = 1.0
"""Seconds between two looks for room."""

TELL_EVERY = 60.0
"""Seconds between two lines that tell of waiting for room."""

_SWEEP = 0.1
"""Seconds between two looks for what is left: the end of a child's child sends us no signal."""


def is_from_terminal(taken: signal.struct_siginfo) -> bool:
    """Whether a terminal sent it, which tells a whole process group."""
    return taken.si_code == _BY_KERNEL and taken.si_signo in _BY_TERMINAL


def stop_by(number: int) -> None:
    """Stop by that signal, blocked so far, until somebody continues this process."""
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
    signal.pthread_sigmask(signal.SIG_BLOCK, (number,))


class Supervisor:
    """Keeps a program running; one thread, with `TAKEN` blocked.

    What is below its process already is none of the program's.

    Args:
        program: What is started.
        room: Tells whether there is room for it.
        backoff: Tells how long to wait.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        program: Program,
        room: Room,
        backoff: Backoff,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._program, self._room, self._backoff, self._now = program, room, backoff, now
        self._leftovers = Leftovers()
        self._pid: int | None = None
        self._status = 0
        self._asked: Request | None = None
        self._is_hung_up = False
        self._stop: Request | None = None
        self._is_stopped = False

    def run(self) -> int:
        """Start the program and start it again until it is done.

        Returns:
            The exit code of its last life, 128 + n where signal n ended it.
        """
        number = 0
        while True:
            began = self._now()
            death = self._live()
            if self._is_last(death):
                self._tell_last(death)
                self._clear()
                return death.exit_code
            number += 1
            wait = self._backoff.after(self._now() - began)
            tell(told_restart(death.reason, wait, number))
            until = self._now() + wait
            self._clear()
            self._rest(until)
            self._wait_for_room()
            if self._asked is not None:
                return 128 + self._asked.number

    def _live(self) -> Death:
        """One life of the program, from its start to its end."""
        before = self._room.kills()
        self._is_hung_up = self._is_stopped = False
        self._stop = None
        try:
            self._pid = self._program.start()
        except OSError as error:
            tell(f"the program cannot be started: {error.strerror}")
            self._status = os.EX_OSERR << 8
        while self._pid is not None:
            self._take(signal.sigwaitinfo(TAKEN))
        code = os.waitstatus_to_exitcode(self._status)
        return Death(code=code, before=before, after=self._room.kills())

    def _is_last(self, death: Death) -> bool:
        asked = self._asked
        if asked and not (asked.is_obeyed_by(death.code) or asked.is_recent(self._now())):
            self._asked = None
        has_hung_up = self._is_hung_up and death.code == -signal.SIGHUP
        return self._asked is not None or death.is_final or has_hung_up

    def _tell_last(self, death: Death) -> None:
        """Tell a failure; that a signal did what it was sent for is none."""
        did_as_asked = self._asked is not None and self._asked.is_obeyed_by(death.code)
        has_hung_up = self._is_hung_up and death.exit_code == 128 + signal.SIGHUP
        if death.code and not did_as_asked and not has_hung_up:
            tell(f"program {death.reason}; not starting it again")

    def _take(self, taken: signal.struct_siginfo) -> None:
        """Do what a signal asks for: reap, pass it on, stop."""
        number = taken.si_signo
        if number == signal.SIGCHLD:
            self._reap()
        elif self._pid is not None:
            self._is_hung_up |= number == signal.SIGHUP
            self._pass_on(self._pid, taken)
        elif number in STOPPING and is_from_terminal(taken):
            stop_by(number)
        if number in ENDING or (number == signal.SIGHUP and self._pid is None):
            self._asked = Request(number=number, at=self._now())
        if self._stop and self._is_stopped and self._stop.is_recent(self._now()):
            stop_by(self._stop.number)
            self._stop, self._is_stopped = None, False

    def _pass_on(self, pid: int, taken: signal.struct_siginfo) -> None:
        number = taken.si_signo
        if taken.si_pid == os.getpid():  # A failed write of our own.
            return
        if number in STOPPING:
            self._stop = Request(number=number, at=self._now())
        elif number == signal.SIGCONT:
            self._stop = None
        # What a terminal sends reaches the whole group: the program has had it already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not is_from_terminal(taken) or os.getpgid(pid) != os.getpgrp():
                os.kill(pid, number)

    def _reap(self) -> None:
        """Take the news of every child: one signal may stand for many."""
        news = os.WNOHANG | os.WUNTRACED | os.WCONTINUED
        with contextlib.suppress(ChildProcessError):
            while (told := os.waitpid(-1, news))[0]:
                pid, status = told
                if pid != self._pid:
                    continue
                self._is_stopped = os.WIFSTOPPED(status)
                if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                    self._pid, self._status = None, status

    def _clear(self) -> None:
        """End what the program left behind: asked first, then killed."""
        asked: dict[int, str | None] = {}
        began = self._now()
        while left := self._leftovers.find():
            passed = self._now() - began
            if passed >= 2 * PATIENCE:
                tell(f"what the program left behind cannot be ended: {left}")
                break
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if passed >= PATIENCE:
                        os.kill(pid, signal.SIGKILL)
                    elif pid not in asked:
                        asked[pid] = name(pid)
                        os.kill(pid, signal.SIGTERM)
            self._look(_SWEEP)
        ended = {pid: short for pid, short in asked.items() if short and pid not in left}
        if ended:
            tell(told_ended(ended))

    def _rest(self, until: float) -> None:
        while self._asked is None and (left := until - self._now()) > 0:
            self._look(left)

    def _wait_for_room(self) -> None:
        tell_at = began = self._now()
        while self._asked is None and (shortage := self._room.shortage()) is not None:
            if (now := self._now()) >= tell_at:
                waited = f" ({human_seconds(now - began)} so far)" if now > began else ""
                tell(f"waiting for room to start the program again{waited}: {shortage}")
                tell_at = now + TELL_EVERY
            self._rest(now + LOOK)

    def _look(self, seconds: float) -> None:
        """Take one signal, or none within so many seconds."""
        taken = signal.sigtimedwait(TAKEN, max(0.0, seconds))
        if taken is not None:
            self._take(taken)


def main(arguments: Sequence[str]) -> int:
    """Supervise; the arguments come checked from `membudget run`.

    Args:
        arguments: Seconds before the first restart, the share up to which there is room, the
            executable, and its arguments with its own name first.
    """
    first, low, path, *argv = arguments
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # Where it is ignored, no death is told.
    adopt_orphans()
    program = Program(path, argv, mask)
    return Supervisor(program, Room(float(low)), Backoff(float(first))).run()
