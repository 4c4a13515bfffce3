"""What `membudget doctor` looks at: where a process runs, and what is found there."""

from __future__ import annotations

import os
from contextlib import closing
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from membudget.cli.lookup import environ_of, find
from membudget.core import Reading, Record
from membudget.errors import ConfigError, MembudgetError, ProbeError
from membudget.probes.cgroup import Group, membership, visible_groups
from membudget.probes.kernel_files import figure, read_whole
from membudget.probes.process import ProcessProbe
from membudget.settings import Settings, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping


class Grade(IntEnum):
    """How bad it is: the exit code is that of the worst."""

    OK = 0
    NOTE = 1
    WARNING = 2
    DANGER = 3


class Finding(Record):
    """One line of a checkup; it is about what its check is about, unless it says otherwise."""

    grade: Grade
    found: str
    advice: str = ""
    subject: str = ""


def ok(found: str, subject: str = "") -> Finding:
    """All is well."""
    return Finding(grade=Grade.OK, found=found, subject=subject)


def note(found: str, advice: str = "", subject: str = "") -> Finding:
    """Worth knowing."""
    return Finding(grade=Grade.NOTE, found=found, advice=advice, subject=subject)


def warning(found: str, advice: str = "", subject: str = "") -> Finding:
    """Worth mending."""
    return Finding(grade=Grade.WARNING, found=found, advice=advice, subject=subject)


def danger(found: str) -> Finding:
    """It will get the process killed, or nothing can protect it as things are."""
    return Finding(grade=Grade.DANGER, found=found)


class Surroundings(Record):
    """What a checkup looks at: a process, or where there is none whatever is started from here."""

    pid: int | None
    root: str  # The folder that holds proc and sys, without a slash at its end.
    environ: Mapping[str, str]  # The environment it was started with.
    settings: Settings  # Those that hold there; the defaults where there is an `error` in them.
    error: ConfigError | None
    command: tuple[str, ...] = ()  # The program that `membudget run` would be given, if any.
    brake: Mapping[str, Any] | None = None  # What the process tells of its brake, or None.

    def read(self, path: str) -> str | None:
        """The text of a file below `root`, without blanks around it; None where there is none."""
        text = read_whole(f"{self.root}{path}")
        return None if text is None else text.decode("utf-8", "replace").strip()

    def meminfo(self, key: str) -> int | None:
        """Bytes, from the machine's own table."""
        return figure(read_whole(f"{self.root}/proc/meminfo"), f"{key}:".encode())

    def process(self) -> Reading:
        """What the process holds, as its budget would read it; nothing where that is not told."""
        try:
            with closing(ProcessProbe(self.pid, f"{self.root}/proc")) as probe:
                return probe()
        except ProbeError:
            return Reading(at=0.0, used=0)

    def groups(self) -> list[Group]:
        """The memory group of the process and those above it, innermost first."""
        ram = self.meminfo("MemTotal")
        return visible_groups(membership(self.pid, self.root), self.root, ram)

    def resource_limit(self, name: str) -> tuple[int | None, int | None]:
        """Soft and hard limit by its name, such as "RLIMIT_AS"; None is no limit."""
        try:
            import resource
        except ImportError:  # Windows.
            return None, None
        kind = getattr(resource, name)
        found = resource.getrlimit(kind) if self.pid is None else resource.prlimit(self.pid, kind)
        soft, hard = (None if one == resource.RLIM_INFINITY else one for one in found)
        return soft, hard

    def container_mark(self) -> str | None:
        """What tells that this is a container, or None."""
        if "KUBERNETES_SERVICE_HOST" in self.environ:
            return "KUBERNETES_SERVICE_HOST is set"
        top = self.root if self.pid is None else f"{self.root}/proc/{self.pid}/root"
        marks = ("/.dockerenv", "/run/.containerenv")
        return next((f"{mark} is there" for mark in marks if os.path.exists(f"{top}{mark}")), None)


def look_around(pid: int | None, command: tuple[str, ...]) -> Surroundings:
    """The surroundings of a process, if it can be looked at, or of what is started from here."""
    environ = os.environ if pid is None else environ_of(pid)
    error, brake = None, None
    try:
        settings = resolve({}, environ)
    except ConfigError as caught:
        settings, error = resolve({}, {}), caught
    try:
        if pid is not None and (found := find(pid)):
            brake = found[0].ask("memory")["brake"]
    except MembudgetError:
        pass  # What hinders is told by the looks at its folder and its settings.
    return Surroundings(
        pid=pid,
        root="",
        environ=environ,
        settings=settings,
        error=error,
        command=command,
        brake=brake,
    )
