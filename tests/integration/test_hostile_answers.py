"""The command line and a process that answers what it likes: a clear line, exit 3, in time."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from commands import clean_environment, membudget
from membudget.core import Pressure
from membudget.host import identity_of
from membudget.host.slot import Slot

ESCAPES = "\x1b[31mEVIL\x1b]0;owned\x07\nmembudget: forged\u202e"
FIGURES = json.dumps({"ok": True, "result": {"used": 1, "limit": 0, "level": ESCAPES}})
ANSWERS = {
    "escapes": json.dumps({"ok": False, "error": ESCAPES * 10}),
    "figures": FIGURES,
    "numbers": '{"ok": true, "result": {"used": NaN, "limit": Infinity, "rate": -1e400}}',
    "deep": '{"ok": true, "result": ' + "[" * 200_000,
    "digits": '{"ok": true, "result": {"used": ' + "9" * 100_000 + "}}",
    "endless": "x" * (65 << 20),
}


@contextmanager
def answering(folder: Path, reply: str) -> Iterator[Mapping[str, str]]:
    """This process with a slot, and a socket where each question has the same answer."""
    own, done = identity_of(), threading.Event()
    folder.chmod(0o700)
    slot = Slot(str(folder), own, f"shop {ESCAPES}")
    slot.write(
        Pressure(used=1 << 20, limit=1 << 30, source=ESCAPES),
        peak=1 << 20,
        governed=0,
        reclaimed=0,
        wall=1.7e9,
    )

    def serve(listener: socket.socket) -> None:
        while not done.is_set():
            with suppress(OSError), listener.accept()[0] as client:
                client.recv(4096)
                client.sendall(reply.encode() + b"\n")

    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / f"{own.stem}.sock"))
            listener.listen()
            thread = threading.Thread(target=serve, args=(listener,))
            thread.start()
            yield {"MEMBUDGET_AGENT_DIRECTORY": str(folder)}
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    finally:
        slot.close()


@pytest.mark.parametrize("kind", ANSWERS)
def test_whatever_a_process_answers_is_one_plain_line_and_exit_3(tmp_path: Path, kind: str) -> None:
    """No escape reaches the terminal, no line is forged, and nobody sees a traceback."""
    with answering(tmp_path, ANSWERS[kind]) as environment:
        asked = [
            membudget(*words, environment=environment) for words in (("memory", "-v"), ("report",))
        ]
    for one in asked:
        assert one.returncode == 3, one.stderr
        (line,) = one.stderr.splitlines()
        assert line.startswith("membudget: ")
        assert line.isprintable()
        assert all(told.isprintable() for told in one.stdout.splitlines())
    assert "1.00 MiB of 1.00 GiB" in asked[0].stdout  # What its slot tells.


@pytest.mark.parametrize(
    "command",
    [
        ("memory",),
        ("memory", "-v", "--json"),
        ("status",),
        ("doctor", "--json"),
        ("config", "schema"),
        ("leaks", "--help"),
        ("--version",),
    ],
    ids=" ".join,
)
def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path, command: tuple[str, ...]) -> None:
    """As `| head` does, here before the first byte."""
    with answering(tmp_path, FIGURES) as environment:
        process = subprocess.Popen(
            [sys.executable, "-m", "membudget", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(environment),
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait(100) == 0
    assert "Traceback" not in told
    assert "Broken pipe" not in told


def test_a_folder_that_somebody_else_may_write_to_is_not_believed(tmp_path: Path) -> None:
    """Its processes may be made up."""
    with answering(tmp_path, FIGURES) as environment:
        tmp_path.chmod(0o777)
        for command in (("memory",), ("status",), ("report",)):
            asked = membudget(*command, environment=environment)
            assert asked.returncode == 3
            assert "may be made up: set agent.directory" in asked.stderr
        tmp_path.chmod(0o700)
