"""Starting the program, and becoming the parent of what it leaves behind. Linux only.

Source: prctl(2), PR_SET_CHILD_SUBREAPER and PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from typing import TYPE_CHECKING, NoReturn

from .deaths import NOT_EXECUTABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STDERR = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_prctl = ctypes.CDLL(None, use_errno=True).prctl
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


class Program:
    """A command that can be started again and again.

    Args:
        path: The executable.
        argv: Its arguments, its own name first.
        mask: The signals that it starts with blocked.
    """

    def __init__(self, path: str, argv: Sequence[str], mask: Iterable[int]) -> None:
        self._path, self._argv, self._mask = path, list(argv), set(mask)

    def start(self) -> int:
        """Start it in this process's group and session; it ends when this process does.

        Returns:
            Its process id.

        Raises:
            OSError: The kernel has no room for one more process.
        """
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(supervisor)
        return pid

    def _become(self, supervisor: int) -> NoReturn:
        try:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != supervisor:  # It died before the line above could tell.
                os.kill(os.getpid(), signal.SIGKILL)
            # Python ignores two signals of its own accord and turns SIGINT into an exception.
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            os.execv(self._path, self._argv)  # noqa: S606  # running what was asked for is the job
        except OSError as error:
            tell(f"command {self._argv[0]!r} did not start: {error.strerror}")
        finally:
            os._exit(NOT_EXECUTABLE)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    if _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        error = os.strerror(ctypes.get_errno())
        tell(f"what the program leaves behind cannot be found ({error}): look for it by yourself")


def tell(message: str) -> None:
    """Say one line on standard error, if somebody takes it within a second.

    A reader that stalls must not keep signals from the program.
    """
    with contextlib.suppress(OSError):
        ready = select.poll()
        ready.register(STDERR, select.POLLOUT)
        if ready.poll(1000):
            os.write(STDERR, f"membudget: {message}\n".encode(errors="backslashreplace"))
