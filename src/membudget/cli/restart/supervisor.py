"""The loop of the supervisor: start the program, wait for its end, tell it, start it again."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from membudget.units import human_seconds

from .deaths import Backoff, Death, told_restart
from .processes import Program, adopt_orphans, descendants, tell
from .room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENDING = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
"""Signals after which the end of the program is the end."""

PASSED_ON = ENDING | {
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGCONT,
    signal.SIGTSTP,
}
TAKEN = PASSED_ON | {signal.SIGCHLD}

PATIENCE = 10.0
"""Seconds that what the program left behind has to end, and again to be gone once killed."""

LOOK = 1.0
"""Seconds between two looks for room."""

TELL_EVERY = 60.0
"""Seconds between two lines that tell of waiting for room."""

_SWEEP = 0.1
"""Seconds between two looks for what is left: the end of a child's child sends us no signal."""

_BY_KERNEL = 0x80
"""si_code of a signal that a terminal sent to its foreground group: SI_KERNEL in signal(7)."""


class Supervisor:
    """Keeps a program running; one thread, with `TAKEN` blocked.

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
        self._pid: int | None = None
        self._status = 0
        self._asked: int | None = None
        self._is_hung_up = False

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
                return 128 + self._asked

    def _live(self) -> Death:
        """One life of the program, from its start to its end."""
        before = self._room.kills()
        self._is_hung_up = False
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
        has_hung_up = self._is_hung_up and death.code == -signal.SIGHUP
        return self._asked is not None or death.is_final or has_hung_up

    def _tell_last(self, death: Death) -> None:
        """Tell a failure; that a signal did what it was sent for is none."""
        asked = self._asked or (signal.SIGHUP if self._is_hung_up else 0)
        if death.code and death.code not in (-asked, 128 + asked):
            tell(f"program {death.reason}; not starting it again")

    def _take(self, taken: signal.struct_siginfo) -> None:
        """Do what a signal asks for: reap, pass it on, stop."""
        number = taken.si_signo
        if number == signal.SIGCHLD:
            self._reap()
            return
        if number in ENDING or (number == signal.SIGHUP and self._pid is None):
            self._asked = self._asked or number
        if self._pid is not None:
            self._is_hung_up |= number == signal.SIGHUP
            self._pass_on(self._pid, number, taken.si_code)
        if number == signal.SIGTSTP:
            _stop()

    def _pass_on(self, pid: int, number: int, code: int) -> None:
        # What a terminal sends reaches the whole group: the program has had it already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if code != _BY_KERNEL or os.getpgid(pid) != os.getpgrp():
                os.kill(pid, number)

    def _reap(self) -> None:
        """Take the status of every child that has ended: one signal may stand for many."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._pid:
                    self._pid, self._status = None, ended[1]

    def _clear(self) -> None:
        """End what the program left behind: asked first, then killed."""
        asked: set[int] = set()
        began = self._now()
        while left := descendants(os.getpid()):
            passed = self._now() - began
            if passed >= 2 * PATIENCE:
                tell(f"what the program left behind cannot be ended: {left}")
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if passed >= PATIENCE:
                        os.kill(pid, signal.SIGKILL)
                    elif pid not in asked:
                        os.kill(pid, signal.SIGTERM)
            asked.update(left)
            self._look(_SWEEP)

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


def _stop() -> None:
    """Stop as the program does, until somebody continues the group."""
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTSTP,))
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTSTP,))


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
