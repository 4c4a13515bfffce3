"""A process's control socket: questions from outside, answered by the process itself.

One question a connection, one line of JSON each way:

    {"command": "status", "arguments": {}}
    {"ok": true, "result": {...}}   or   {"ok": false, "error": "one line"}

The governor's thread answers between its steps, so no client may keep it: each has 20 ms to ask
and 20 ms to take the answer, one that keeps silent ends the round, and only this user and root are
heard. The module is loaded before the thread needs it: an import under way during a fork would
stay locked in the child for ever.

Lines over a connection that is never waited for longer than a moment.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import select
import struct
import time

from membudget.core.native import breathing
from membudget.core.native import poll as make_poll
from membudget.errors import ControlError
from membudget.host.identity import SOCKET, identity_at, remove_socket
from membudget.ownership import close_own, kept
from membudget.ownership import identity as file_identity
from membudget.units import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import Any, TypeAlias

    from membudget.host.identity import Identity

    Answer: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """Takes a question's arguments and returns what can be written as JSON. Runs on the governor's
    thread and should be quick; what it raises is told to the client."""


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


LONGEST_PATH = 107
"""Bytes that a socket's path may have: unix(7)."""

_AT_ONCE = 8
"""Clients answered in one round; the others wait for the next."""

_AT_A_TIME = 32
"""Rows of a list that are written at a stretch: about half a millisecond for samples."""

_WAITING = 16
_PEER = struct.Struct("iII")
_FOREIGN = (Exception, SystemExit, GeneratorExit)
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED)


class ControlSocket:
    """A hint that is ready when somebody asks, and answers in `clear`.

    Args:
        folder: A folder that `claim_folder` has approved.
        identity: This process.
        answers: What can be asked, by command.

    Raises:
        ControlError: It cannot be made; the message says why.
    """

    name = "control socket"
    events = select.POLLIN

    def __init__(self, folder: str, identity: Identity, answers: Mapping[str, Answer]) -> None:
        self.path = f"{folder}/{identity.stem}{SOCKET}"
        self._answers = answers
        if (length := len(os.fsencode(self.path))) > LONGEST_PATH:
            raise ControlError(
                f"a socket's path may have {LONGEST_PATH} bytes and {self.path} has {length}: "
                "set agent.directory to a shorter one"
            )
        try:
            self._descriptor = _listening(self.path)
        except OSError as error:
            raise ControlError(
                f"cannot make {self.path} ({error.strerror}): let this user write there, or set "
                "agent.directory to a folder of your own"
            ) from error
        self._own = file_identity(self._descriptor)
        self._file = identity_at(self.path)

    def fileno(self) -> int:
        """The descriptor to wait on; -1 once closed."""
        return self._descriptor

    def is_in_place(self) -> bool:
        """Whether clients can still reach it: neither its path nor its descriptor is gone."""
        is_listening = file_identity(self._descriptor) == self._own
        return is_listening and identity_at(self.path) == self._file

    def clear(self) -> None:
        """Answer those who wait, at most 8 of them. On the governor's thread.

        Raises:
            ControlError: The program closed the socket's descriptor; nobody can ask any more.
        """
        for _ in range(_AT_ONCE):
            if self._descriptor < 0:
                return
            client = self._accept()
            if client is None:
                return
            try:
                is_served = self._serve(client)
            except _FOREIGN:
                continue  # The client went away; nothing of it may end the governor's thread.
            finally:
                client.close()
            if not is_served:
                return

    def close(self) -> None:
        """Take no more questions and remove the path; a second call does nothing."""
        if self._descriptor >= 0 and identity_at(self.path) == self._file:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self.abandon()

    def abandon(self) -> None:
        """Let go of it without removing the path: in a forked child, where it is the parent's."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            close_own(descriptor, self._own)

    def _accept(self) -> _socket.socket | None:
        """The next client, or None where nobody waits."""
        # The program may have closed the number and opened something else there.
        if file_identity(self._descriptor) != self._own:
            raise ControlError(
                f"{self.path} takes no more questions: the program closed all its descriptors; "
                "start the budget after that"
            )
        listener = adopted(self._descriptor)
        try:
            # What socket.socket.accept calls, without the 4 ms that importing socket takes.
            number, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001  # see above
        except OSError as error:
            if isinstance(error, BlockingIOError) or error.errno in _PASSING:
                return None
            raise
        finally:
            listener.detach()
        return adopted(kept(number))

    def _serve(self, client: _socket.socket) -> bool:
        """Hear and answer one client; false where it kept us waiting for nothing."""
        peer = client.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _PEER.size)
        _, uid, _ = _PEER.unpack(peer)
        if uid not in (0, os.geteuid()):
            return True
        import json

        try:
            line = received(client)
            if line is None:
                return False
            text = f'{{"ok": true, "result": {breathing(dumping(self._answer(line)))}}}'
        except _FOREIGN as error:  # told to the client; the loop goes on
            text = json.dumps({"ok": False, "error": one_line(error, 1000) or type(error).__name__})
        return sent(client, text.encode() + b"\n")

    def _answer(self, line: bytes) -> Mapping[str, Any]:
        command, arguments = _understood(line)
        answer = self._answers.get(command)
        if answer is None:
            known = ", ".join(sorted(self._answers))
            raise ControlError(f"command {command!r} is not known: use one of {known}")
        return answer(arguments)


def _listening(path: str) -> int:
    """A descriptor that listens at a path, where a dead process may have left its socket."""
    kind = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC
    listener = _socket.socket(_socket.AF_UNIX, kind)
    try:
        remove_socket(path)
        # Before there is a path, which could lead elsewhere by then; the path gets this mode.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(path)
        listener.listen(_WAITING)
    except OSError:
        listener.close()
        raise
    return kept(listener.detach())


def dumping(answer: Mapping[str, Any]) -> Generator[None, None, str]:
    """An answer as JSON, its long lists in pieces: what writes JSON keeps the interpreter.

    Yields:
        Nothing; another thread may have its turn.
    """
    import json

    told = []
    for key, value in answer.items():
        if not isinstance(value, list) or len(value) <= _AT_A_TIME:
            told.append(f"{json.dumps(key)}: {json.dumps(value)}")
            continue
        rows = []
        for place in range(0, len(value), _AT_A_TIME):
            rows.append(json.dumps(value[place : place + _AT_A_TIME])[1:-1])
            yield
        told.append(f"{json.dumps(key)}: [{', '.join(rows)}]")
    return f"{{{', '.join(told)}}}"


def _understood(line: bytes) -> tuple[str, Mapping[str, Any]]:
    """The command and the arguments that a line asks for."""
    import json

    try:
        question = json.loads(line)
        command, arguments = question["command"], question.get("arguments") or {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        command = arguments = None
    if not isinstance(command, str) or not isinstance(arguments, dict):
        raise ControlError(
            'the question is not understood: send one line such as {"command": "status", '
            '"arguments": {}}'
        )
    return command, arguments
