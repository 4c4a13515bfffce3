"""The memory that the program will have: its group, or the machine where no group has a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.errors import ProbeError
from membudget.probes.cgroup import cgroup_probe
from membudget.probes.kernel_files import figure, read_whole
from membudget.probes.system import system_probe
from membudget.units import format_fraction, human_bytes

from .deaths import Kills

if TYPE_CHECKING:
    from membudget.core import Reading


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
            text = b"\n" + (read_whole(f"{self._root}/proc/vmstat") or b"")
            count = figure(text, b"\noom_kill ")
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
