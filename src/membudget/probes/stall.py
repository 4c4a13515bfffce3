"""How long tasks stood still for lack of memory: the kernel's pressure stall information (PSI).

A source for reports only. Without swap it stays at nought until moments before the kill, and
reading files alone can raise it, so nothing is judged by it.
"""

from __future__ import annotations

from membudget.core import Record
from membudget.errors import ProbeError
from membudget.probes.kernel_files import read_whole

PATH = "/proc/pressure/memory"


class Stall(Record):
    """Shares of time, 0 to 1, in which tasks waited for memory.

    Attributes:
        some10: Share of the last 10 s in which at least one task waited.
        some60: The same for the last 60 s.
        full10: Share of the last 10 s in which all tasks waited at once.
        full60: The same for the last 60 s.
        total_us: Microseconds, since the start, in which at least one task waited.
    """

    some10: float
    some60: float
    full10: float
    full60: float
    total_us: int


def read_stall(path: str = PATH) -> Stall | None:
    """The stalls of the machine, or of a cgroup whose memory.pressure is given. Cost: 15 µs.

    Returns:
        The record, or None where the kernel does not tell: PSI is missing or switched off.
    """
    try:
        text = read_whole(path)
    except ProbeError:
        # A kernel with PSI switched off shows the file and refuses to read it.
        return None
    lines = {
        fields[0]: fields[1:] for line in (text or b"").splitlines() if (fields := line.split())
    }
    if b"some" not in lines or b"full" not in lines:
        return None
    some, full = (dict(pair.split(b"=") for pair in lines[kind]) for kind in (b"some", b"full"))
    return Stall(
        some10=float(some[b"avg10"]) / 100,
        some60=float(some[b"avg60"]) / 100,
        full10=float(full[b"avg10"]) / 100,
        full60=float(full[b"avg60"]) / 100,
        total_us=int(some[b"total"]),
    )
