"""Kernel wake-ups: descriptors that become ready when memory may be short.

A hint only makes the loop look sooner: each has its blind spots. What cannot be had is left out.

- v1: eventfds in cgroup.event_control, for thresholds of usage (the page cache included), and for
  critical memory.pressure_level: the kernel looked through the group in vain (ADR 26).
- v2: memory.events wakes with POLLPRI when its counts move: high, max, oom.
- PSI: a trigger written to a pressure file wakes with POLLPRI; without CAP_SYS_RESOURCE a window
  must be a multiple of 2 s.
- systemd: MEMORY_PRESSURE_WATCH names a pressure file, a FIFO or a socket, and
  MEMORY_PRESSURE_WRITE what to write into it, in base64; /dev/null switches watching off.

Sources: the kernel's admin guides to cgroup v1 and v2 and to PSI; systemd.io/MEMORY_PRESSURE.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import select
import stat
from binascii import a2b_base64

from membudget.errors import ProbeError
from membudget.ownership import identity, kept
from membudget.probes.kernel_files import read_whole
from membudget.probes.process import PRESSURE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from membudget.core import Hint
    from membudget.ownership import Identity
    from membudget.probes.cgroup import CgroupProbe, Group

_TRIGGER = b"some 150000 2000000\0"  # Waiting 150 ms in any 2 s: systemd has 200 ms.
_CHUNK = 4096


class KernelHint:
    """One descriptor that the kernel or the service manager makes ready; owned.

    Polled for POLLPRI where it is a file, POLLIN where it is a queue; `came` is called at each
    wake-up.
    """

    __slots__ = ("_came", "_descriptor", "_identity", "events", "name")

    def __init__(
        self, name: str, descriptor: int, events: int, came: Callable[[], object] = lambda: None
    ) -> None:
        self.name: str = name
        self.events: int = events
        self._came, self._descriptor = came, descriptor
        self._identity = _mark_of(descriptor)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._descriptor

    def clear(self) -> None:
        """Take note of the wake-up; a ProbeError where what it watched is gone: close it."""
        if _mark_of(self._descriptor) != self._identity:
            raise ProbeError(f"hint {self.name} was closed by the program: close it")
        try:
            if self.events & select.POLLPRI:
                text = os.pread(self._descriptor, _CHUNK, 0)
            else:
                text = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            text = b"nothing yet"
        except OSError as error:
            raise ProbeError(f"hint {self.name} is gone ({error.strerror}): close it") from error
        if not text:
            raise ProbeError(f"hint {self.name} has ended: close it")
        self._came()

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        # A program that closes all descriptors may use the number for something else by now.
        if descriptor >= 0 and _mark_of(descriptor) == self._identity:
            os.close(descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_identity"):  # A signal's exception may come before it is set.
            self.close()


def _mark_of(descriptor: int) -> tuple[Identity, bytes]:
    """Which file it is, and which eventfd (Linux 5.2 and later), which all look alike."""
    told = b""
    with contextlib.suppress(ProbeError):
        told = read_whole(f"/proc/self/fdinfo/{descriptor}") or b""
    return identity(descriptor), told.partition(b"eventfd-id:")[2].partition(b"\n")[0]


def kernel_hints(
    probe: CgroupProbe | None,
    thresholds: Iterable[int],
    *,
    in_vain: Callable[[str], object] | None = None,
    environ: Mapping[str, str] | None = None,
    pressure: str = PRESSURE,
) -> list[Hint]:
    """All wake-ups that can be had here, to be closed by the caller.

    v1 shall wake us at these thresholds of the group's usage, in bytes; `in_vain` is called with a
    group of v1 in which the kernel found nothing to take back; `pressure` is the machine's file.
    """
    hints: list[Hint] = []

    def attempt(make: Callable[..., Hint], *arguments: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            hints.append(make(*arguments))

    if not hasattr(select, "POLLPRI"):
        return hints
    group = probe.group if probe is not None else None
    if group is not None and group.version == 1:
        usage = "memory.usage_in_bytes"
        attempt(_of_v1, f"cgroup v1 usage of {group.folder}", group.folder, usage, thresholds)
    elif group is not None:
        attempt(_memory_events, f"{group.folder}/memory.events")
    attempt(_pressure, group, os.environ if environ is None else environ, pressure)
    if probe is not None and in_vain is not None:
        for folder in probe.shrinkable():
            # Only what is done to this very group, not to those below it.
            words, came = ("critical,local",), functools.partial(in_vain, folder)
            name = f"cgroup v1 reclaim in {folder}"
            attempt(_of_v1, name, folder, "memory.pressure_level", words, came)
    return hints


def _of_v1(
    name: str,
    folder: str,
    file: str,
    words: Iterable[object],
    came: Callable[[], object] = lambda: None,
) -> KernelHint:
    """An eventfd registered with a file of a group of v1, once for each of the words."""
    descriptor = kept(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
    hint = KernelHint(name, descriptor, select.POLLIN, came)
    with open(f"{folder}/{file}", "rb", buffering=0) as watched:
        for word in words:
            control = os.open(f"{folder}/cgroup.event_control", os.O_WRONLY)
            try:
                os.write(control, f"{descriptor} {watched.fileno()} {word}".encode())
            finally:
                os.close(control)
    return hint


def _memory_events(path: str) -> KernelHint:
    hint = KernelHint(path, kept(os.open(path, os.O_RDONLY)), select.POLLPRI)
    hint.clear()  # The kernel counts a file that was never read as changed.
    return hint


def _pressure(group: Group | None, environ: Mapping[str, str], machine: str) -> KernelHint:
    """The service manager's own wake-up, by its protocol; else the group's, or the machine's."""
    watch = environ.get("MEMORY_PRESSURE_WATCH")
    if watch is not None:
        if watch in ("", "/dev/null"):
            raise ProbeError("the service manager switched it off")
        trigger = a2b_base64(environ.get("MEMORY_PRESSURE_WRITE", ""))
        return _with_trigger("MEMORY_PRESSURE_WATCH", watch, trigger)
    if group is not None and group.version != 1:
        own = f"{group.folder}/memory.pressure"
        with contextlib.suppress(OSError):
            return _with_trigger(own, own, _TRIGGER)
    return _with_trigger(machine, machine, _TRIGGER)


def _with_trigger(name: str, path: str, trigger: bytes) -> KernelHint:
    mode = os.O_RDWR if trigger else os.O_RDONLY
    try:
        descriptor = kept(os.open(path, mode | os.O_NONBLOCK))
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # A socket cannot be opened, only connected to.
        import socket  # 4 ms that only this rare case must pay

        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(0)
            connection.connect(path)
            descriptor = kept(connection.detach())
    is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
    hint = KernelHint(name, descriptor, select.POLLPRI if is_file else select.POLLIN)
    if trigger:
        os.write(descriptor, trigger)
    return hint
