"""The kernel's small text files: kept open and read with pread, or read whole once.

The compiled core reads them without letting go of the GIL (ADR 9).
"""

from __future__ import annotations

import errno
import os

from membudget._native import core
from membudget.errors import ProbeError
from membudget.ownership import Identity, close_own, identity, kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

_CHUNK = 8192  # The longest of these files, a cgroup's memory.stat, has about 2 KiB.
_read_path: Callable[[str], bytes] | None = getattr(core, "read_path", None)
if core is not None and _read_path is not None:
    _read_descriptor, _read_numbers = core.read_descriptor, core.read_numbers
    _read_figures = core.read_figures
else:

    def _read_descriptor(descriptor: int) -> bytes:
        return os.pread(descriptor, _CHUNK, 0)

    def _read_numbers(descriptor: int) -> list[int]:
        return [int(word) for word in _read_descriptor(descriptor).split()]

    def _read_figures(descriptor: int, keys: tuple[bytes, ...]) -> tuple[int | None, ...]:
        text = _read_descriptor(descriptor)
        return tuple([figure(text, key) for key in keys])


class KernelFile:
    """A file of /proc or a cgroup that stays open, since opening costs six times the reading.

    Any thread may read. Raises `ProbeError` where it is gone, cannot be read, or says else.
    """

    __slots__ = ("_descriptor", "_identity", "path")

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self._identity: Identity = None
        self.path: str = path
        try:
            self._descriptor = kept(os.open(path, os.O_RDONLY))
            self._identity = identity(self._descriptor)
        except OSError as error:
            raise unreadable(path, error) from error
        except BaseException:  # A signal's: what is open by now is closed with this object.
            self._identity = identity(self._descriptor)
            raise

    def read(self) -> bytes:
        """The file's text as it is now."""
        try:
            text: bytes = _read_descriptor(self._descriptor)
        except OSError as error:
            raise unreadable(self.path, error) from error
        return text

    def numbers(self, count: int) -> Sequence[int]:
        """The so many numbers that are all it says."""
        found: list[int] = []
        try:
            found = _read_numbers(self._descriptor)
        except OSError as error:
            raise unreadable(self.path, error) from error
        except ValueError:  # Words.
            pass
        if len(found) != count:
            raise unexpected(self.path, self.read(), f"{count} numbers are due")
        return found

    def figures(self, keys: tuple[bytes, ...], due: int = 0) -> tuple[Any, ...]:
        """The numbers behind these keys, as in `figure`; the first so many must be there."""
        try:
            found: tuple[int | None, ...] = _read_figures(self._descriptor, keys)
        except OSError as error:
            raise unreadable(self.path, error) from error
        except ValueError as error:
            raise unexpected(self.path, self.read(), str(error)) from error
        if None in found[:due]:
            missing = keys[found.index(None)].decode().strip()
            raise unexpected(self.path, self.read(), f"a line {missing} is due")
        return found

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            close_own(descriptor, self._identity)

    def __del__(self) -> None:
        # A signal's exception may come before anything is set.
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()


def read_whole(path: str, *, takes_long: bool = False) -> bytes | None:
    """The text of a file opened only for this, or None where there is none. Cost: about 10 µs.

    Others may run meanwhile where it takes long: where the kernel looks through a whole process. A
    ProbeError where it is there and cannot be read.
    """
    try:
        if _read_path is not None and not takes_long:
            return _read_path(path)
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def figure(text: bytes | None, key: bytes) -> int | None:
    """The number behind a key at the beginning of a line, or None where the key is missing.

    The key is given with what ends it: b"anon ", b"MemTotal:". A number of kB is told in bytes; a
    ValueError where something else than a number stands there.
    """
    _, found, rest = (b"\n" + (text or b"")).partition(b"\n" + key)
    if not found:
        return None
    line = rest.partition(b"\n")[0]
    return int(line[:-3]) * 1024 if line.endswith(b" kB") else int(line)


def unreadable(path: str, error: OSError) -> ProbeError:
    """The error for a file that cannot be read, and what to do about it."""
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ESRCH):
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
    return figure(read_whole(path), key + b":") or 0


def children_of(pid: int | str, proc: str = "/proc") -> Iterator[int]:
    """The children of all threads of a process; an OSError where it has ended."""
    folder = f"{proc}/{pid}/task"
    for thread in os.listdir(folder):
        try:
            text = read_whole(f"{folder}/{thread}/children")
        except ProbeError:  # The thread has ended meanwhile.
            continue
        yield from map(int, (text or b"").split())
