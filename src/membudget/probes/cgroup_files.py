"""What one memory cgroup says of itself, in the words of version 1 or 2.

Used is what the kernel cannot take back. Usage itself is no measure of need: it counts the page
cache, and read 99 % of the limit for a process that held nothing and re-read a file; less
inactive_file, as the kubelet has it, it still read 85 %.

- v2: anon + shmem + sock + kernel, less slab_reclaimable. `kernel` does not contain `sock`. Before
  Linux 5.18 there is no `kernel`, and its parts are added up.
- v1: total_rss + total_shmem + kmem. Slab that could be reclaimed is inside kmem and told nowhere
  in v1 (memory.kmem.slabinfo is empty since Linux 5.9), so nothing is taken off: a process that
  walks large directory trees reads higher on v1 than on v2.
- Both: and what of it was swapped out, since a group that swaps needs more than it is given. v2
  counts pages read back as long as their place in the swap is kept, so `swapcached` is taken off.

Limits: v2 memory.max kills and memory.high throttles until nothing goes forward, so both count.
v1's soft limit does neither and is left out, as are the limits of swap: all use is held against
that of memory.

Sources: the kernel's admin guides to cgroup v1 and v2, and mm/memcontrol.c.

Where this process's memory cgroup lies in the file system, and what lies above it.

Three layouts are in use: v1 with one hierarchy a controller, v2 with one for all, and hybrid,
where v2 is mounted beside v1 and memory belongs to one of them. /proc/PID/cgroup names the group
by a path from the hierarchy's root; /proc/self/mountinfo says which part of the hierarchy is
mounted where. In a container the two need not meet: the mount may show only the container's own
part (its root field is then the container's group), or the path may name a group of the host that
no mount shows. Then the mount point itself is the container's group, or the nearest to it that
can be seen.

Sources: cgroups(7), proc_pid_mountinfo(5), and the kernel's admin guides to cgroup v1 and v2.
"""

from __future__ import annotations

import os

from membudget.core import Record
from membudget.probes.kernel_files import KernelFile, figure, read_whole, unexpected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


_STAT = "memory.stat"


class Place(Record):
    """One visible memory group.

    Attributes:
        version: 1 or 2.
        folder: Where its files are.
        name: Its path in its hierarchy, as people know it.
    """

    version: int
    folder: str
    name: str


class _Mount(Record):
    version: int
    root: str
    point: str


def membership(pid: int | None, root: str) -> bytes:
    """The text that tells which groups a process is in; it changes when the process is moved.

    Args:
        pid: The process, or None for this one.
        root: The folder that holds proc, without a slash at its end.
    """
    return read_whole(f"{root}/proc/{'self' if pid is None else pid}/cgroup") or b""


def visible_groups(groups: bytes, root: str) -> list[Place]:
    """The memory group named in a membership and all above it that can be seen, innermost first.

    Groups whose memory is not counted are left out, so that the list is empty where there is no
    memory controller. Cost: about 100 µs.

    Args:
        groups: What `membership` told.
        root: The folder that holds proc and sys, without a slash at its end.

    Raises:
        ProbeError: A file of a group is there and cannot be read.
    """
    version, path = _own_path(groups)
    found: list[Place] = []
    for mount in _mounts(version, root):
        places = _chain(mount, path, root)
        # Where several mounts show the group, the one that shows most above it tells most.
        if len(places) > len(found):
            found = places
    return found


def _own_path(groups: bytes) -> tuple[int, str]:
    unified = ""
    for line in groups.splitlines():
        number, controllers, path = os.fsdecode(line).split(":", 2)
        if "memory" in controllers.split(","):
            return 1, path
        if number == "0" and not controllers:
            unified = path
    return 2, unified


def _mounts(version: int, root: str) -> list[_Mount]:
    # Always our own mounts, also for another process: its mount points are not ours to open.
    text = os.fsdecode(read_whole(f"{root}/proc/self/mountinfo") or b"")
    kind = "cgroup" if version == 1 else "cgroup2"
    mounts = []
    for line in text.splitlines():
        where, _, what = line.partition(" - ")
        words = what.replace(",", " ").split(" ")
        if words[0] == kind and (version != 1 or "memory" in words):
            mounted, point = map(_unescaped, where.split(" ")[3:5])
            mounts.append(_Mount(version=version, root=mounted, point=point))
    return mounts


def _chain(mount: _Mount, path: str, root: str) -> list[Place]:
    """The group at a path and those above it, down from where this mount begins."""
    top = f"{root}{mount.point}".rstrip("/")
    inner = _below(path, mount.root)
    if _is_missing(f"{top}{inner}"):
        inner = ""
    outer = mount.root.rstrip("/")
    places = []
    while True:
        folder = f"{top}{inner}"
        if read_whole(f"{folder}/{_STAT}") is not None:
            name = f"{outer}{inner}" or "/"
            places.append(Place(version=mount.version, folder=folder, name=name))
        if not inner:
            return places
        inner = inner.rpartition("/")[0]


def _below(path: str, top: str) -> str:
    """The part of a path below a folder; "" for the folder itself and for paths outside it."""
    inner = path.removeprefix(top.rstrip("/"))
    is_inside = (inner != path or top == "/") and inner.startswith("/")
    return inner.rstrip("/") if is_inside and "/../" not in f"{path}/" else ""


def _is_missing(folder: str) -> bool:
    # Not os.access: a folder that may not be looked into is there, and an error of its own.
    try:
        os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _unescaped(field: str) -> str:
    """A field of mountinfo with blanks, tabs, newlines and backslashes as themselves again."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


_ENDLESS = 1 << 60
"""Bytes from which a limit is none: v1 writes "no limit" as the last page below 2^63."""

_KERNEL_PARTS = (
    b"\nkernel_stack ",
    b"\npagetables ",
    b"\nsec_pagetables ",
    b"\npercpu ",
    b"\nvmalloc ",
    b"\nslab_unreclaimable ",
)


class _Words(Record):
    """What one version calls things.

    Attributes:
        limits: Files with a limit each.
        beside: The file with what memory.stat lacks: v1's kernel memory, v2's swap.
        kills: The file that counts kills, and the key in it.
        split: Used, shared memory, page cache and swap, from memory.stat and what is beside it.
    """

    limits: tuple[str, ...]
    beside: str
    kills: tuple[str, bytes]
    split: Callable[[bytes, int], tuple[int, int, int, int]]


class Group:
    """One memory group; its files are opened at the first look and kept open.

    Args:
        place: Where it is.
        ram: Bytes of memory that the machine has, or None: a limit above it is none.
    """

    __slots__ = ("_files", "_ram", "_words", "place")

    def __init__(self, place: Place, ram: int | None) -> None:
        self.place = place
        self._ram = ram if ram is not None else _ENDLESS
        self._words = _VERSIONS[place.version]
        self._files: tuple[KernelFile, KernelFile | None] | None = None

    def limit(self) -> int | None:
        """The smallest of its own limits, or None. Cost: 10 to 20 µs.

        Raises:
            ProbeError: A limit is there and cannot be read.
        """
        return min(self.limits().values(), default=None)

    def limits(self) -> dict[str, int]:
        """Its own limits by the files that hold them.

        Raises:
            ProbeError: A limit is there and cannot be read.
        """
        limits = {name: self._limit_in(name) for name in self._words.limits}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def inherited_limit(self) -> int | None:
        """The smallest limit that v1 keeps on this group, those above our sight included.

        v2 does not tell: None.

        Raises:
            ProbeError: memory.stat cannot be read.
        """
        text = read_whole(f"{self.place.folder}/memory.stat") or b""
        return self._finite(figure(text, b"\nhierarchical_memory_limit "))

    def use(self) -> dict[str, int]:
        """What it holds now, in bytes, as parts of a reading. Cost: 10 µs.

        Returns:
            `cgroup`, what cannot be taken back; `cgroup_file`, page cache without shared memory;
            `cgroup_shmem` and `cgroup_swap`, what of the first is shared memory (files in a tmpfs
            among it) and what is swapped out, if any.

        Raises:
            ProbeError: A file is gone, cannot be read, or says something else.
        """
        stat, beside = self._files or self._open()
        text = b"\n" + stat.read()
        try:
            used, shmem, file, swap = self._words.split(text, int(beside.read()) if beside else 0)
        except ValueError as error:
            raise unexpected(stat.path, text[1:], str(error)) from error
        parts = {"cgroup": used + swap, "cgroup_file": file}
        if shmem:
            parts["cgroup_shmem"] = shmem
        if swap:
            parts["cgroup_swap"] = swap
        return parts

    def kills(self) -> int | None:
        """How often the kernel killed in it for want of memory, or None where it does not tell.

        v1 counts the group alone, v2 the groups below it as well.

        Raises:
            ProbeError: The count is there and cannot be read.
        """
        name, key = self._words.kills
        return figure(b"\n" + (read_whole(f"{self.place.folder}/{name}") or b""), key)

    def close(self) -> None:
        """Give the descriptors back; a later look opens the files anew."""
        for file in self._files or ():
            if file:
                file.close()
        self._files = None

    def _open(self) -> tuple[KernelFile, KernelFile | None]:
        folder, words = self.place.folder, self._words
        self._files = (
            KernelFile(f"{folder}/memory.stat"),
            _opened_if_there(f"{folder}/{words.beside}"),
        )
        return self._files

    def _limit_in(self, name: str) -> int | None:
        path = f"{self.place.folder}/{name}"
        text = read_whole(path)
        if text is None or text.strip() == b"max":
            return None
        try:
            return self._finite(int(text))
        except ValueError as error:
            raise unexpected(path, text, "bytes or max are due") from error

    def _finite(self, limit: int | None) -> int | None:
        if limit is None or limit > self._ram:
            return None
        # memory.high may be 0 on purpose: all use is too much then, yet no share of 0 is defined.
        return max(1, limit)


def _opened_if_there(path: str) -> KernelFile | None:
    return KernelFile(path) if os.access(path, os.F_OK) else None


def _split_v1(text: bytes, kernel: int) -> tuple[int, int, int, int]:
    shmem = figure(text, b"\ntotal_shmem ") or 0
    used = _due(text, b"\ntotal_rss ") + shmem + kernel
    file = _due(text, b"\ntotal_cache ") - shmem
    return used, shmem, file, figure(text, b"\ntotal_swap ") or 0


def _split_v2(text: bytes, swap: int) -> tuple[int, int, int, int]:
    shmem = _due(text, b"\nshmem ")
    kernel = figure(text, b"\nkernel ")
    if kernel is None:
        kernel = sum([figure(text, key) or 0 for key in _KERNEL_PARTS])
    else:
        kernel -= figure(text, b"\nslab_reclaimable ") or 0
    used = _due(text, b"\nanon ") + shmem + kernel + (figure(text, b"\nsock ") or 0)
    swap -= figure(text, b"\nswapcached ") or 0
    return used, shmem, _due(text, b"\nfile ") - shmem, max(0, swap)


def _due(text: bytes, key: bytes) -> int:
    found = figure(text, key)
    if found is None:
        raise ValueError(f"a line {key.decode().strip()} is due")
    return found


_VERSIONS = {
    1: _Words(
        limits=("memory.limit_in_bytes",),
        beside="memory.kmem.usage_in_bytes",
        kills=("memory.oom_control", b"\noom_kill "),
        split=_split_v1,
    ),
    2: _Words(
        limits=("memory.max", "memory.high"),
        beside="memory.swap.current",
        kills=("memory.events", b"\noom_kill "),
        split=_split_v2,
    ),
}
