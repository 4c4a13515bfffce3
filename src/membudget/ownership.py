"""Files and folders on paths from outside, used only where they are this user's own.

A path may lead to a link, a pipe or somebody's document, and may do so between two looks: a file is
opened without following or waiting, and the descriptor is asked. What is not ours stays as it is
and is a `ConfigError`; what cannot be opened or written is an `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from membudget.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

CAREFUL: int = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
_FOLDER: int = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
WRITABLE = stat.S_IWGRP | stat.S_IWOTH  # Rights that make a file or folder others' as well.
OTHERS = stat.S_IRWXG | stat.S_IRWXO
_STANDARD = 2  # The last of the numbers of standard streams.

Identity: TypeAlias = "tuple[int, int] | None"
"""Device and number of a file, or None where there is none."""

_LEADS_ELSEWHERE = (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR, errno.ENODEV)
"""What opening a link, a pipe without a reader, a socket or a folder to write ends with."""

_KINDS = (
    (stat.S_ISLNK, "a link, which could lead anywhere"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISREG, "a file"),
)


def default_folder(uid: int | None = None) -> str:
    """Where a user's processes meet when no setting says otherwise, be it a service or a shell."""
    uid = os.geteuid() if uid is None else uid
    # Not /run/user: that is there only while somebody is logged in, and services are not.
    return "/run/membudget" if uid == 0 else f"/tmp/membudget-{uid}"  # noqa: S108  # checked where it is used


def kept(descriptor: int) -> int:
    """The same file under a number that is no standard stream's: who has none prints to ours."""
    if descriptor > _STANDARD or os.name == "nt":
        return descriptor
    import fcntl  # only where one of them is closed

    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD + 1)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def standard_taken() -> Iterator[None]:
    """While it lasts, nothing that opens by itself gets a standard stream's number. Cost: 10 µs."""
    taken = []
    try:
        while (number := os.open(os.devnull, os.O_RDWR | CAREFUL)) <= _STANDARD:
            taken.append(number)
        os.close(number)
        yield
    finally:
        for number in taken:
            os.close(number)


def open_own(
    path: str,
    flags: int = os.O_RDONLY,
    *,
    begins: bytes = b"",
    others: int = WRITABLE,
    folder: int | None = None,
) -> int:
    """A descriptor of a file of ours; nothing else is opened, or waited for.

    Files of ours begin with `begins`; one cut short within that is ours, too. Rights of `others`
    are refused; where none are, it may be any user's. `flags` are those of `os.open`, `folder` a
    descriptor of the one it lies in, where that is open; what is made is for this user alone.
    """
    name = path if folder is None else os.path.basename(path)
    # Looked at before it is opened: opening a device may move it.
    with contextlib.suppress(FileNotFoundError):
        _check_regular(path, os.stat(name, dir_fd=folder, follow_symlinks=False))
    try:
        descriptor = kept(os.open(name, flags | CAREFUL, 0o600, dir_fd=folder))
    except OSError as error:
        if error.errno in _LEADS_ELSEWHERE:
            raise _refused(path, "is no plain file") from error
        raise
    try:
        status = os.fstat(descriptor)
        _check_regular(path, status)
        check_owner(path, status, others)
        _check_head(path, descriptor, begins)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take a file's lock (`flock`) if it is free at once; it goes with the descriptor."""
    import fcntl  # not on Windows

    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def folder_lock(folder: str) -> Iterator[bool]:
    """Whether this process has the lock of a folder while it lasts; true where there is none.

    Any folder that all concerned can open, such as that of their memory group. Cost: 10 µs.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | _FOLDER)
    except OSError:
        yield True
        return
    try:
        import fcntl  # not on Windows

        is_ours = lock(descriptor)
        yield is_ours
        if is_ours:  # A child forked meanwhile has the descriptor as well.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def open_locked(path: str, *, begins: bytes = b"") -> int | None:
    """A descriptor of a file of ours, made where missing, and its lock; None where that is held."""
    descriptor = open_own(path, os.O_RDWR | os.O_CREAT, begins=begins)
    try:
        # Between opening and locking, whoever held it may have removed it.
        if lock(descriptor) and identity(path) == identity(descriptor):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def read_own(path: str, most: int, *, begins: bytes = b"", others: int = WRITABLE) -> bytes | None:
    """What a file of ours holds, at most so many bytes, or None where there is none."""
    try:
        descriptor = open_own(path, begins=begins, others=others)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise _refused(path, f"is longer than the {most} bytes that one of ours may have")
    return found


def is_own(path: str, begins: bytes = b"") -> bool:
    """Whether a file of ours stands there, by the same rules."""
    try:
        os.close(open_own(path, begins=begins))
    except (ConfigError, OSError):
        return False
    return True


def write_whole(
    path: str, text: bytes, *, begins: bytes, is_private: bool = True, is_synced: bool = False
) -> None:
    """Put a file of ours in its place: whoever reads sees all of it, or what was there before.

    Only one that begins in the same way is replaced, and where it is for this user alone, only
    this user's. To wait until it is on the disk (`is_synced`) may take seconds.
    """
    path = os.path.abspath(path)
    name, part, folder = path, f"{path}.part", None
    if os.open in os.supports_dir_fd:  # So that nobody changes the way meanwhile.
        folder = os.open(os.path.dirname(path), os.O_RDONLY | _FOLDER)
        name, part = os.path.basename(name), os.path.basename(part)
    others = WRITABLE if is_private else 0
    try:
        with contextlib.suppress(FileNotFoundError):
            os.close(open_own(path, begins=begins, others=others, folder=folder))
        with contextlib.suppress(FileNotFoundError):  # Left behind by a process that was killed.
            os.close(open_own(f"{path}.part", begins=begins, others=others, folder=folder))
            os.unlink(part, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | CAREFUL
        descriptor = kept(os.open(part, flags, 0o600 if is_private else 0o666, dir_fd=folder))
        try:
            with open(descriptor, "wb") as file:
                file.write(text)
                if is_synced:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=folder)
            raise
    finally:
        if folder is not None:
            os.close(folder)


def identity(where: int | str) -> Identity:
    """Which file a descriptor leads to, or a path, links not followed; None for nowhere."""
    try:
        status = os.fstat(where) if isinstance(where, int) else os.lstat(where)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def close_own(
    descriptor: int,
    expected: Identity,
    look: Callable[[int], Identity] = identity,
    close: Callable[[int], None] = os.close,
) -> None:
    """Close a descriptor, if it still is the one that was opened: a daemon closes all it finds.

    The functions are bound early: at the interpreter's end names may be gone.
    """
    if expected is not None and look(descriptor) == expected:
        close(descriptor)


def check_owner(
    path: str, status: os.stat_result, others: int = WRITABLE, advice: str = ""
) -> None:
    """Refuse what is another user's, or open to others."""
    if not others or os.name == "nt":  # Where rights are another matter.
        return
    if status.st_uid != os.geteuid():
        raise _refused(path, f"belongs to user {status.st_uid}, not to {os.geteuid()}", advice)
    if status.st_mode & others:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        right = "may be written to by others" if others == WRITABLE else "is open to others"
        raise _refused(path, f"{right} (mode {mode})", advice or "chmod go-rwx it, or name another")


def _check_head(path: str, descriptor: int, begins: bytes) -> None:
    if begins and not begins.startswith(os.pread(descriptor, len(begins), 0)):
        raise _refused(path, "is not a file of membudget's")


def open_folder(path: str, advice: str) -> int:
    """A descriptor of a folder, made for this user alone where there is none; not the way to it."""
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        return kept(os.open(path, os.O_RDONLY | _FOLDER | CAREFUL))
    except OSError as error:
        why = f"cannot be made or opened ({error.strerror})"
        if os.path.islink(path):
            why = "is a link, which could lead anywhere"
        elif isinstance(error, NotADirectoryError) and os.path.lexists(path):
            why = "is no folder"
        raise ConfigError(f"folder {path} {why}: {advice}") from error


def safe_way(path: str) -> str:
    """The real path of a folder that only this user and root can replace; the way to it is made."""
    if os.path.islink(path):
        raise _refused(path, "is a link, which could lead anywhere")
    way, name = os.path.split(os.path.abspath(path))
    way = os.path.realpath(way)
    missing = []
    while not os.path.lexists(way):
        missing.append(way)
        way = os.path.dirname(way)
    above = way
    while True:
        _check_way(path, above)
        if above == os.path.dirname(above):
            break
        above = os.path.dirname(above)
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(one, 0o755)
        _check_way(path, one)
        way = one
    return os.path.join(way, name)


def _check_way(path: str, above: str) -> None:
    status, why, advice = os.lstat(above), "", ""
    if not stat.S_ISDIR(status.st_mode):
        raise _refused(path, f"cannot be used, since {above} is no folder", "name another")
    if status.st_uid not in (0, os.geteuid()):
        why = f"belongs to user {status.st_uid}, who could put another there"
    elif status.st_mode & WRITABLE and not (status.st_mode & stat.S_ISVTX or _is_users(status)):
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        why = f"may be written to by others (mode {mode}), who could put another there"
        advice = f"chmod go-w {above}, or "
    if why:
        raise ConfigError(
            f"{path} cannot be trusted, since {above} above it {why}: {advice}name a place below "
            "folders that only this user and root may write to, or below /tmp"
        )


def _is_users(status: os.stat_result) -> bool:
    """Whether those who may write are the user: a group of that name and number, and no others."""
    is_own = status.st_uid == status.st_gid == os.geteuid() != 0
    if status.st_mode & stat.S_IWOTH or not is_own:
        return False
    import grp  # only where somebody has such a folder
    import pwd

    try:
        group, user = grp.getgrgid(status.st_gid), pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        return False
    return group.gr_name == user and {*group.gr_mem} <= {user}


def _check_regular(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = next((words for test, words in _KINDS if test(status.st_mode)), "a device")
        raise _refused(path, f"is {what}")


def _refused(path: str, why: str, advice: str = "") -> ConfigError:
    return ConfigError(f"{path} {why}: {advice or 'it is left as it is; name another'}")
