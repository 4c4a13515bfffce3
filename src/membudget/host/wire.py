"""Lines over a connection that is never waited for longer than a moment."""

from __future__ import annotations

import _socket
import select
import time

from membudget.core.native import poll as make_poll
from membudget.errors import ControlError

PATIENCE = 0.02
"""Seconds a client has to ask, and again to take its answer."""

LONGEST_QUESTION = 64 << 10
"""Bytes; a question is a command and a few figures."""


def adopted(descriptor: int) -> _socket.socket:
    """A socket that never blocks, whatever the program set by `socket.setdefaulttimeout`."""
    connection = _socket.socket(fileno=descriptor)
    connection.settimeout(0.0)
    return connection


def received(client: _socket.socket) -> bytes | None:
    """The first line a client sends, or None where none comes in time.

    Raises:
        ControlError: It is longer than 64 KiB, or breaks off.
        OSError: The client went away.
    """
    until = time.monotonic() + PATIENCE
    got = bytearray()
    while (end := got.find(b"\n")) < 0:
        if len(got) > LONGEST_QUESTION:
            raise ControlError(f"the question is longer than {LONGEST_QUESTION} bytes: ask less")
        try:
            chunk = client.recv(LONGEST_QUESTION)
        except BlockingIOError:
            if not _is_ready(client, select.POLLIN, until):
                return None
            continue
        if not chunk:
            raise ControlError("the question ended before its line did: end it with a newline")
        got += chunk
        if time.monotonic() >= until and b"\n" not in chunk:  # In drops, without a pause.
            return None
    return bytes(got[:end])


def sent(client: _socket.socket, reply: bytes) -> bool:
    """Send all of a reply; false where the client does not take it in time.

    Raises:
        OSError: The client went away.
    """
    until = time.monotonic() + PATIENCE
    rest = memoryview(reply)
    while rest:
        try:
            # A program may have made SIGPIPE deadly again.
            rest = rest[client.send(rest, _socket.MSG_NOSIGNAL) :]
        except BlockingIOError:
            if not _is_ready(client, select.POLLOUT, until):
                return False
    return True


def _is_ready(client: _socket.socket, events: int, until: float) -> bool:
    """Wait for a client, not longer than `until`."""
    left = until - time.monotonic()
    if left <= 0:
        return False
    poll = make_poll()
    poll.register(client.fileno(), events)
    return bool(poll.poll(left * 1000))
