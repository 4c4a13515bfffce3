"""The supervisor of `membudget run --restart`: it stays, and starts the program anew when it dies.

The one that parsed the options becomes it by exec, without site and what the command line imports.
Every signal that can be caught belongs to the program, but for faults. They are taken, with the
deaths of children, one by one from the kernel's queue: none is lost between a look and a wait.
A shell waits for the supervisor, so that stops when it was sent such a signal and the program has
stopped: many programs run on. Linux only.

Sources: signal(7); core(5); sigaction(2); prctl(2); proc_pid_stat(5).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time

from membudget.cli import NOT_EXECUTABLE, NOT_FOUND, USAGE
from membudget.core import Record
from membudget.errors import ProbeError
from membudget.probes.cgroup import cgroup_probe
from membudget.probes.kernel_files import children_of, figure, read_whole
from membudget.probes.process import system_probe
from membudget.units import format_fraction, human_bytes, human_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import NoReturn

    from membudget.core import Reading

ENDING = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT))
"""Signals after which the end of the program is the end."""

STOPPING = frozenset((signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))  # They stop a program.

TAKEN = signal.valid_signals() - {
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
    *(signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS),
    *(signal.SIGKILL, signal.SIGSTOP),
}
"""All that is passed on, and SIGCHLD; not faults, and not what cannot be caught."""

_BY_TERMINAL = ENDING | STOPPING | {signal.SIGHUP, signal.SIGCONT, signal.SIGWINCH}
_BY_KERNEL = 0x80  # si_code of what the kernel sends: SI_KERNEL.
PATIENCE = 10.0  # Seconds for what was left behind to end, and again to be gone once killed.
LOOK, TELL_EVERY = 1.0, 60.0  # Seconds between two looks for room, and two lines that tell of it.
_SWEEP = 0.1  # Seconds between two looks for what is left: a child's child sends no signal.
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_STARTED = 19  # The field of a process's start among those behind its name, from 0.
_MOST_NAMED = 10
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]

_WRONG = {USAGE: "wrong usage", NOT_EXECUTABLE: "cannot be executed", NOT_FOUND: "not found"}
"""Exit codes that tell what no restart mends."""

MOST, SETTLED = 60, 60.0
"""How many first waits the longest is, and seconds of life after which it is the first again."""

_STARVED = "killed by the kernel for want of memory"
_IN_A_ROW = 3  # Such ends from which on more than a restart is advised.

HEEDED = 10.0  # Seconds of life after a signal which show that the program did not heed it.


class Request(Record):
    """A signal that asked the program to end, or to stop, in monotonic seconds."""

    number: int
    at: float

    def is_obeyed_by(self, code: int) -> bool:
        """Whether that end is what the signal does, or what a shell reports of it."""
        return code in (-self.number, 128 + self.number)

    def is_recent(self, at: float) -> bool:
        """Whether what the program does at that time may follow from it."""
        return at - self.at <= HEEDED


class Death(Record):
    """The end of one life of the program."""

    code: int  # Negative for a signal.
    before: tuple[str, int] | None  # In the "group" or on the "machine", kills for want of memory.
    after: tuple[str, int] | None

    @property
    def exit_code(self) -> int:
        """What a shell would report of it."""
        return self.code if self.code >= 0 else 128 - self.code

    @property
    def is_final(self) -> bool:
        """Whether no restart would help: all went well, or the command itself is wrong."""
        return self.code == 0 or self.code in _WRONG

    @property
    def reason(self) -> str:
        """What ended it, to stand behind "program"."""
        before, after = self.before, self.after
        kills = ""
        if before and after and before[0] == after[0] and after[1] > before[1]:
            kills = f"{after[0]} oom_kill {before[1]} → {after[1]}"
        if self.code == -signal.SIGKILL:
            if kills:
                return f"{_STARVED} ({kills})"
            if after is None:
                return f"killed by {_named(9)}; nothing tells whether for want of memory"
            return f"killed by somebody with {_named(9)}; {after[0]} oom_kill is no higher"
        meanwhile = f"; meanwhile the kernel killed another process ({kills})" if kills else ""
        if self.code < 0:
            return f"ended by {_named(-self.code)}{meanwhile}"
        if self.code == os.EX_TEMPFAIL:
            return f"left by the ladder's exit ({self.code}){meanwhile}"
        wrong = f" ({_WRONG[self.code]})" if self.code in _WRONG else ""
        return f"ended by itself with exit code {self.code}{wrong}{meanwhile}"


def _named(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:  # A real-time signal has no name.
        return f"signal {number}"


class Backoff:
    """How long to wait before the next start: doubling, and short again after a long life."""

    def __init__(self, first: float) -> None:
        self._first = self._next = first

    def after(self, lived: float) -> float:
        """Seconds to wait after a life of that many seconds."""
        wait = self._first if lived >= SETTLED else self._next
        self._next = min(2 * wait, MOST * self._first)
        return wait


class Room:
    """Tells whether there is room for a start, and how often the kernel killed for want of it."""

    def __init__(self, low: float, root: str = "/") -> None:
        self._root = root.rstrip("/")
        found = self._read()  # What is in use before the first start is others'.
        self._low = low if found is None else max(low, found.fraction)

    def shortage(self) -> str | None:
        """Why the program should not be started now; what cannot be read keeps nobody waiting."""
        found = self._read()
        if found is None or found.limit is None or found.fraction <= self._low:
            return None
        use = f"{human_bytes(found.used)} of {human_bytes(found.limit)}"
        return f"{found.source} holds {use} without it, above {format_fraction(self._low)}"

    def kills(self) -> tuple[str, int] | None:
        """The kernel's so far: a victim counts in its own group, whichever above it was short."""
        try:
            if (probe := cgroup_probe(root=self._root)) is not None:
                count = probe.oom_kills()
                probe.close()
                if count is not None:
                    return "group", count
            count = figure(read_whole(f"{self._root}/proc/vmstat"), b"oom_kill ")
        except (ProbeError, ValueError):
            return None
        return None if count is None else ("machine", count)

    def _read(self) -> Reading | None:
        try:
            if (probe := cgroup_probe(root=self._root)) is not None:
                reading = probe()
                probe.close()
                if reading.limit is not None:
                    return reading
            return system_probe(f"{self._root}/")()
        except ProbeError:
            return None


def tell(message: str) -> None:
    """Say one line on standard error, if it is taken within a second: signals must not wait."""
    with contextlib.suppress(OSError):
        ready = select.poll()
        ready.register(2, select.POLLOUT)
        if ready.poll(1000):
            os.write(2, f"membudget: {message}\n".encode(errors="backslashreplace"))


class Leftovers:
    """The processes below this one, but for those that were here when this was made, and theirs."""

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


def _below(pid: int) -> list[int]:
    found = level = [pid]
    while level:
        level = [child for parent in level for child in _children(parent)]
        found = found + level
    return found[1:]


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):  # It has ended meanwhile.
        return list(children_of(pid))
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


def is_from_terminal(taken: signal.struct_siginfo) -> bool:
    """Whether a terminal sent it, which tells a whole process group."""
    return taken.si_code == _BY_KERNEL and taken.si_signo in _BY_TERMINAL


def stop_by(number: int) -> None:
    """Stop by that signal, blocked so far, until somebody continues this process."""
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
    signal.pthread_sigmask(signal.SIG_BLOCK, (number,))


class Supervisor:
    """Keeps a program running, which starts with the signals of `mask` blocked.

    One thread, with `TAKEN` blocked.
    """

    def __init__(
        self,
        program: tuple[str, list[str]],
        mask: Iterable[int],
        room: Room,
        backoff: Backoff,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._program, self._mask, self._now = program, mask, now
        self._room, self._backoff = room, backoff
        self._leftovers = Leftovers()
        self._pid: int | None = None
        self._status = 0
        self._asked: Request | None = None
        self._stop: Request | None = None
        self._is_hung_up = self._is_stopped = False

    def run(self) -> int:
        """Start the program again and again; the exit code of its last life, as a shell has it."""
        number = starved = 0
        while True:
            began = self._now()
            death = self._live()
            if self._is_last(death):
                self._clear()
                return death.exit_code
            number += 1
            wait = self._backoff.after(self._now() - began)
            again = f"starting it again in {human_seconds(wait)} (restart {number})"
            starved = starved + 1 if death.reason.startswith(_STARVED) else 0
            more = ""
            if starved >= _IN_A_ROW:
                more = "; raise the limit: `membudget memory -v` shows who holds it"
            tell(f"program {death.reason}; {again}{more}")
            until = self._now() + wait
            self._clear()
            self._rest(until)
            self._wait_for_room()
            if self._asked is not None:
                return 128 + self._asked.number

    def _live(self) -> Death:
        before = self._room.kills()
        self._is_hung_up = self._is_stopped = False
        self._stop = None
        try:
            supervisor = os.getpid()
            if (pid := os.fork()) == 0:
                self._become_program(supervisor)
            self._pid = pid
        except OSError as error:
            tell(f"the program cannot be started: {error.strerror}")
            self._status = os.EX_OSERR << 8
        while self._pid is not None:
            self._take(signal.sigwaitinfo(TAKEN))
        code = os.waitstatus_to_exitcode(self._status)
        return Death(code=code, before=before, after=self._room.kills())

    def _become_program(self, supervisor: int) -> NoReturn:
        """In the child, which ends when the supervisor does."""
        path, argv = self._program
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
            os.execv(path, argv)  # noqa: S606  # running what was asked for is the job
        except OSError as error:
            tell(f"command {argv[0]!r} did not start: {error.strerror}")
        finally:
            os._exit(NOT_EXECUTABLE)

    def _is_last(self, death: Death) -> bool:
        """Whether no start follows: told, unless a signal did what it was sent for."""
        asked = self._asked
        is_obeyed = asked is not None and asked.is_obeyed_by(death.code)
        if asked and not (is_obeyed or asked.is_recent(self._now())):
            self._asked = None
        has_hung_up = self._is_hung_up and death.code == -signal.SIGHUP
        if self._asked is None and not death.is_final and not has_hung_up:
            return False
        has_hung_up = self._is_hung_up and death.exit_code == 128 + signal.SIGHUP
        if death.code and not is_obeyed and not has_hung_up:
            tell(f"program {death.reason}; not starting it again")
        return True

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
                        short, *fields = _stat(pid)
                        asked[pid] = short if fields and fields[0] not in ("Z", "X") else None
                        os.kill(pid, signal.SIGTERM)
            self._look(_SWEEP)
        ended = [f"{pid} {short}" for pid, short in asked.items() if short and pid not in left]
        if ended:
            count = "1 process" if len(ended) == 1 else f"{len(ended)} processes"
            named = ", ".join(ended[:_MOST_NAMED])
            more = f" and {len(ended) - _MOST_NAMED} more" if len(ended) > _MOST_NAMED else ""
            tell(f"ended {count} that the program left behind: {named}{more}")

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
    """Supervise by seconds before the first restart, share up to which there is room, program."""
    first, low, path, *argv = arguments
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # Where it is ignored, no death is told.
    if _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:  # Orphans become our children.
        error = os.strerror(ctypes.get_errno())
        tell(f"what the program leaves behind cannot be found ({error}): look for it by yourself")
    return Supervisor((path, argv), mask, Room(float(low)), Backoff(float(first))).run()
