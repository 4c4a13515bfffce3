"""The memory cgroup of a process: how much of the tightest limit over it is used.

A limit on any group above ours ends us as surely as our own, so what is judged is the limited group
with the highest fraction, its own use against its own limit; which one that is, and all limits, are
looked at anew twice a second (ADR 26). Used is what the kernel cannot take back: usage counts the
page cache, and read 99 % for a process that held nothing and re-read a file.

- v2: anon + shmem + sock + kernel, less slab_reclaimable. `kernel` does not contain `sock`; before
  Linux 5.18 its parts are added up. memory.max kills, memory.high throttles: both count.
- v1: total_rss + total_shmem + kmem. Slab that could be reclaimed is inside kmem and told nowhere,
  so that a process that walks large directory trees reads higher than on v2.
- Both: and what of it was swapped out, in v2 less `swapcached`, whose place in the swap is kept.

In a container the mount may show only the container's own part, or the path may name a group that
no mount shows: then the mount point itself is the group, or the nearest to it that can be seen.

Sources: cgroups(7), proc_pid_mountinfo(5), the kernel's admin guides to cgroup v1 and v2, and
mm/memcontrol.c.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from membudget.core import OWN, Reading
from membudget.errors import ProbeError
from membudget.ownership import Identity, identity
from membudget.probes.kernel_files import KernelFile, figure, read_whole, unexpected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LOOK = 0.5  # Seconds between two looks at the whole tree, of 0.1 to 0.2 ms each (ADR 26).
_ENDLESS = 1 << 60  # v1 writes "no limit" as the last page below 2^63.
_LIMITS = {1: ("memory.limit_in_bytes",), 2: ("memory.max", "memory.high")}
_KILLS = {1: "memory.oom_control", 2: "memory.events"}
_BESIDE = {1: "memory.kmem.usage_in_bytes", 2: "memory.swap.current"}  # memory.stat lacks it.

_OF_V1 = (b"total_rss ", b"total_cache ", b"total_shmem ", b"total_swap ")
_OF_V2 = (
    b"anon ", b"file ", b"shmem ", b"sock ", b"swapcached ", b"slab_reclaimable ", b"kernel ",
    b"kernel_stack ", b"pagetables ", b"sec_pagetables ", b"percpu ", b"vmalloc ",
    b"slab_unreclaimable ",
)  # fmt: skip


class CgroupProbe:
    """What the kernel cannot take back of the group nearest to its limit, and that limit.

    For one thread at a time; a child may go on with it after a fork. Raises `ProbeError` where
    there is no memory controller, a group was removed or a file cannot be read; the next call finds
    anew where the process is. Cost of a call: 10 µs, and 25 µs for each group at a look around.

    The `root` is the folder that holds proc and sys; `own` reads the process's own bytes, told with
    the group's as they stood at that moment. `group` is the one read, as last chosen, `source` in
    words; `levels` are those with a limit, what each used at the last look, and the limit.
    """

    __slots__ = (
        "_due", "_groups", "_limit", "_membership", "_now", "_own", "_pid", "_ram", "_root",
        "group", "levels", "source",
    )  # fmt: skip

    group: Group

    def __init__(
        self,
        pid: int | None = None,
        root: str = "/",
        *,
        own: Callable[[], int] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pid, self._root, self._own, self._now = pid, root.rstrip("/"), own, now
        self._ram = figure(read_whole(f"{self._root}/proc/meminfo"), b"MemTotal:")
        self._membership = b""
        self._groups: list[Group] = []
        self._limit: int | None = None
        self.levels: list[tuple[Group, int, int]] = []
        self._look_around(now())

    def __call__(self) -> Reading:
        """Read the group nearest to its limit; without any limit, the process's own."""
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
        parts = self.group.use()
        if own is not None:
            parts[OWN] = own
        return parts

    def look_soon(self) -> None:
        """Look around at the next call."""
        self._due = float("-inf")

    def shrinkable(self) -> list[str]:
        """The folders of the v1 groups, own and above, that somebody may give a lower limit."""
        # What is done to the root is done to the machine.
        return [
            group.folder
            for group in self._groups
            if group.version == 1 and (group.name != "/" or group.limit() is not None)
        ]

    def oom_kills(self) -> int | None:
        """How often the kernel killed for want of memory in the process's own group.

        In v2 in those below it as well; None where it is not told (v1 before Linux 4.13).
        """
        return self._groups[0].kills() if self._groups else None

    def close(self) -> None:
        """Give the descriptors back; a later call opens the files anew."""
        for group in self._groups:
            group.close()
        self._groups = []
        self.look_soon()

    def _look_around(self, at: float) -> None:
        try:
            text = membership(self._pid, self._root)
            if not self._groups or text != self._membership:
                self.close()
                self._groups = visible_groups(text, self._root, self._ram)
                self._membership = text
            if not self._groups:
                raise _NoControllerError(
                    f"{self._root}/proc/self/mountinfo shows no cgroup with a memory controller: "
                    "mount it, or set a limit of your own"
                )
            self._choose()
        except ProbeError:
            self.close()
            raise
        self._due = at + LOOK

    def _choose(self) -> None:
        own, top = self._groups[0], self._groups[-1]
        limited = [
            (group, limit, "") for group in self._groups if (limit := group.limit()) is not None
        ]
        inherited = own.inherited_limit()
        if inherited is not None and all(inherited < limit for _group, limit, _whose in limited):
            # The group that has it cannot be seen, nor what it uses: ours is at most that.
            limited.append((top, inherited, " (limit of a group above)"))
        self.levels = [(group, group.use()["cgroup"], limit) for group, limit, _whose in limited]
        used = {id(group): use for group, use, _limit in self.levels}
        self.group, self._limit, whose = max(
            limited,
            key=lambda one: (used[id(one[0])] / one[1], -one[1]),
            default=(own, None, ""),
        )
        self.source: str = f"cgroup v{self.group.version} {self.group.name}{whose}"
        for group in self._groups:
            if group is not self.group:
                group.close()


class _NoControllerError(ProbeError):
    """No memory controller can be seen."""


def cgroup_probe(
    pid: int | None = None, root: str = "/", **options: Callable[[], Any]
) -> CgroupProbe | None:
    """A probe of a process's memory cgroup, or None where no memory controller can be seen."""
    try:
        return CgroupProbe(pid, root, **options)
    except _NoControllerError:
        return None


class Group:
    """One memory group that can be seen; its files are kept open from the first look at its use on.

    Methods raise `ProbeError` where a file is there and cannot be read, or says something else. Its
    `name` is its path in its hierarchy, as people know it, its `identity` device and inode of its
    folder, the same wherever it is seen; a limit above `ram`, the bytes of the machine, is none.
    """

    __slots__ = ("_files", "_ram", "folder", "identity", "name", "version")

    def __init__(self, version: int, folder: str, name: str, ram: int | None) -> None:
        self.version: int = version
        self.folder: str = folder
        self.name: str = name
        self.identity: Identity = identity(folder)  # None where it is gone by now.
        self._ram = ram if ram is not None else _ENDLESS
        self._files: tuple[KernelFile, KernelFile | None] | None = None

    def limit(self) -> int | None:
        """The smallest of its own limits, or None."""
        return min(self.limits().values(), default=None)

    def limits(self) -> dict[str, int]:
        """Its own limits by the files that hold them. Cost: 10 to 20 µs."""
        found = {}
        for name in _LIMITS[self.version]:
            text = read_whole(path := f"{self.folder}/{name}")
            if text is None or text.strip() == b"max":
                continue
            try:
                limit = self._finite(int(text))
            except ValueError as error:
                raise unexpected(path, text, "bytes or max are due") from error
            if limit is not None:
                found[name] = limit
        return found

    def inherited_limit(self) -> int | None:
        """The smallest limit that v1 keeps on it, those above our sight included; None in v2."""
        text = read_whole(f"{self.folder}/memory.stat")
        return self._finite(figure(text, b"hierarchical_memory_limit "))

    def _finite(self, limit: int | None) -> int | None:
        if limit is None or limit > self._ram:
            return None
        # memory.high may be 0 on purpose: all use is too much then, yet no share of 0 is defined.
        return max(1, limit)

    def use(self) -> dict[str, int]:
        """What it holds now, in bytes, as parts of a reading. Cost: 8 µs.

        `cgroup` is what cannot be taken back, `cgroup_file` page cache without shared memory;
        `cgroup_shmem` and `cgroup_swap`, if any, are the first's shared memory (a tmpfs too) and
        swap.
        """
        stat, other = self._files or self._open()
        beside = other.numbers(1)[0] if other else 0
        if self.version == 1:
            found = stat.figures(_OF_V1, due=2)
            used, file, shmem, swap = [one or 0 for one in found]
            used += beside
        else:
            found = stat.figures(_OF_V2, due=3)
            used, file, shmem, sock, cached, reclaimable, kernel, *parts = [
                one or 0 for one in found
            ]
            used += sock + (sum(parts) if found[6] is None else kernel - reclaimable)
            swap = max(0, beside - cached)
        told = {"cgroup": used + shmem + swap, "cgroup_file": file - shmem}
        if shmem:
            told["cgroup_shmem"] = shmem
        if swap:
            told["cgroup_swap"] = swap
        return told

    def kills(self) -> int | None:
        """How often the kernel killed in it for want of memory, or None where it is not told."""
        return figure(read_whole(f"{self.folder}/{_KILLS[self.version]}"), b"oom_kill ")

    def close(self) -> None:
        """Give the descriptors back; a later look opens the files anew."""
        for file in self._files or ():
            if file:
                file.close()
        self._files = None

    def _open(self) -> tuple[KernelFile, KernelFile | None]:
        beside = f"{self.folder}/{_BESIDE[self.version]}"
        self._files = (
            KernelFile(f"{self.folder}/memory.stat"),
            KernelFile(beside) if os.access(beside, os.F_OK) else None,
        )
        return self._files


def membership(pid: int | None, root: str) -> bytes:
    """The text that tells which groups a process (or this one) is in; it changes with them."""
    return read_whole(f"{root}/proc/{'self' if pid is None else pid}/cgroup") or b""


def visible_groups(groups: bytes, root: str, ram: int | None) -> list[Group]:
    """The memory group named in a membership and all above it that can be seen, innermost first.

    Empty where there is no memory controller. Cost: about 100 µs.
    """
    version, path = 2, ""
    for line in groups.splitlines():
        number, controllers, named = os.fsdecode(line).split(":", 2)
        if "memory" in controllers.split(","):
            version, path = 1, named
            break
        if number == "0" and not controllers:
            path = named
    chains = [
        [
            Group(version, folder, name, ram)
            for folder, name in _chain(begins, point, path, root)
            if read_whole(f"{folder}/memory.stat") is not None
        ]
        for begins, point in _mounts(version, root)
    ]
    # Where several mounts show the group, the one that shows most above it tells most.
    return max(chains, key=len, default=[])


def _mounts(version: int, root: str) -> list[tuple[str, str]]:
    """Where each mount of the hierarchy begins in it, and where it is mounted."""
    # Always our own mounts, also for another process: its mount points are not ours to open.
    text = os.fsdecode(read_whole(f"{root}/proc/self/mountinfo") or b"")
    kind = "cgroup" if version == 1 else "cgroup2"
    mounts = []
    for line in text.splitlines():
        where, _, what = line.partition(" - ")
        words = what.replace(",", " ").split(" ")
        if words[0] == kind and (version != 1 or "memory" in words):
            begins, point = map(_unescaped, where.split(" ")[3:5])
            mounts.append((begins, point))
    return mounts


def _unescaped(field: str) -> str:
    """A field of mountinfo with blanks, tabs, newlines and backslashes as themselves again."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _chain(begins: str, point: str, path: str, root: str) -> list[tuple[str, str]]:
    """Folder and name of the group at a path and those above it, down from where a mount begins."""
    top, start = f"{root}{point}".rstrip("/"), begins.rstrip("/")
    inner = path.removeprefix(start)
    # A path that is not below this mount's beginning, or leads out of it, is not to be seen here.
    is_inside = (inner != path or not start) and inner.startswith("/") and "/../" not in f"{path}/"
    inner = inner.rstrip("/") if is_inside and not _is_missing(f"{top}{inner}") else ""
    chain = [(f"{top}{inner}", f"{start}{inner}" or "/")]
    while inner:
        inner = inner.rpartition("/")[0]
        chain.append((f"{top}{inner}", f"{start}{inner}" or "/"))
    return chain


def _is_missing(folder: str) -> bool:
    # Not os.access: a folder that may not be looked into is there, and an error of its own.
    with suppress(OSError):
        try:
            os.stat(folder)
        except (FileNotFoundError, NotADirectoryError):
            return True
    return False
