"""Where a process runs: its environment, its settings and the kernel's files about it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from membudget.cli.lookup import environ_of, find
from membudget.core import Record
from membudget.errors import ConfigError, MembudgetError
from membudget.probes.cgroup_files import membership, visible_groups
from membudget.probes.kernel_files import figure, read_whole
from membudget.settings.resolve import Settings, resolve
from membudget.settings.table import CONFIG_VARIABLE
from membudget.units import KIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.probes.cgroup_files import Place

_UNLIMITED = "unlimited"
_NAME_ENDS = 25
"""The column of /proc/PID/limits where the figures begin (proc_pid_limits(5))."""


class Surroundings(Record):
    """What a checkup looks at.

    Attributes:
        pid: The process looked at, or None for whatever is started from here.
        root: The folder that holds proc and sys, without a slash at its end.
        environ: The environment it was started with.
        settings: Those that hold there; the defaults where there is something wrong with them.
        error: What is wrong with the settings, or None.
        command: The program that `membudget run` would be given, if any.
        brake: What the process tells of its brake, or None.
    """

    pid: int | None
    root: str
    environ: Mapping[str, str]
    settings: Settings
    error: ConfigError | None
    command: tuple[str, ...] = ()
    brake: Mapping[str, Any] | None = None

    @property
    def folder(self) -> str:
        """The process's own folder below `root`."""
        return f"/proc/{'self' if self.pid is None else self.pid}"

    @property
    def ram(self) -> int | None:
        """Bytes of memory that the machine has, where /proc tells."""
        return self.kilobytes("/proc/meminfo", "MemTotal")

    def read(self, path: str) -> str | None:
        """The text of a file below `root`, without blanks around it; None where there is none.

        Raises:
            ProbeError: It is there and cannot be read.
        """
        text = read_whole(f"{self.root}{path}")
        return None if text is None else text.decode("utf-8", "replace").strip()

    def kilobytes(self, path: str, key: str) -> int | None:
        """Bytes, from a line of a file that names its figure in kB, as meminfo and status do.

        Raises:
            ProbeError: The file is there and cannot be read.
        """
        text = b"\n" + (read_whole(f"{self.root}{path}") or b"")
        # meminfo aligns by blanks, status by a tab.
        found = figure(text.replace(b"\t", b" "), f"\n{key}:".encode(), b" kB\n")
        return None if found is None else found * KIB

    def own(self, key: str) -> int | None:
        """Bytes that the process's status tells under a key, such as VmData."""
        return self.kilobytes(f"{self.folder}/status", key)

    def groups(self) -> list[Place]:
        """The memory group of the process and those above it, innermost first.

        Raises:
            ProbeError: One is there and cannot be read.
        """
        return visible_groups(membership(self.pid, self.root), self.root)

    def resource_limits(self) -> dict[str, tuple[int | None, int | None]]:
        """Soft and hard limits by the kernel's names for them; None is no limit.

        Raises:
            ProbeError: They are there and cannot be read.
        """
        found = {}
        for line in (self.read(f"{self.folder}/limits") or "").splitlines()[1:]:
            name, fields = line[:_NAME_ENDS].strip(), line[_NAME_ENDS:].split()
            if fields[2:] == ["bytes"]:
                soft, hard = (None if one == _UNLIMITED else int(one) for one in fields[:2])
                found[name] = soft, hard
        return found

    def is_in_container(self) -> str | None:
        """What tells that this is a container, or None."""
        if "KUBERNETES_SERVICE_HOST" in self.environ:
            return "KUBERNETES_SERVICE_HOST is set"
        top = self.root if self.pid is None else f"{self.root}/proc/{self.pid}/root"
        for mark in ("/.dockerenv", "/run/.containerenv"):
            if os.path.exists(f"{top}{mark}"):
                return f"{mark} is there"
        return None


def look_around(pid: int | None, command: tuple[str, ...]) -> Surroundings:
    """The surroundings of a process, or of what is started from here.

    Raises:
        ProbeError: There is no such process, or it is another user's.
    """
    environ = os.environ if pid is None else environ_of(pid)
    settings, error = _settings(environ, pid)
    return Surroundings(
        pid=pid,
        root="",
        environ=environ,
        settings=settings,
        error=error,
        command=command,
        brake=None if pid is None else _brake(pid),
    )


def _brake(pid: int) -> dict[str, Any] | None:
    """The brake's figures as the process tells them, or None."""
    try:
        found = find(pid)
        state: dict[str, Any] | None = found[0].ask("memory")["brake"] if found else None
    except MembudgetError:  # What hinders is told by the looks at its folder and its settings.
        return None
    return state


def _settings(environ: Mapping[str, str], pid: int | None) -> tuple[Settings, ConfigError | None]:
    path = environ.get(CONFIG_VARIABLE)
    if path and pid is not None:
        # It is meant from where that process stands.
        try:
            here = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            here = ""
        environ = {**environ, CONFIG_VARIABLE: os.path.join(here, path)}
    try:
        return resolve({}, environ), None
    except ConfigError as error:
        return resolve({}, {}), error
