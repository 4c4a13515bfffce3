"""The control socket: answers who may ask, harmed by nobody, and never kept waiting."""

import json
import os
import select
import signal
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from membudget.errors import ControlError
from membudget.host import identity_of
from membudget.host.presence import ControlSocket, dumping

OWN = identity_of()
MOST = 20.0
"""Seconds that a round may take here: far above the 40 ms it is allowed, for slow machines."""


def add(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"sum": arguments.get("a", 1) + arguments.get("b", 1)}


def fail(arguments: Mapping[str, Any]) -> dict[str, Any]:
    raise ValueError("too\nbad")


def forge(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """An error with what the program was told by others."""
    raise ValueError("\x1b[2J\u202e\ud800" + "x" * 1_000_000)


def leave(arguments: Mapping[str, Any]) -> dict[str, Any]:
    raise SystemExit


def unwritable(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"result": object()}


def long(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": "x" * 4_000_000}


ANSWERS = {one.__name__: one for one in (add, fail, forge, leave, unwritable, long)}


@pytest.fixture
def door(tmp_path: Path) -> Iterator[ControlSocket]:
    """A control socket in a folder of ours."""
    door = ControlSocket(str(tmp_path), OWN, lambda: ANSWERS)
    yield door
    door.remove()


@contextmanager
def client(door: ControlSocket, sent: bytes = b"") -> Iterator[socket.socket]:
    """Somebody who has asked and will wait for an answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(MOST)
        connection.connect(door.path)
        connection.sendall(sent)
        yield connection


def reply_to(door: ControlSocket, sent: bytes) -> dict[str, Any]:
    with client(door, sent) as connection:
        door.clear()
        with connection.makefile("rb") as file:
            reply: dict[str, Any] = json.loads(file.read())
    return reply


def error_of(door: ControlSocket, sent: bytes) -> str:
    """The error that these bytes are answered with."""
    reply = reply_to(door, sent)
    assert reply["ok"] is False
    error: str = reply["error"]
    assert "\n" not in error
    return error


def question(command: str, **arguments: Any) -> bytes:
    return json.dumps({"command": command, "arguments": arguments}).encode() + b"\n"


def is_ready(door: ControlSocket) -> bool:
    """Whether somebody waits to be answered."""
    poll = select.poll()
    poll.register(door.fileno(), door.events)
    return bool(poll.poll(0))


def test_a_question_is_answered(door: ControlSocket) -> None:
    """The socket is ready when somebody asks, and quiet again once answered."""
    assert not is_ready(door)
    with client(door, question("add", a=2, b=3)) as connection:
        assert is_ready(door)
        door.clear()
        assert json.loads(connection.recv(4096)) == {"ok": True, "result": {"sum": 5}}
        assert connection.recv(1) == b""
    assert not is_ready(door)


def test_arguments_may_be_left_out(door: ControlSocket) -> None:
    """A bare command is a question, with whatever follows the first line ignored."""
    for sent in (b'{"command": "add"}\n', b'{"command": "add", "arguments": null}\nmore'):
        assert reply_to(door, sent) == {"ok": True, "result": {"sum": 2}}


def test_an_unknown_command_is_told_the_known_ones(door: ControlSocket) -> None:
    """The next thing to try stands in the error."""
    assert error_of(door, question("stats")) == (
        "command 'stats' is not known: use one of add, fail, forge, leave, long, unwritable"
    )


def test_what_an_answer_raises_is_told_in_one_line(door: ControlSocket) -> None:
    """Not even an exit asked for by foreign code gets out of the round."""
    assert error_of(door, question("fail")) == "too bad"
    assert error_of(door, question("leave")) == "SystemExit"
    assert "not JSON serializable" in error_of(door, question("unwritable"))
    assert "unsupported operand" in error_of(door, question("add", a={}))


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"status\n",
        b"[1, 2]\n",
        b'"add"\n',
        b'{"command": 1}\n',
        b'{"command": "add", "arguments": [1]}\n',
        b'{"arguments": {}}\n',
        b"\xff\xfe\x00\x80\n",
        b"[" * 60_000 + b"\n",
        b'{"command": ' + b"9" * 10_000 + b"}\n",
    ],
    ids=range(10),
)
def test_nonsense_is_answered_with_what_to_send(door: ControlSocket, sent: bytes) -> None:
    """Whatever comes, the answer shows a question that would be understood."""
    assert 'send one line such as {"command": "status"' in error_of(door, sent)


def test_a_line_that_breaks_off_is_answered(door: ControlSocket) -> None:
    """A client that ends its side early learns why."""
    with client(door, b'{"command": "add"') as connection:
        connection.shutdown(socket.SHUT_WR)
        door.clear()
        assert b"end it with a newline" in connection.recv(4096)


def test_a_huge_line_is_cut_off(door: ControlSocket) -> None:
    """Nobody fills the memory of the process he asks."""
    with client(door) as connection:
        connection.setblocking(False)
        assert connection.send(b"x" * 100_000) > 65_536
        door.clear()
        assert b"longer than 65536 bytes" in connection.recv(4096)


def test_one_who_keeps_silent_is_given_up_and_the_next_is_served(door: ControlSocket) -> None:
    """A round waits for one silent client at most; those behind it have the next round."""
    with client(door) as silent, client(door, question("add")) as asking:
        started = time.monotonic()
        door.clear()
        assert time.monotonic() - started < MOST
        assert silent.recv(1) == b""
        assert is_ready(door)
        door.clear()
        assert json.loads(asking.recv(4096))["ok"]


def test_one_who_does_not_take_the_answer_is_given_up(door: ControlSocket) -> None:
    """What does not fit into the buffers is dropped after a moment."""
    with client(door, question("long")) as connection:
        started = time.monotonic()
        door.clear()
        assert time.monotonic() - started < MOST
        with connection.makefile("rb") as file:
            assert not file.read().endswith(b"\n")


@pytest.mark.parametrize("sent", [b"", question("add"), question("long")])
def test_one_who_went_away_does_no_harm(door: ControlSocket, sent: bytes) -> None:
    """Also in a program where writing into a closed connection is deadly."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        with client(door, sent):
            pass
        door.clear()
    finally:
        signal.signal(signal.SIGPIPE, before)
    assert reply_to(door, question("add"))["ok"]


def test_a_round_serves_eight(door: ControlSocket) -> None:
    """The governor's own work comes between two rounds, however many ask."""
    asking = [socket.socket(socket.AF_UNIX) for _ in range(10)]
    for one in asking:
        one.connect(door.path)
        one.sendall(question("add"))
    door.clear()
    assert is_ready(door)
    door.clear()
    for one in asking:
        assert json.loads(one.recv(4096))["ok"]
        one.close()


def test_a_default_timeout_of_the_program_does_not_make_it_wait(door: ControlSocket) -> None:
    """`socket.setdefaulttimeout` is for the program's own connections."""
    socket.setdefaulttimeout(60)
    try:
        started = time.monotonic()
        door.clear()
        assert reply_to(door, question("add"))["ok"]
        assert time.monotonic() - started < MOST
    finally:
        socket.setdefaulttimeout(None)


def test_an_answer_may_close_the_socket(door: ControlSocket, tmp_path: Path) -> None:
    """A command that ends the budget still gets its answer, and nobody after it."""
    answers: dict[str, Any] = {}
    own = ControlSocket(str(tmp_path), OWN.replace(pid=1), lambda: answers)

    def stop(arguments: Mapping[str, Any]) -> dict[str, Any]:
        own.remove()
        return {"stopped": True}

    answers["stop"] = stop
    with client(own, question("stop")) as connection, client(own, question("stop")):
        own.clear()
        assert json.loads(connection.recv(4096))["result"] == {"stopped": True}
    own.clear()


def test_only_this_user_may_connect(door: ControlSocket) -> None:
    """The socket keeps others out even where the folder did not."""
    assert stat.S_IMODE(Path(door.path).stat().st_mode) == 0o600


def test_making_it_leaves_the_umask_alone(tmp_path: Path) -> None:
    """The umask belongs to all threads: another might just be making a file."""
    before = os.umask(0o022)
    try:
        ControlSocket(str(tmp_path), OWN, lambda: ANSWERS).remove()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_closing_removes_the_path_and_only_its_own(door: ControlSocket, tmp_path: Path) -> None:
    """A socket that somebody else has put there meanwhile stays."""
    os.rename(door.path, tmp_path / "moved")
    assert not door.is_in_place()
    other = ControlSocket(str(tmp_path), OWN, lambda: ANSWERS)
    door.remove()
    assert other.is_in_place()
    other.remove()
    other.remove()
    assert not os.path.exists(other.path)


def test_abandoning_leaves_the_path_and_a_new_one_takes_it(tmp_path: Path) -> None:
    """In a forked child the socket is the parent's; a stale one is replaced."""
    stale = ControlSocket(str(tmp_path), OWN, lambda: ANSWERS)
    stale.abandon()
    assert os.path.exists(stale.path)
    fresh = ControlSocket(str(tmp_path), OWN, lambda: ANSWERS)
    assert reply_to(fresh, question("add"))["ok"]
    fresh.remove()


def test_a_path_too_long_for_a_socket_is_refused_with_its_length(tmp_path: Path) -> None:
    """The rule and what to set stand in the message; 107 bytes just fit."""
    room = 107 - len(f"{tmp_path}//{OWN.stem}.sock")
    fits, too_long = tmp_path / ("x" * room), tmp_path / ("x" * (room + 1))
    for folder in (fits, too_long):
        folder.mkdir()
    ControlSocket(str(fits), OWN, lambda: ANSWERS).remove()
    with pytest.raises(ControlError, match=r"may have 107 bytes and .* has 108: set agent\.dir"):
        ControlSocket(str(too_long), OWN, lambda: ANSWERS)


def test_where_no_socket_can_be_made_the_error_says_so(tmp_path: Path) -> None:
    """One line with the path, the reason and what to set; nothing is left open."""
    with pytest.raises(ControlError, match=r"cannot make /.*No such file.*agent\.directory"):
        ControlSocket(str(tmp_path / "missing"), OWN, lambda: ANSWERS)


@pytest.mark.parametrize("count", [0, 1, 32, 33, 100])
def test_a_long_list_is_written_in_pieces_and_is_the_same(count: int) -> None:
    """What writes JSON keeps the interpreter for as long as it writes."""
    answer = {"rows": [[one, None, "é", 1.5] for one in range(count)], "name": "x", "none": []}
    pieces, told = dumping(answer), None
    yields = 0
    while told is None:
        try:
            next(pieces)
            yields += 1
        except StopIteration as done:
            told = done.value
    assert json.loads(told) == answer
    assert yields == (0 if count <= 32 else -(-count // 32))


def test_an_error_with_foreign_text_is_printable_and_short(door: ControlSocket) -> None:
    """Whoever asked may show it as it is."""
    error = error_of(door, question("forge"))
    assert error.isprintable()
    assert error.startswith("\\x1b[2J")
    assert len(error) <= 1000


def test_a_document_in_the_place_of_the_socket_stays(tmp_path: Path) -> None:
    """Only a socket that a dead process left is removed."""
    path = tmp_path / f"{OWN.stem}.sock"
    path.write_text("dear diary")
    with pytest.raises(ControlError, match="cannot make"):
        ControlSocket(str(tmp_path), OWN, lambda: ANSWERS)
    assert path.read_text() == "dear diary"
    path.unlink()
    ControlSocket(str(tmp_path), OWN, lambda: ANSWERS).abandon()
    ControlSocket(str(tmp_path), OWN, lambda: ANSWERS).remove()
