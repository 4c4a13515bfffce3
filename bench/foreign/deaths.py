"""Which processes of a program were killed: the kernel's own events of forks and ends (as root)."""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/netlink.h, linux/connector.h, linux/cn_proc.h
_CONNECTOR, _PROCESSES, _LISTEN = 11, 1, 1
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=IIIIHH")
_EVENT = struct.Struct("=I12x4I")
_FORK, _EXIT = 1, 0x80000000
_SO_RCVBUFFORCE = 33
_ROOM = 64 << 20

_ASKED_FOR = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""How processes end that their own supervisor, or a person, ends."""


class Deaths(AbstractContextManager["Deaths"]):
    """The ends of processes from here on, of all of the machine until asked for one program's."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        heard = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _CONNECTOR)
        asked = struct.pack("=I", _LISTEN)
        asked = _MESSAGE.pack(_PROCESSES, _PROCESSES, 0, 0, len(asked), 0) + asked
        try:
            heard.bind((0, _PROCESSES))
            heard.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
            heard.send(_HEADER.pack(_HEADER.size + len(asked), 3, 0, 0, 0) + asked)
        except OSError:
            heard.close()
        else:
            heard.setblocking(False)
            self._socket = heard

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def of(self, first: int) -> int | None:
        """How many of a first process and its descendants were killed; None where nobody tells."""
        if self._socket is None:
            return None
        found, family = 0, {first}
        for what, one, two, three, four in self._events():
            if what == _FORK and two in family:
                family.add(four)
            elif what == _EXIT and one == two and one in family:
                found += os.WIFSIGNALED(three) and os.WTERMSIG(three) not in _ASKED_FOR
        return found

    def _events(self) -> Iterator[tuple[int, ...]]:
        with suppress(BlockingIOError):
            while self._socket is not None:
                yield _EVENT.unpack_from(self._socket.recv(4096), _HEADER.size + _MESSAGE.size)


def why_not() -> str | None:
    """Why killed children cannot be counted here, or None where they can."""
    with Deaths() as deaths:
        if deaths.of(os.getpid()) is None:
            return "killed children are not counted: the kernel tells of them to root alone"
    return None
