"""The kernel's small text files: kept open and read with pread, or read whole once."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TypeAlias

from membudget.errors import ProbeError
from membudget.ownership import Identity, close_own, identity

_CHUNK = 8192
"""Bytes asked for at once: the longest of these files, a cgroup's memory.stat, has about 2 KiB."""

_GONE = (errno.ENOENT, errno.ENODEV, errno.ESRCH)


_Buffer: TypeAlias = "tuple[int, memoryview, object]"


class KernelFile:
    """A file of /proc or a cgroup that stays open, since opening costs six times the reading.

    Any thread may read. The descriptor is closed on exec and shared across a fork.

    Args:
        path: The file.

    Raises:
        ProbeError: It cannot be opened.
    """

    __slots__ = ("_buffer", "_descriptor", "_identity", "path")

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self._identity: Identity = None
        self.path = path
        self._buffer: _Buffer | None = None
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
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
        if _quick is not None:
            if self._buffer is None:
                self._buffer = _quick.buffer()
            address, view, _ = self._buffer
            length = _quick.pread(self._descriptor, address, _CHUNK, 0)
            if length >= 0:
                return bytes(view[:length])
        try:
            return os.pread(self._descriptor, _CHUNK, 0)
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


class _QuickReader:
    """Reads through ctypes without giving up the GIL."""

    def __init__(self) -> None:
        import ctypes  # 10 ms that a start must not pay

        self.pread = ctypes.PyDLL(None).pread
        self.pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
        self.pread.restype = ctypes.c_ssize_t
        self._ctypes = ctypes

    def buffer(self) -> _Buffer:
        """Room for one file's text: its address, a view of it, and what keeps it."""
        room = self._ctypes.create_string_buffer(_CHUNK)
        return self._ctypes.addressof(room), memoryview(room).cast("B"), room


_quick: _QuickReader | None = None


def keep_the_gil() -> None:
    """Read without giving up the GIL from now on.

    `os.pread` lets go of it, and beside threads that compute each such read waits up to 5 ms to
    have it back: a tick of four reads then takes 20 ms instead of 20 µs, and so does the check of
    a thread that inserts. The kernel answers these reads from memory in 1 to 10 µs.
    """
    global _quick  # noqa: PLW0603  # one way of reading for the process
    if _quick is None and os.name == "posix":
        with suppress(ImportError):  # An interpreter built without ctypes.
            _quick = _QuickReader()


def read_whole(path: str) -> bytes | None:
    """The text of a file opened only for this, or None where there is none. Cost: about 10 µs.

    Raises:
        ProbeError: It is there and cannot be read.
    """
    try:
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
