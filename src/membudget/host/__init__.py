"""Who a process is, and the folder that the processes of one user share.

A pid comes back; with the boot, its namespace and the time of its start (proc_pid_stat(5),
pid_namespaces(7)) it does not. Others may look, sweep and end at any moment, so each step in the
folder holds by itself: no link is followed, and a path believed only while it leads to the file.
"""

from __future__ import annotations

import contextlib
import os
import stat

from membudget.core import Record
from membudget.errors import ConfigError, ControlError, MembudgetError, ProbeError
from membudget.ownership import (
    OTHERS,
    WRITABLE,
    default_folder,
    identity,
    lock,
    open_folder,
    open_own,
)
from membudget.probes.kernel_files import read_whole, unexpected

SLOT, SOCKET = ".slot", ".sock"
TOLD, UNREACHED = ".told", ".unreached"  # Noted by the processes of one launch.
_ADVICE = "set agent.directory to a folder of your own"

_BOOT, _BOOT_DIGITS = "/proc/sys/kernel/random/boot_id", 8
_STATE, _PARENT, _STARTED = 0, 1, 19  # Fields 3, 4 and 22 of /proc/PID/stat, behind the name.


class Identity(Record):
    """A process of this host."""

    boot: str  # The first 8 hexadecimal digits of the boot's id.
    namespace: int  # The inode of its pid namespace.
    pid: int  # Its number inside that namespace.
    started: int  # When it started, in clock ticks since the boot.

    @property
    def stem(self) -> str:
        """What its files are called, up to the dot."""
        return f"{self.boot}-{self.namespace}-{self.pid}-{self.started}"


def identity_of(pid: int | None = None) -> Identity:
    """The identity of a process, by its number as seen from here, or of this. Cost: about 50 µs."""
    folder = "/proc/self" if pid is None else f"/proc/{pid}"
    started = _figure_of(folder, _STARTED)
    if started is None:
        raise ProbeError(
            f"process {pid} does not run: check the number, as seen from this pid namespace"
            if pid is not None
            else "this process is not in /proc: mount the proc file system of its pid namespace"
        )
    try:
        namespace = os.stat(f"{folder}/ns/pid").st_ino
    except OSError as error:
        ask = "ask as its user or as root"
        if os.geteuid() == 0:  # A container's own root has not all rights.
            ask = "root lacks CAP_SYS_PTRACE here: ask from outside the container"
        raise ProbeError(f"process {pid} cannot be identified ({error.strerror}): {ask}") from error
    boot = (read_whole(_BOOT) or b"").decode("ascii", "replace").strip()[:_BOOT_DIGITS]
    if not _is_boot(boot):
        raise unexpected(_BOOT, boot.encode(), "this is no boot's id")
    inner = os.getpid() if pid is None else pid  # Kernels before 4.1 and imitations do not tell.
    if pid is not None:
        for line in (read_whole(f"{folder}/status") or b"").splitlines():
            if line.startswith(b"NSpid:"):
                inner = int(line.split()[-1])
    return Identity(boot=boot, namespace=namespace, pid=inner, started=started)


def parse_stem(text: str) -> Identity | None:
    """The identity that a file's stem stands for, or None where it is not one of ours."""
    boot, *numbers = text.split("-")
    if len(numbers) != 3 or not all(one.isascii() and one.isdigit() for one in numbers):  # noqa: PLR2004  # a stem's parts
        return None
    namespace, pid, started = map(int, numbers)
    found = Identity(boot=boot, namespace=namespace, pid=pid, started=started)
    return found if _is_boot(boot) and found.stem == text else None


def _is_boot(text: str) -> bool:
    return len(text) == _BOOT_DIGITS and set(text) <= set("0123456789abcdef")


def is_gone(owner: Identity, own: Identity) -> bool:
    """Whether nothing that this process (`own`) sees speaks for one whose slot is not locked.

    Of other pid namespaces /proc does not tell, and a lock would.
    """
    if (owner.boot, owner.namespace) != (own.boot, own.namespace):
        return True
    try:
        return _figure_of(f"/proc/{owner.pid}", _STARTED) != owner.started
    except ProbeError:
        return False


def parent_of(pid: int) -> int:
    """The number of a process's parent; 0 where it has ended, or nobody here started it."""
    return _figure_of(f"/proc/{pid}", _PARENT) or 0


def _figure_of(folder: str, place: int) -> int | None:
    """None where the process has ended or is only waiting to be reaped."""
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
        return None if fields[_STATE] in (b"Z", b"X") else int(fields[place])
    except (ValueError, IndexError):
        raise unexpected(path, text, f"a number should stand in field {place + 3}") from None


def remove_socket(path: str) -> int:
    """Remove what is at a path, if it is a socket; returns how many are gone: 1 or 0."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
            return 1
    return 0


def claim_folder(path: str) -> str:
    """Make a folder ours alone, or find that it is; returns its absolute path.

    One that others may enter is closed to them only where nothing else lies in it.
    """
    path = os.path.abspath(path)
    try:
        descriptor = open_folder(path, _ADVICE)
    except ConfigError as error:
        raise ControlError(str(error)) from error
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise _refused(path, f"belongs to user {status.st_uid}, not to {os.geteuid()}")
        if status.st_mode & OTHERS and not status.st_mode & stat.S_ISVTX:
            stems = (name.rpartition(".")[0] for name in os.listdir(descriptor))
            if all(parse_stem(stem) is not None for stem in stems):
                os.fchmod(descriptor, 0o700)
                status = os.fstat(descriptor)
        if status.st_mode & OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            raise _refused(path, f"is open to others (mode {mode:o}) and must be ours alone (700)")
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            raise _refused(path, "cannot be written by this user")
    except ControlError:
        raise
    except OSError as error:
        raise _refused(path, f"cannot be made ours alone ({error.strerror})") from error
    finally:
        os.close(descriptor)
    return path


def _refused(path: str, why: str) -> ControlError:
    return ControlError(f"folder {path} {why}: {_ADVICE}")


def launch_mark(directory: str) -> str | None:
    """A path, without its suffix, where processes launched from here may note things, or None."""
    if directory == "none":
        return None
    try:
        folder = claim_folder(default_folder() if directory == "auto" else directory)
        return f"{folder}/{identity_of().stem}"
    except (MembudgetError, OSError):
        return None  # Each tells what it sees, then.


def check_readable(path: str, uid: int | None = None) -> None:
    """Refuse to look into a folder where others than root, us or user `uid` may have put things."""
    try:
        status = os.lstat(path)
    except OSError as error:
        raise _refused(path, f"cannot be looked at ({error.strerror})") from error
    if not stat.S_ISDIR(status.st_mode):
        raise _refused(path, "is a link or no folder")
    if status.st_uid not in (0, os.geteuid(), uid):
        raise _refused(path, f"belongs to user {status.st_uid}: what it tells may be made up")
    if status.st_mode & WRITABLE:
        raise _refused(path, "may be written to by others: what it tells may be made up")


def sweep(path: str) -> int:
    """Remove the files of processes that are gone; returns how many. Cost: about 20 µs a file.

    All others stay. Any number of processes may sweep at once. Never raises.
    """
    try:
        names, own = os.listdir(path), identity_of()
    except (OSError, ProbeError):
        return 0
    removed = 0
    for name in names:
        stem, dot, kind = name.rpartition(".")
        owner = parse_stem(stem)
        if owner is None:
            continue
        slot, socket = f"{path}/{stem}{SLOT}", f"{path}/{stem}{SOCKET}"
        if dot + kind == SLOT:
            removed += _sweep_process(slot, socket, owner, own)
        elif dot + kind == SOCKET and not os.path.lexists(slot) and is_gone(owner, own):
            # A process makes its slot before its socket, so this one is nobody's.
            removed += remove_socket(socket)
        elif dot + kind in {TOLD, UNREACHED} and is_gone(owner, own):
            with contextlib.suppress(OSError):
                os.unlink(f"{path}/{name}")
                removed += 1
    return removed


def _sweep_process(slot: str, socket: str, owner: Identity, own: Identity) -> int:
    with contextlib.suppress(ConfigError, OSError):
        descriptor = open_own(slot)
        try:
            # Under the owner's lock, so that nobody can take the file over while it is removed.
            is_here = lock(descriptor) and identity(slot) == identity(descriptor)
            if is_here and is_gone(owner, own):
                removed = remove_socket(socket)
                os.unlink(slot)
                return removed + 1
        finally:
            os.close(descriptor)
    return 0
