"""Real memory groups of cgroup v2, as the kernel of a guest has them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from cgroup_v1 import LimitedGroup

_MOUNT = Path("/sys/fs/cgroup")


class Group(LimitedGroup):
    """A memory group of version 2."""

    def set_limit(self, limit_bytes: int | None) -> None:
        """Set where the kernel kills, None for nowhere."""
        self.write("memory.max", "max" if limit_bytes is None else str(limit_bytes))

    def set_high(self, limit_bytes: int) -> None:
        self.write("memory.high", str(limit_bytes))

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def current(self) -> int:
        return self._figure("memory.current")

    def swapped(self) -> int:
        return self._figure("memory.swap.current")

    def oom_kills(self) -> int:
        """How many processes the kernel killed in it and below it for want of memory."""
        lines = (self.path / "memory.events").read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])


@contextlib.contextmanager
def group_v2(
    limit_bytes: int | None = None,
    *,
    name: str = "app",
    parent: Group | None = None,
    swap: bool = False,
) -> Iterator[Group]:
    """A memory group, removed at the end with what runs in it; a parent holds no process."""
    above = parent.path if parent is not None else _MOUNT
    (above / "cgroup.subtree_control").write_text("+memory")
    group = Group(above / name)
    group.path.mkdir()
    try:
        group.set_limit(limit_bytes)
        if not swap:
            group.write("memory.swap.max", "0")
        yield group
    finally:
        group.remove()
