"""Real memory groups of cgroup v1, for tests and benches that need a limit the kernel keeps."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

MOUNT = Path("/sys/fs/cgroup/memory")
_PATIENCE = 60.0
"""Seconds for killed processes to leave a group."""

_numbers = count()


class LimitedGroup:
    """A memory group of our own, at its folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def enter_command(self, argv: Sequence[str]) -> list[str]:
        """A command that runs `argv` inside the group from its first instruction on."""
        enter = f'echo $$ > "{self.path}/cgroup.procs" && exec "$@"'
        return ["sh", "-c", enter, "sh", *argv]

    def start(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a process inside the group, with `subprocess.Popen`'s options, in text mode."""
        return subprocess.Popen(self.enter_command(argv), text=True, **options)

    def run(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a process inside the group to its end; its output is captured as text."""
        return subprocess.run(
            self.enter_command(argv), check=False, capture_output=True, text=True, **options
        )

    def set_limit(self, limit_bytes: int | None) -> None:
        """Set the group's limit, None for none."""
        text = str(-1 if limit_bytes is None else limit_bytes)
        # Swap counts in a second figure that must never be the smaller one of the two.
        names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        for name in (names[0], names[1], names[0]):
            with contextlib.suppress(OSError):
                (self.path / name).write_text(text)
        if limit_bytes is not None:
            assert self._figure(names[0]) <= limit_bytes, f"the kernel refused {limit_bytes} bytes"

    def peak(self) -> int:
        """The most that was ever charged to it, in bytes."""
        return self._figure("memory.max_usage_in_bytes")

    def oom_kills(self) -> int:
        """How many of its processes the kernel killed for want of memory."""
        lines = (self.path / "memory.oom_control").read_text().splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    def remove(self) -> None:
        until = time.monotonic() + _PATIENCE
        while self.path.exists():
            for pid in (self.path / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            try:
                self.path.rmdir()
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _figure(self, name: str) -> int:
        return int((self.path / name).read_text())


@contextlib.contextmanager
def limited_group(
    limit_bytes: int | None, *, parent: LimitedGroup | None = None
) -> Iterator[LimitedGroup]:
    """A memory group with a limit, in ours or another; removed at the end with what runs in it."""
    above = parent.path if parent is not None else own_folder()
    group = LimitedGroup(above / f"membudget-{os.getpid()}-{next(_numbers)}")
    group.path.mkdir()
    try:
        if limit_bytes is not None:
            group.set_limit(limit_bytes)
        yield group
    finally:
        group.remove()


def unavailable() -> str | None:
    """Why no such group can be made here, or None where it can."""
    if not MOUNT.is_dir():
        return "no memory controller of cgroup v1 is mounted"
    try:
        with limited_group(1 << 26):
            return None
    except OSError as error:
        return f"no memory group can be made here: {error}"


def own_folder() -> Path:
    """The folder of the group that this process is in, or the mount where that is not shown."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            folder = MOUNT / path.lstrip("/")
            return folder if folder.is_dir() else MOUNT
    return MOUNT
