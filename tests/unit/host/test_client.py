"""Asking from outside: an answer, or one line that says why there is none and what to try."""

import json
import select
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from membudget.errors import ControlError
from membudget.host import identity_of
from membudget.host.client import LONGEST, ask
from membudget.host.presence import ControlSocket
from membudget.host.slot import Slot

OWN = identity_of()
DEAD = OWN.replace(started=OWN.started + 1)


def echo(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return arguments


def grow(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"text": "x" * 1_000_000}


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """A process that answers, here a thread."""
    door = ControlSocket(str(folder), OWN, lambda: {"echo": echo, "grow": grow})
    done = threading.Event()

    def serve() -> None:
        poll = select.poll()
        poll.register(door.fileno(), door.events)
        while not done.is_set():
            if poll.poll(10):
                door.clear()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        door.remove()


@contextmanager
def replying(folder: Path, reply: bytes) -> Iterator[None]:
    """Something else that listens there, and says just this."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / f"{OWN.stem}.sock"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                with suppress(OSError):  # Who asked may have had enough.
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_an_answer_arrives_as_it_was_given(tmp_path: Path) -> None:
    """Arguments go there and come back; long answers come whole."""
    with serving(tmp_path):
        assert ask(OWN, "echo", {"a": ["ж", 1.5, None]}, folder=str(tmp_path)) == {
            "a": ["ж", 1.5, None]
        }
        assert ask(OWN, "echo", folder=str(tmp_path)) == {}
        assert len(ask(OWN, "grow", folder=str(tmp_path))["text"]) == 1_000_000


def test_an_error_of_the_process_is_passed_on(tmp_path: Path) -> None:
    with serving(tmp_path):
        with pytest.raises(
            ControlError, match=r"^command .x. is not known: use one of echo, grow$"
        ):
            ask(OWN, "x", folder=str(tmp_path))
        with pytest.raises(ControlError, match="longer than 65536 bytes"):
            ask(OWN, "echo", {"a": "x" * 1_000_000}, folder=str(tmp_path))


def test_without_a_socket_the_error_says_when_there_will_be_one(tmp_path: Path) -> None:
    """Just started, no budget, another folder: what to check stands there."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ControlError, match=r"has no control socket .*a second later; check"):
            ask(OWN, "echo", folder=str(folder))


def test_a_dead_socket_is_told_and_removed_with_its_slot(tmp_path: Path) -> None:
    """A killed process is gone, and so is what it left."""
    ControlSocket(str(tmp_path), DEAD, dict).abandon()
    Slot(str(tmp_path), DEAD, "dead").abandon()
    with pytest.raises(ControlError, match=r"is gone: it left a dead socket .* it was removed$"):
        ask(DEAD, "echo", folder=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_dead_socket_of_a_living_process_stays(tmp_path: Path) -> None:
    """Its process is just making it anew; only what is surely dead is removed."""
    ControlSocket(str(tmp_path), OWN, dict).abandon()
    with pytest.raises(ControlError, match="is not surely dead: remove it if"):
        ask(OWN, "echo", folder=str(tmp_path))
    slot = Slot(str(tmp_path), OWN, "alive")
    with pytest.raises(ControlError, match="seems to live: ask again in a second"):
        ask(OWN, "echo", folder=str(tmp_path))
    slot.close()
    assert (tmp_path / f"{OWN.stem}.sock").exists()


def test_a_file_that_is_no_socket_is_told_and_left(tmp_path: Path) -> None:
    """Somebody else's file under that name is not ours to remove."""
    path = tmp_path / f"{OWN.stem}.sock"
    path.touch()
    with pytest.raises(ControlError, match="is no socket: remove it"):
        ask(OWN, "echo", folder=str(tmp_path))
    assert path.exists()


def test_who_does_not_answer_is_told_after_the_timeout(tmp_path: Path) -> None:
    """Stopped or stuck: also where more wait already than the socket queues."""
    door = ControlSocket(str(tmp_path), OWN, dict)
    for _ in range(3):
        with pytest.raises(ControlError, match=r"no answer within 0\.05 s: .*slot can still be"):
            ask(OWN, "echo", folder=str(tmp_path), timeout=0.05)
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(door.path)
    with pytest.raises(ControlError, match=r"no answer within 0\.05 s"):
        ask(OWN, "echo", folder=str(tmp_path), timeout=0.05)
    for one in waiting:
        one.close()
    door.remove()


@pytest.mark.parametrize(
    "reply",
    [
        *(b"hello\n", b"[]\n", b'{"ok": true}\n', b'{"ok": true, "result": 1}\n', b"\xff\n", b"{"),
        *(b'{"ok": 1, "result": {}}', b'{"ok": true, "result": ' + b"[" * 200_000),
    ],
)
def test_an_answer_that_is_none_is_told(tmp_path: Path, reply: bytes) -> None:
    """Its beginning is shown, with what may be the cause."""
    with (
        replying(tmp_path, reply),
        pytest.raises(ControlError, match=r"not understood \(b'.*use the same version"),
    ):
        ask(OWN, "echo", folder=str(tmp_path))


def test_a_connection_closed_without_a_word_is_told(tmp_path: Path) -> None:
    """That is how a process treats those it does not know, and those too slow."""
    with (
        replying(tmp_path, b""),
        pytest.raises(ControlError, match="closed without an answer: it answers its own user"),
    ):
        ask(OWN, "echo", folder=str(tmp_path))


def test_a_path_too_long_is_told(tmp_path: Path) -> None:
    """Rather than any other reason that the system has for it."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    short = tmp_path / "short"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(short))
    short.rename(folder / f"{OWN.stem}.sock")
    with pytest.raises(ControlError, match=r"cannot be reached .*too long.*a shorter one"):
        ask(OWN, "echo", folder=str(folder))


def test_every_message_is_one_line(tmp_path: Path) -> None:
    """Whatever the other side writes into its error."""
    with replying(tmp_path, json.dumps({"ok": False, "error": "too\nbad"}).encode() + b"\n"):
        with pytest.raises(ControlError) as caught:
            ask(OWN, "echo", folder=str(tmp_path))
        assert str(caught.value) == "too bad"


def test_numbers_that_none_can_be_are_none(tmp_path: Path) -> None:
    """Neither NaN nor what is beyond all bounds reaches who counts with it."""
    odd = b'{"ok": true, "result": {"a": [NaN, Infinity, -1e400, %b, 5, 1.5]}}\n' % (b"9" * 5000)
    with replying(tmp_path, odd):
        found = ask(OWN, "echo", folder=str(tmp_path))
    assert found == {"a": [None, None, None, None, 5, 1.5]}


@pytest.mark.parametrize("reply", [b"x" * LONGEST, b'{"ok": true, "result": "' + b"x" * LONGEST])
def test_an_answer_without_end_is_read_no_further(tmp_path: Path, reply: bytes) -> None:
    """Who sends on and on costs its reader so much, and no more."""
    with (
        replying(tmp_path, reply + bytes(LONGEST)),
        pytest.raises(ControlError, match=r"is longer than 64\.0 MiB.*use the same version"),
    ):
        ask(OWN, "echo", folder=str(tmp_path))


def test_one_who_answers_in_drops_is_given_no_longer(tmp_path: Path) -> None:
    """The time is for all of the answer, not for each piece."""
    done = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / f"{OWN.stem}.sock"))
        listener.listen()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                while not done.wait(0.01):
                    with suppress(OSError):
                        connection.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(ControlError, match=r"no answer within 0\.2 s"):
            ask(OWN, "echo", folder=str(tmp_path), timeout=0.2)
        done.set()
        thread.join()


def test_no_error_of_a_process_steers_the_terminal(tmp_path: Path) -> None:
    error = "x\x1b[31m\nmembudget: forged \u202e" * 10_000
    with (
        replying(tmp_path, json.dumps({"ok": False, "error": error}).encode() + b"\n"),
        pytest.raises(ControlError) as caught,
    ):
        ask(OWN, "echo", folder=str(tmp_path))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 1000
