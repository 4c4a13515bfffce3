r"""Where this process's memory cgroup lies in the file system, and what lies above it.

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
from membudget.probes.kernel_files import read_whole

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
