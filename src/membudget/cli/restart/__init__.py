"""The supervisor of `membudget run --restart`: it stays, and starts the program anew when it dies.

It is a process of its own with one thread, and runs without site and without the command line's
imports: the one that parsed the options becomes it by exec. Here is what the end of a program was,
in words, what follows from it, and room for its next start.
"""

from __future__ import annotations

import signal

from membudget.core import Record
from membudget.errors import ProbeError
from membudget.probes.cgroup import cgroup_probe
from membudget.probes.kernel_files import figure, read_whole
from membudget.probes.process import system_probe
from membudget.units import format_fraction, human_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from membudget.core import Reading

LADDERS_EXIT = 75
"""What the ladder's planned exit leaves with: EX_TEMPFAIL of sysexits.h."""

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_WRONG = {64: "wrong usage", NOT_EXECUTABLE: "cannot be executed", NOT_FOUND: "not found"}
"""Exit codes that tell what no restart mends."""

MOST = 60
"""How many first waits the longest wait is: 1 s grows to 60 s."""

SETTLED = 60.0
"""Seconds of life after which the wait is the first one again."""

HEEDED = 10.0
"""Seconds of life after a signal which show that the program has not done what it asks for."""

_SIGNALLED = 128
"""What a shell adds to a signal's number to report a death by it."""


class Request(Record):
    """A signal that asked the program to end, or to stop, in monotonic seconds."""

    number: int
    at: float

    def is_obeyed_by(self, code: int) -> bool:
        """Whether that end is what the signal does, or what a shell reports of it."""
        return code in (-self.number, _SIGNALLED + self.number)

    def is_recent(self, at: float) -> bool:
        """Whether what the program does at that time may follow from it."""
        return at - self.at <= HEEDED


class Kills(Record):
    """How often the kernel has killed for want of memory, in the "group" or on the "machine"."""

    where: str
    count: int


class Death(Record):
    """The end of one life of the program.

    Attributes:
        code: Its exit code, or the number of the signal that ended it, negative.
        before: The kernel's kills at its start, or None where they are not told.
        after: The kernel's kills at its end, or None.
    """

    code: int
    before: Kills | None
    after: Kills | None

    @property
    def exit_code(self) -> int:
        """What a shell would report of it."""
        return self.code if self.code >= 0 else _SIGNALLED - self.code

    @property
    def is_final(self) -> bool:
        """Whether no restart would help: all went well, or the command itself is wrong."""
        return self.code == 0 or self.code in _WRONG

    @property
    def reason(self) -> str:
        """What ended it, to stand behind "program"."""
        before, after = self.before, self.after
        kills = ""
        if before and after and before.where == after.where and after.count > before.count:
            kills = f"{after.where} oom_kill {before.count} → {after.count}"
        if self.code == -signal.SIGKILL:
            if kills:
                return f"killed by the kernel for want of memory ({kills})"
            if after is None:
                return f"killed by {_named(9)}; nothing tells whether for want of memory"
            return f"killed by somebody with {_named(9)}; {after.where} oom_kill is no higher"
        meanwhile = f"; meanwhile the kernel killed another process ({kills})" if kills else ""
        if self.code < 0:
            return f"ended by {_named(-self.code)}{meanwhile}"
        if self.code == LADDERS_EXIT:
            return f"left by the ladder's exit ({LADDERS_EXIT}){meanwhile}"
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
    """Tells whether there is room for a start, and how often the kernel killed for want of it.

    It looks at the group this process is in, and keeps no file open. Cost of a look: 1 ms.

    Args:
        low: The share of the limit up to which there is room. What was in use before the first
            start is others' and does not count against it.
        root: The folder that holds proc and sys.
    """

    def __init__(self, low: float, root: str = "/") -> None:
        self._root = root.rstrip("/")
        found = self._read()
        self._low = low if found is None else max(low, found.fraction)

    def shortage(self) -> str | None:
        """Why the program should not be started now, or None where there is room.

        What cannot be read keeps nobody waiting.
        """
        found = self._read()
        if found is None or found.limit is None or found.fraction <= self._low:
            return None
        use = f"{human_bytes(found.used)} of {human_bytes(found.limit)}"
        return f"{found.source} holds {use} without it, above {format_fraction(self._low)}"

    def kills(self) -> Kills | None:
        """The kernel's kills so far, or None where they are not told.

        A victim is counted in its own group, whichever group above it was short.
        """
        try:
            if (probe := cgroup_probe(root=self._root)) is not None:
                count = probe.oom_kills()
                probe.close()
                if count is not None:
                    return Kills(where="group", count=count)
            count = figure(read_whole(f"{self._root}/proc/vmstat"), b"oom_kill ")
        except (ProbeError, ValueError):
            return None
        return None if count is None else Kills(where="machine", count=count)

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
