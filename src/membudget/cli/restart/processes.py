"""The program as a process: its start, and what it leaves behind. Linux only.

A process keeps its id and its children when it becomes another program by exec, as a container's
entry point does that starts a sidecar first. Those were never the program's.

Source: prctl(2), PR_SET_CHILD_SUBREAPER and PR_SET_PDEATHSIG; proc_pid_stat(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from typing import TYPE_CHECKING, NoReturn

from membudget.probes.kernel_files import children_of

from .deaths import NOT_EXECUTABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STDERR = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_STARTED = 19
"""The field of a process's start among those behind its name, from 0."""

_MOST_NAMED = 10

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


class Leftovers:
    """The processes below this one, but for those that were here when this was made.

    What those start is left alone as well, if they or their parents are still there when it is
    looked for: an orphan does not tell whose it was.
    """

    def __init__(self) -> None:
        self._earlier = _started(_below(os.getpid()))

    def find(self) -> list[int]:
        """The process ids, parents before their children. Cost: 20 µs each."""
        now = _started(list(self._earlier))
        self._earlier = {pid: now[pid] for pid in now if now[pid] == self._earlier[pid]}
        found: list[int] = []
        level = [os.getpid()]
        while level:
            children = [child for parent in level for child in _children(parent)]
            for pid in self._earlier.keys() & children:
                self._earlier |= _started(_below(pid))
            level = [child for child in children if child not in self._earlier]
            found += level
        return found


def name(pid: int) -> str | None:
    """The short name of a process, or None for one that has ended."""
    short, *fields = _stat(pid)
    return short if fields and fields[0] not in ("Z", "X") else None


def told_ended(names: dict[int, str]) -> str:
    """The line that tells which of the processes left behind were ended."""
    processes = "1 process" if len(names) == 1 else f"{len(names)} processes"
    named = [f"{pid} {short}" for pid, short in names.items()][:_MOST_NAMED]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"ended {processes} that the program left behind: {', '.join(named)}{more}"


def _below(pid: int) -> list[int]:
    found = level = [pid]
    while level:
        level = [child for parent in level for child in _children(parent)]
        found = found + level
    return found[1:]


def _children(pid: int) -> list[int]:
    try:
        return list(children_of(pid))
    except OSError:  # It has ended meanwhile.
        return []


def _started(pids: list[int]) -> dict[int, str]:
    """When each that is still there was started: an id alone may be another's tomorrow."""
    fields = {pid: _stat(pid) for pid in pids}
    return {pid: found[1 + _STARTED] for pid, found in fields.items() if len(found) > 1 + _STARTED}


def _stat(pid: int) -> list[str]:
    """The name and the fields behind it, or one empty name for a process that is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        front, _, behind = file.read().decode(errors="replace").rpartition(")")
        return [front.partition("(")[2], *behind.split()]
    return [""]
