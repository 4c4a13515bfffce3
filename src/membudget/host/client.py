"""Asking a process through its control socket; runs in the command line, never in that process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import time
from typing import TYPE_CHECKING, Any

from membudget.errors import ControlError
from membudget.host import SLOT, SOCKET, sweep
from membudget.host.slot import is_alive
from membudget.units import human_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.host import Identity

LONGEST = 64 << 20  # Bytes of an answer: two days of samples with a thousand parts take some 30 MB.
_CHUNK = 64 << 10
_DIGITS = 20  # Digits of a number of 64 bits, with its sign.


def ask(
    identity: Identity,
    command: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    folder: str,
    timeout: float = 5.0,
) -> dict[str, Any]:
    """The answer of a running process within so many seconds all in all, or a `ControlError`."""
    path = f"{folder}/{identity.stem}{SOCKET}"
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        raise _unreachable(path, identity, error) from error
    if not stat.S_ISSOCK(mode):
        raise ControlError(f"{path} is no socket: remove it, and start process {identity.pid} anew")
    question = json.dumps({"command": command, "arguments": dict(arguments or {})})
    until = time.monotonic() + timeout
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            reply = _exchange(connection, path, question.encode() + b"\n", until)
    except ControlError as error:
        raise _not_understood(identity, str(error)) from None
    except TimeoutError:
        raise ControlError(
            f"process {identity.pid} gave no answer within {timeout:g} s: it is stopped, or "
            "code that holds the GIL keeps it busy; its slot can still be read"
        ) from None
    except ConnectionRefusedError:
        raise _refused(path, folder, identity) from None
    except (BrokenPipeError, ConnectionResetError):
        reply = b""
    except OSError as error:
        raise _unreachable(path, identity, error) from error
    return _result(reply, identity)


def _exchange(connection: socket.socket, path: str, question: bytes, until: float) -> bytes:
    """Everything the process sends until it closes, or the line ends."""
    while True:
        connection.settimeout(_left(until))
        try:
            connection.connect(path)
            break
        except BlockingIOError:
            time.sleep(0.01)  # As many wait already as may.
    connection.settimeout(_left(until))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(question)  # One that is refused midway has its answer ready.
    got = bytearray()
    while True:
        connection.settimeout(_left(until))
        chunk = connection.recv(_CHUNK)
        got += chunk
        if len(got) > LONGEST:
            raise ControlError(f"its answer is longer than {human_bytes(LONGEST)}")
        if not chunk or chunk.endswith(b"\n"):
            return bytes(got)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _result(reply: bytes, identity: Identity) -> dict[str, Any]:
    if not reply:
        raise ControlError(
            f"process {identity.pid} closed without an answer: it answers its own user and root, "
            "and only questions that come at once; ask again"
        )
    try:
        answer = json.loads(
            reply,
            parse_float=lambda text: one if abs(one := float(text)) < float("inf") else None,
            parse_int=lambda text: int(text) if len(text) <= _DIGITS else None,
            parse_constant=lambda _: None,
        )
        is_ok = answer["ok"]
        result = answer["result"] if is_ok else answer["error"]
    except (ValueError, TypeError, KeyError, RecursionError, MemoryError):
        result = None
    if isinstance(result, dict) and is_ok is True:
        return result
    if isinstance(result, str):
        raise ControlError(one_line(result, 1000))
    raise _not_understood(identity, f"{reply[:40]!r}")


def _not_understood(identity: Identity, why: str) -> ControlError:
    return ControlError(
        f"process {identity.pid} gave an answer that is not understood ({one_line(why, 200)}): "
        "use the same version of membudget on both sides"
    )


def _refused(path: str, folder: str, identity: Identity) -> ControlError:
    sweep(folder)
    if not os.path.lexists(path):
        return ControlError(
            f"process {identity.pid} is gone: it left a dead socket {path}; it was removed"
        )
    if is_alive(path.removesuffix(SOCKET) + SLOT):
        why = "though the process seems to live: ask again in a second"
    else:
        why = "and is not surely dead: remove it if the process is gone"
    return ControlError(f"{path} takes no connections, {why}")


def _unreachable(path: str, identity: Identity, error: OSError) -> ControlError:
    if isinstance(error, PermissionError):
        return ControlError(f"{path} belongs to another user: ask as that user or as root")
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return ControlError(
            f"process {identity.pid} has no control socket {path}: a budget opens it at its "
            "start, a forked child's a second later; check that one runs and that both use the "
            "same agent.directory"
        )
    return ControlError(f"{path} cannot be reached ({error}): set agent.directory to a shorter one")
