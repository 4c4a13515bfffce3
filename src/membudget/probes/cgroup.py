"""The memory cgroup of a process: how much of the tightest limit over it is used.

A limit on any group above ours ends us as surely as our own, and is shared with whoever else is
in that group. So what is judged is the limited group with the highest fraction, its own use
against its own limit. Which one that is, and all limits, are looked at anew twice a second:
containers are resized while they run. In between, one group is read.
"""

from __future__ import annotations

import time
from contextlib import suppress

from membudget.core import OWN, Reading
from membudget.errors import ProbeError
from membudget.probes.cgroup_files import Group, membership, visible_groups
from membudget.probes.kernel_files import figure, read_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.probes.cgroup_files import Place

LOOK = 0.5
"""Seconds between two looks at the whole tree, while it is read so often: a process that grows may
be in another group, or under another limit, since the last one. A look costs 0.1 to 0.2 ms."""


class _NoControllerError(ProbeError):
    """No memory controller can be seen."""


class CgroupProbe:
    """What the kernel cannot take back of the group nearest to its limit, and that limit.

    For one thread at a time; a child may go on with it after a fork. Where a group was removed or
    a file cannot be read, the call raises and the next one finds anew where the process is.

    Args:
        pid: The process, or None for this one.
        root: The folder that holds proc and sys.
        own: Reads the process's own bytes, told with the group's as they stood at that moment:
            what it grew since is counted from there.
        now: Monotonic seconds.

    Raises:
        ProbeError: There is no memory controller, or a file of it cannot be read.
    """

    __slots__ = (
        "_due", "_groups", "_limit", "_membership", "_now", "_own", "_pid", "_ram", "_root",
        "_watched", "source",
    )  # fmt: skip

    def __init__(
        self,
        pid: int | None = None,
        root: str = "/",
        *,
        own: Callable[[], int] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pid, self._root, self._now = pid, root.rstrip("/"), now
        self._own = own
        meminfo = b"\n" + (read_whole(f"{self._root}/proc/meminfo") or b"")
        ram = figure(meminfo, b"\nMemTotal:", b" kB\n")
        self._ram = ram * 1024 if ram is not None else None
        self._membership = b""
        self._groups: list[Group] = []
        self._limit: int | None = None
        self._due = float("-inf")
        self._look_around(now())

    def __call__(self) -> Reading:
        """Read the group nearest to its limit; without any limit, the process's own.

        Cost: 10 µs, and 25 µs for each group at a look around.

        Raises:
            ProbeError: A file is gone, cannot be read, or says something else.
        """
        at = self._now()
        if at >= self._due:
            self._look_around(at)
        try:
            parts = self._use()
        except ProbeError:
            # Gone, or closed by the program, which may close what it did not open: once more.
            self.close()
            self._look_around(at)
            parts = self._use()
        return Reading(
            at=at, used=parts["cgroup"], limit=self._limit, source=self.source, parts=parts
        )

    def _use(self) -> dict[str, int]:
        # The process first: where others run in between, what it grew meanwhile counts twice,
        # which is safer than not at all.
        own = None
        if self._own is not None:
            with suppress(ProbeError):  # The process may be unreadable where its group is not.
                own = self._own()
        parts = self._watched.use()
        if own is not None:
            parts[OWN] = own
        return parts

    def look_soon(self) -> None:
        """Look around at the next call."""
        self._due = float("-inf")

    @property
    def place(self) -> Place:
        """The group that is read, as chosen at the last look around."""
        return self._watched.place

    def shrinkable(self) -> list[str]:
        """The folders of the v1 groups, own and above, that somebody may give a lower limit."""
        # What is done to the root is done to the machine.
        return [
            group.place.folder
            for group in self._groups
            if group.place.version == 1 and (group.place.name != "/" or group.limit() is not None)
        ]

    def oom_kills(self) -> int | None:
        """How often the kernel killed for want of memory in the process's own group.

        Returns:
            The count, or None where it is not told (v1 before Linux 4.13).

        Raises:
            ProbeError: The count is there and cannot be read.
        """
        return self._groups[0].kills() if self._groups else None

    def close(self) -> None:
        """Give the descriptors back; a later call opens the files anew."""
        for group in self._groups:
            group.close()
        self._groups = []
        self._due = float("-inf")

    def _look_around(self, at: float) -> None:
        try:
            self._find_groups()
            self._choose()
        except ProbeError:
            self.close()
            raise
        self._due = at + LOOK

    def _find_groups(self) -> None:
        text = membership(self._pid, self._root)
        if self._groups and text == self._membership:
            return
        self.close()
        places = visible_groups(text, self._root)
        if not places:
            raise _NoControllerError(
                f"{self._root}/proc/self/mountinfo shows no cgroup with a memory controller: "
                "mount it, or set a limit of your own"
            )
        self._groups = [Group(place, self._ram) for place in places]
        self._membership = text

    def _choose(self) -> None:
        own, top = self._groups[0], self._groups[-1]
        limited = [
            (group, limit, "") for group in self._groups if (limit := group.limit()) is not None
        ]
        inherited = own.inherited_limit()
        if inherited is not None and all(inherited < limit for _group, limit, _whose in limited):
            # The group that has it cannot be seen, nor what it uses: ours is at most that.
            limited.append((top, inherited, " (limit of a group above)"))
        self._watched, self._limit, whose = max(limited, key=_tightness, default=(own, None, ""))
        self.source = f"cgroup v{self.place.version} {self.place.name}{whose}"
        for group in self._groups:
            if group is not self._watched:
                group.close()


def cgroup_probe(
    pid: int | None = None,
    root: str = "/",
    *,
    own: Callable[[], int] | None = None,
    now: Callable[[], float] = time.monotonic,
) -> CgroupProbe | None:
    """A probe of a process's memory cgroup, or None where no memory controller can be seen.

    Raises:
        ProbeError: There is one, and a file of it cannot be read.
    """
    try:
        return CgroupProbe(pid, root, own=own, now=now)
    except _NoControllerError:
        return None


def _tightness(candidate: tuple[Group, int, str]) -> tuple[float, int]:
    group, limit, _whose = candidate
    return group.use()["cgroup"] / limit, -limit
