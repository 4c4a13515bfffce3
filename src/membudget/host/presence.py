"""What makes a process findable on its host: its slot and its control socket.

One question a connection, one line of JSON each way:

    {"command": "status", "arguments": {}}
    {"ok": true, "result": {...}}   or   {"ok": false, "error": "one line"}

The governor's thread answers between its steps, so no client may keep it, and only this user and
root are heard.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import select
import struct
import sys
import time

from membudget.core.native import Imports, Lock, breathing
from membudget.errors import ControlError, MembudgetError
from membudget.governor.status import commands_of
from membudget.governor.telling import FOREIGN
from membudget.host import SOCKET, claim_folder, identity_of, remove_socket, sweep
from membudget.host.slot import Slot
from membudget.ownership import close_own, default_folder, kept
from membudget.ownership import identity as file_identity
from membudget.units import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from typing import Any

    from membudget.core import Command, Hint, Pressure, Reading
    from membudget.core.shares import Claim
    from membudget.governor import Governor
    from membudget.host import Identity

PRESENT_EVERY = 10.0  # Seconds between two looks whether slot and socket are where they were put.
PATIENCE = 0.02  # Seconds a client has to ask, and again to take its answer.
LONGEST_QUESTION = 64 << 10  # Bytes; a question is a command and a few figures.
LONGEST_PATH = 107  # Bytes that a socket's path may have: unix(7).
_AT_ONCE = 8  # Clients answered in one round; the others wait for the next.
_AT_A_TIME = 32  # Rows of a list written at a stretch: half a millisecond for samples.
_WAITING = 16
_PEER = struct.Struct("iII")
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED)


class Presence:
    """A process's slot and socket, kept for its whole life and made anew in a forked child.

    A plugin; any thread. The default folder is looked up at each opening (a program may change its
    user), a name that is a function asked now and then (a worker learns its name late).
    """

    name = "presence"

    def __init__(
        self,
        folder: str | None,
        name: str | Callable[[], str],
        answers: Callable[[], Mapping[str, Command]] = dict,
    ) -> None:
        # The program may change its directory before the first opening.
        self._folder = None if folder is None else os.path.abspath(folder)
        self._name = name if callable(name) else lambda: name
        self._answers = answers
        self._imports = Imports()
        self._lock, self._claiming = Lock(), Lock()
        self._governor: Governor | None = None
        self._looked_at = float("-inf")
        self._home, self._pid = os.getpid(), 0
        self._slot: Slot | None = None
        self._socket: ControlSocket | None = None

    def join(self, governor: Governor) -> None:
        """Tell this governor's figures, and let it answer, until it stops."""
        self._governor = governor
        self._answers, self._imports = lambda: commands_of(governor), governor.imports
        self._looked_at = time.monotonic()
        governor.followers.append(self.follow)

    def hints(self, *, is_early: bool) -> Sequence[Hint]:
        """The control socket, where it can be had: a budget is kept without one as well."""
        governor = self._governor
        # A program that forks often is to be found at once, its thread being young each time; not
        # so a forked child, which often lives for a moment.
        if governor is None or (is_early and os.getpid() not in (self._home, self._pid)):
            return ()
        try:
            hint = self.open()
        except (MembudgetError, OSError) as error:
            if not is_early:
                governor.tell.failed("control socket", error)
            return ()
        self._write(governor)  # Its slot gets its first figures now, not after an interval.
        if not is_early:
            hint.load()
        return (hint,)

    def follow(self, reading: Reading, _pressure: Pressure) -> None:
        """Put the governor's latest figures into the process's slot. Cost: 3 µs."""
        governor = self._governor
        if governor is None:
            return
        if reading.at - self._looked_at > PRESENT_EVERY:
            self._looked_at = reading.at
            if not self.touch():
                governor.watch.is_bell_stale = True
        self._write(governor)

    def _write(self, governor: Governor) -> None:
        self.write(
            governor.pressure,
            peak=governor.peak,
            governed=governor.registry.held_bytes(),
            reclaimed=governor.ladder.reclaimed,
            wall=time.time(),
            is_resting=governor.is_resting,
        )

    def write(self, pressure: Pressure, **figures: Any) -> None:
        """Put these figures into the slot, if there is one; see `Slot.write`."""
        if (slot := self._slot) is not None:
            slot.write(pressure, **figures)

    def claim(self, claim: Claim) -> str:
        """Put this in the slot as well; returns its path, "" where there is none. Any thread."""
        if (slot := self._slot) is None:
            return ""
        with self._claiming:
            slot.claim(claim)
        return slot.path

    def open(self) -> ControlSocket:
        """Be findable from now on; returns what to wait for, or raises why that cannot be had.

        May be called at any time, at 15 µs; the first sweeps the folder, 0.5 ms. A slot stays
        anyway.
        """
        with self._lock:
            if self._pid != os.getpid():
                self._let_go(is_ours=False)
            slot, socket = self._slot, self._socket
            if slot and slot.is_in_place() and socket and socket.is_in_place():
                return socket
            folder = claim_folder(self._folder or default_folder())
            identity = identity_of()
            self._pid = os.getpid()
            if socket is not None:
                self._socket = None
                socket.remove()
            if slot is None or not slot.is_in_place():
                if slot is not None:
                    self._slot = None
                    slot.close()
                sweep(folder)
                self._slot = Slot(folder, identity, self._name())
            self._socket = ControlSocket(folder, identity, self._answers, self._imports)
            return self._socket

    def touch(self) -> bool:
        """Show sweepers of old files that it is used; whether all is in place. Cost: 10 µs."""
        slot, socket = self._slot, self._socket
        if slot is None or socket is None or not (slot.is_in_place() and socket.is_in_place()):
            return False
        slot.rename(self._name())
        with contextlib.suppress(OSError):
            os.utime(slot.path)
            os.utime(socket.path)
        return True

    @property
    def place(self) -> str:
        """The slot's path; "" where there is none."""
        slot = self._slot
        return slot.path if slot is not None else ""

    def leave(self) -> None:
        """Be findable no more and remove what was made; a second call does nothing."""
        with self._lock:
            self._let_go(is_ours=self._pid == os.getpid())

    def after_fork_in_child(self) -> None:
        """Let go of what belongs to the parent, which lives on with it; called after a fork."""
        # Another thread may have held them, and is not here.
        self._lock, self._claiming = Lock(), Lock()
        self._let_go(is_ours=False)

    def _let_go(self, *, is_ours: bool) -> None:
        slot, self._slot = self._slot, None
        socket, self._socket = self._socket, None
        # The socket first: one without a slot is taken for a dead process's.
        if socket is not None:
            socket.remove() if is_ours else socket.abandon()
        if slot is not None:
            slot.close() if is_ours else slot.abandon()


class ControlSocket:
    """A hint that is ready when somebody asks, and answers in `clear`; many may wait for it."""

    name = "control socket"
    events: int = select.POLLIN

    def __init__(
        self,
        folder: str,
        identity: Identity,
        answers: Callable[[], Mapping[str, Command]],
        imports: Imports | None = None,
    ) -> None:
        self.path: str = f"{folder}/{identity.stem}{SOCKET}"
        self._answers = answers
        self._imports = imports or Imports()
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
        self._is_open = True
        self._own = file_identity(self._descriptor)
        self._file = file_identity(self.path)

    def fileno(self) -> int:
        """The descriptor to wait on; the same number even once removed, to be forgotten by."""
        return self._descriptor

    def close(self) -> None:
        """Nothing: whoever waited waits no more."""

    def is_in_place(self) -> bool:
        """Whether clients can still reach it: neither its path nor its descriptor is gone."""
        is_listening = file_identity(self._descriptor) == self._own
        return is_listening and file_identity(self.path) == self._file

    def load(self) -> bool:
        """Load what reads questions and writes answers; whether it is there. Cost: 2 ms."""
        if self._imports.is_closed:  # The import may have been of this one.
            return hasattr(sys.modules.get("json"), "loads")
        with self._imports:
            import json  # noqa: F401  # see above
        return True

    def clear(self) -> None:
        """Answer those who wait, at most 8 of them, on the governor's thread."""
        if not self.load():
            raise ControlError("forked amid the import of what answers questions")
        for _ in range(_AT_ONCE):
            client = self._accept() if self._is_open else None
            if client is None:
                return
            try:
                is_served = self._serve(client)
            except FOREIGN:
                continue  # The client went away; nothing of it may end the governor's thread.
            finally:
                client.close()
            if not is_served:
                return

    def remove(self) -> None:
        """Take no more questions and remove the path; a second call does nothing."""
        if self._is_open and file_identity(self.path) == self._file:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self.abandon()

    def abandon(self) -> None:
        """Let go of it without removing the path: in a forked child, where it is the parent's."""
        is_open, self._is_open = self._is_open, False
        if is_open:
            close_own(self._descriptor, self._own)

    def _accept(self) -> _socket.socket | None:
        """The next client, or None where nobody waits."""
        # The program may have closed the number and opened something else there.
        if file_identity(self._descriptor) != self._own:
            raise ControlError(
                f"{self.path} takes no more questions: the program closed all its descriptors; "
                "start the budget after that"
            )
        listener = _adopted(self._descriptor)
        try:
            # What socket.socket.accept calls, without the 4 ms that importing socket takes.
            number, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001  # see above
        except OSError as error:
            if isinstance(error, BlockingIOError) or error.errno in _PASSING:
                return None
            raise
        finally:
            listener.detach()
        return _adopted(kept(number))

    def _serve(self, client: _socket.socket) -> bool:
        """Hear and answer one client; false where it kept us waiting for nothing."""
        peer = client.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _PEER.size)
        _, uid, _ = _PEER.unpack(peer)
        if uid not in (0, os.geteuid()):
            return True
        import json

        try:
            line = _received(client)
            if line is None:
                return False
            text = f'{{"ok": true, "result": {breathing(dumping(self._answer(line)))}}}'
        except FOREIGN as error:  # told to the client; the loop goes on
            text = json.dumps({"ok": False, "error": one_line(error, 1000) or type(error).__name__})
        return _sent(client, text.encode() + b"\n")

    def _answer(self, line: bytes) -> Mapping[str, Any]:
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
        answers = self._answers()
        answer = answers.get(command)
        if answer is None:
            known = ", ".join(sorted(answers))
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


def _adopted(descriptor: int) -> _socket.socket:
    """A socket that never blocks, whatever the program set by `socket.setdefaulttimeout`."""
    connection = _socket.socket(fileno=descriptor)
    connection.settimeout(0.0)
    return connection


def _received(client: _socket.socket) -> bytes | None:
    """The first line a client sends, or None where none comes in time."""
    until = time.monotonic() + PATIENCE
    got = bytearray()
    while (end := got.find(b"\n")) < 0:
        if len(got) > LONGEST_QUESTION:
            raise ControlError(f"the question is longer than {LONGEST_QUESTION} bytes: ask less")
        if (left := until - time.monotonic()) <= 0:
            return None
        client.settimeout(left)
        try:
            chunk = client.recv(LONGEST_QUESTION)
        except TimeoutError:
            return None
        if not chunk:
            raise ControlError("the question ended before its line did: end it with a newline")
        got += chunk
    return bytes(got[:end])


def _sent(client: _socket.socket, reply: bytes) -> bool:
    """Send all of a reply; false where the client does not take it in time."""
    until = time.monotonic() + PATIENCE
    rest = memoryview(reply)
    while rest:
        client.settimeout(max(0.0, until - time.monotonic()))
        try:
            # A program may have made SIGPIPE deadly again.
            rest = rest[client.send(rest, _socket.MSG_NOSIGNAL) :]
        except (BlockingIOError, TimeoutError):
            return False
    return True


def dumping(answer: Mapping[str, Any]) -> Generator[None, None, str]:
    """An answer as JSON, its long lists in pieces: what writes JSON keeps the interpreter."""
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
