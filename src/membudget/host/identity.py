"""Who a process is, told apart from every other on this host, in all containers, for ever.

A pid alone comes back: after a while in one namespace, at once in the next container. With the
boot, the namespace and the time of its start it does not. An exec keeps all four, on purpose: the
process is the same one.

Sources: proc_pid_stat(5), proc_pid_status(5), pid_namespaces(7).
"""

from __future__ import annotations

import os

from membudget.core import Record
from membudget.errors import ProbeError
from membudget.probes.kernel_files import read_whole, unexpected

_BOOT = "/proc/sys/kernel/random/boot_id"
_BOOT_DIGITS = 8
_STATE, _PARENT, _STARTED = 0, 1, 19
"""Places in /proc/PID/stat behind the name: its fields 3, 4 and 22."""

_ENDED = (b"Z", b"X")


class Identity(Record):
    """A process of this host.

    Attributes:
        boot: The first 8 hexadecimal digits of the boot's id.
        namespace: The inode of its pid namespace.
        pid: Its number inside that namespace.
        started: When it started, in clock ticks since the boot.
    """

    boot: str
    namespace: int
    pid: int
    started: int

    @property
    def stem(self) -> str:
        """What its files are called, up to the dot."""
        return f"{self.boot}-{self.namespace}-{self.pid}-{self.started}"


def identity_of(pid: int | None = None) -> Identity:
    """The identity of a process. Cost: about 50 µs.

    Args:
        pid: Its number as seen from here, or None for this process.

    Raises:
        ProbeError: There is no such process, or it may not be looked at.
    """
    folder = "/proc/self" if pid is None else f"/proc/{pid}"
    started = _start_of(folder)
    if started is None:
        raise ProbeError(
            f"process {pid} does not run: check the number, as seen from this pid namespace"
            if pid is not None
            else "this process is not in /proc: mount the proc file system of its pid namespace"
        )
    try:
        namespace = os.stat(f"{folder}/ns/pid").st_ino
    except OSError as error:
        raise ProbeError(
            f"process {pid} cannot be identified ({error.strerror}): ask as its user or as root"
        ) from error
    boot = (read_whole(_BOOT) or b"").decode("ascii", "replace").strip()[:_BOOT_DIGITS]
    if not _is_boot(boot):
        raise unexpected(_BOOT, boot.encode(), "this is no boot's id")
    inner = os.getpid() if pid is None else _inner_pid(folder, pid)
    return Identity(boot=boot, namespace=namespace, pid=inner, started=started)


def parse_stem(text: str) -> Identity | None:
    """The identity that a file's stem stands for, or None where it is not one of ours."""
    boot, *numbers = text.split("-")
    if len(numbers) != 3 or not all(one.isascii() and one.isdigit() for one in numbers):  # noqa: PLR2004  # a stem's parts
        return None
    namespace, pid, started = map(int, numbers)
    found = Identity(boot=boot, namespace=namespace, pid=pid, started=started)
    return found if _is_boot(boot) and found.stem == text else None


def has_ended(identity: Identity, own: Identity) -> bool:
    """Whether a process is known to have ended, as far as this one can see.

    False for those of other pid namespaces: /proc does not tell about them.

    Args:
        identity: The process in question.
        own: The process that asks.
    """
    if identity.boot != own.boot:
        return True
    if identity.namespace != own.namespace:
        return False
    try:
        return _start_of(f"/proc/{identity.pid}") != identity.started
    except ProbeError:
        return False


def parent_of(pid: int) -> int:
    """The number of a process's parent; 0 where it has ended, or nobody here started it.

    Raises:
        ProbeError: It may not be looked at.
    """
    return _figure_of(f"/proc/{pid}", _PARENT) or 0


def _start_of(folder: str) -> int | None:
    """When the process started, or None where it has ended or is only waiting to be reaped."""
    return _figure_of(folder, _STARTED)


def _figure_of(folder: str, place: int) -> int | None:
    path = f"{folder}/stat"
    try:
        text = read_whole(path)
    except ProbeError as error:
        # It ended between opening and reading.
        if isinstance(error.__cause__, ProcessLookupError):
            return None
        raise
    if text is None:
        return None
    try:
        # The name may hold blanks and parentheses, so that only the last one ends it.
        fields = text[text.rindex(b")") + 1 :].split()
        return None if fields[_STATE] in _ENDED else int(fields[place])
    except (ValueError, IndexError):
        raise unexpected(path, text, f"a number should stand in field {place + 3}") from None


def _inner_pid(folder: str, pid: int) -> int:
    for line in (read_whole(f"{folder}/status") or b"").splitlines():
        if line.startswith(b"NSpid:"):
            return int(line.split()[-1])
    return pid  # Kernels before 4.1 and imitations do not tell.


def _is_boot(text: str) -> bool:
    return len(text) == _BOOT_DIGITS and set(text) <= set("0123456789abcdef")
