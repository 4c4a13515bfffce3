"""The kernel's small text files: kept open and read with pread, or read whole once.

The compiled core reads them without letting go of the GIL: beside threads that compute, each read
that lets go of it waits up to 5 ms to have it back, so that a tick of four reads takes 20 ms
instead of 20 µs, and its figures are of four moments.
"""

from __future__ import annotations

import errno
import os

from membudget._native import core
from membudget.errors import ProbeError
from membudget.ownership import Identity, close_own, identity, kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK = 8192
"""Bytes asked for at once: the longest of these files, a cgroup's memory.stat, has about 2 KiB."""

_GONE = (errno.ENOENT, errno.ENODEV, errno.ESRCH)


def _pread(descriptor: int) -> bytes:
    return os.pread(descriptor, _CHUNK, 0)


_text_of: Callable[[int], bytes] = getattr(core, "read_descriptor", _pread)
_path_text: Callable[[str], bytes] | None = getattr(core, "read_path", None)


class KernelFile:
    """A file of /proc or a cgroup that stays open, since opening costs six times the reading.

    Any thread may read. The descriptor is closed on exec and shared across a fork.

    Args:
        path: The file.

    Raises:
        ProbeError: It cannot be opened.
    """

    __slots__ = ("_descriptor", "_identity", "path")

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self._identity: Identity = None
        self.path = path
        try:
            self._descriptor = kept(os.open(path, os.O_RDONLY))
            self._identity = identity(self._descriptor)
        except OSError as error:
            raise unreadable(path, error) from error
        except BaseException:  # A signal's: what is open by now is closed with this object.
            self._identity = identity(self._descriptor)
            raise

    def read(self) -> bytes:
        """The file's text as it is now. Cost: 1 µs and what the kernel takes to write it.

        Raises:
            ProbeError: It is gone, or cannot be read.
        """
        try:
            return _text_of(self._descriptor)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            close_own(descriptor, self._identity)

    def __del__(self) -> None:
        # A signal's exception may come before anything is set.
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()


def eventfd_id(descriptor: int) -> bytes | None:
    """What tells an eventfd from others, which look alike to `identity`; Linux 5.2 and later."""
    try:
        text = read_whole(f"/proc/self/fdinfo/{descriptor}")
    except ProbeError:
        return None
    found = text and next((line for line in text.splitlines() if b"eventfd-id" in line), None)
    return found or None


def read_whole(path: str, *, takes_long: bool = False) -> bytes | None:
    """The text of a file opened only for this, or None where there is none. Cost: about 10 µs.

    Args:
        path: The file.
        takes_long: The kernel looks through a whole process to write it: others may run meanwhile.

    Raises:
        ProbeError: It is there and cannot be read.
    """
    try:
        if _path_text is not None and not takes_long:
            return _path_text(path)
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def figure(text: bytes, key: bytes, end: bytes = b"\n") -> int | None:
    r"""The number after a key in a text of lines, or None where the key is missing.

    Cost: 0.5 to 1 µs.

    Args:
        text: Lines of a key, blanks and a number, with a newline before the first.
        key: The key, a newline before it and what separates it behind it: b"\nanon ".
        end: What follows the number.

    Raises:
        ValueError: Something else than a number stands there.
    """
    start = text.find(key)
    if start < 0:
        return None
    start += len(key)
    return int(text[start : text.index(end, start)])


def unreadable(path: str, error: OSError) -> ProbeError:
    """The error for a file that cannot be read, and what to do about it."""
    if error.errno in _GONE:
        advice = "what it told about has ended or moved; look for it anew"
    else:
        advice = "let this user read it, or set a limit of your own so that none has to be found"
    return ProbeError(f"cannot read {path} ({error.strerror}): {advice}")


def unexpected(path: str, text: bytes, rule: str) -> ProbeError:
    """The error for a file that can be read and does not say what it should."""
    start = text[:40].decode("utf-8", "replace")
    return ProbeError(
        f"{path} reads {start!r}: {rule}; if this is a sandbox that imitates Linux, set a limit "
        "of your own so that none has to be found"
    )


def status_bytes(key: bytes, path: str = "/proc/self/status") -> int:
    """What one line of a process's status tells, such as b"VmHWM"; 0 where none does. 20 µs."""
    text = b"\n" + (read_whole(path) or b"")
    return (figure(text, b"\n" + key + b":\t", b" kB\n") or 0) * 1024


def children_of(pid: int | str, proc: str = "/proc") -> Iterator[int]:
    """The children of all threads of a process; none where the kernel does not list them.

    Raises:
        OSError: The process has ended.
    """
    folder = f"{proc}/{pid}/task"
    for thread in os.listdir(folder):
        try:
            text = read_whole(f"{folder}/{thread}/children")
        except ProbeError:  # The thread has ended meanwhile.
            continue
        yield from map(int, (text or b"").split())
