"""Presences of real processes: killed, stopped, forked, replaced, contained, and of other users."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from membudget.errors import ControlError
from membudget.host import Identity, claim_folder, identity_of, parse_stem, sweep
from membudget.host.client import ask
from membudget.host.slot import is_alive, living, read_slot

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/ns"), reason="needs Linux's /proc")

PROGRAM = Path(__file__).parent / "presence_program.py"
PATIENCE = 100.0
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

LOOK_AS = """
import os, socket, sys
from membudget.errors import ControlError
from membudget.host.client import ask
from membudget.host import claim_folder, sweep
from membudget.host import parse_stem
from membudget.host.slot import living, read_slot
folder, stem, user = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.setgroups([])
os.setgid(user)
os.setuid(user)
print(living(folder), read_slot(f"{folder}/{stem}.slot"), sweep(folder))
for attempt in (lambda: ask(parse_stem(stem), "echo", folder=folder), lambda: claim_folder(folder)):
    try:
        print(attempt())
    except ControlError as error:
        print(error)
"""


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder that this user has claimed, in one that all may enter."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/tmp") as path:
        os.chmod(path, 0o755)  # noqa: S103  # what keeps others out must be our own folder
        yield claim_folder(f"{path}/ours")


class Program:
    """A running presence program."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.identity = self.next_identity()

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().rstrip("\n")
        assert line, "the program ended early"
        return line

    def next_identity(self) -> Identity:
        """The next process that says it is present."""
        identity = parse_stem(self.line())
        assert identity is not None
        return identity

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)


@contextmanager
def program(folder: str, way: str = "serve", *before: str) -> Iterator[Program]:
    """A process that is present in a folder, and whatever it forked, until the block ends."""
    argv = [*before, sys.executable, str(PROGRAM), folder, way]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield Program(process)
        finally:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.read()  # Its end: nobody of the session is left.
            process.wait(PATIENCE)


def looked_as_nobody(folder: str, one: Program) -> list[str]:
    """What another user gets of it, who sees nothing: an answer, and the folder."""
    argv = [sys.executable, "-c", LOOK_AS, folder, one.identity.stem, str(NOBODY)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=PATIENCE)
    looked, *told = done.stdout.splitlines()
    assert looked == "[] None 0"
    return told


def slot_of(folder: str, identity: Identity) -> str:
    return f"{folder}/{identity.stem}.slot"


def test_a_running_process_is_found_answers_and_leaves_nothing(folder: str) -> None:
    """It is known by the identity that anybody can find for its number."""
    with program(folder) as one:
        assert identity_of(one.process.pid) == one.identity
        ((identity, figures),) = living(folder)
        assert (identity, figures.used) == (one.identity, one.process.pid)
        assert ask(identity, "echo", {"a": 1}, folder=folder) == {"a": 1, "pid": identity.pid}
    assert os.listdir(folder) == []


def test_a_killed_process_is_dead_at_once_and_swept(folder: str) -> None:
    """Its files tell nobody that it lives; asking finds it gone and clears up."""
    with program(folder) as one, program(folder) as other:
        one.kill()
        assert not is_alive(slot_of(folder, one.identity))
        assert [identity for identity, _ in living(folder)] == [other.identity]
        with pytest.raises(ControlError, match="is gone: it left a dead socket"):
            ask(one.identity, "echo", folder=folder)
        assert len(os.listdir(folder)) == 2
        other.kill()
        assert sweep(folder) == 2


def test_a_stopped_process_can_be_read_and_is_told_to_be_stuck(folder: str) -> None:
    """Its figures stand in the slot; asked, it answers as soon as it goes on."""
    with program(folder) as one:
        os.kill(one.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(ControlError, match=r"no answer within 0\.2 s: it is stopped"):
                ask(one.identity, "echo", folder=folder, timeout=0.2)
            assert is_alive(slot_of(folder, one.identity))
            figures = read_slot(slot_of(folder, one.identity))
            assert figures is not None
            assert figures.used == one.process.pid
        finally:
            os.kill(one.process.pid, signal.SIGCONT)
        assert ask(one.identity, "echo", folder=folder)["pid"] == one.process.pid


def test_a_child_is_present_itself_and_outlives_its_parent_alone(folder: str) -> None:
    """The parent's lock dies with the parent, and its socket answers nobody any more."""
    with program(folder, "fork") as one:
        child = one.next_identity()
        assert child.pid != one.identity.pid
        for identity in (one.identity, child):
            assert ask(identity, "echo", folder=folder)["pid"] == identity.pid
        one.kill()
        assert [identity for identity, _ in living(folder)] == [child]
        with pytest.raises(ControlError, match="is gone"):
            ask(one.identity, "echo", folder=folder)
        assert ask(child, "echo", folder=folder)["pid"] == child.pid
    assert os.listdir(folder) == []


def test_a_program_that_replaces_itself_stays_who_it_is(folder: str) -> None:
    """After an exec it takes over its files, and nobody swept them meanwhile."""
    with program(folder, "exec") as one:
        assert one.next_identity() == one.identity
        assert ask(one.identity, "echo", folder=folder)["pid"] == one.process.pid
        assert len(os.listdir(folder)) == 2


def test_a_program_that_closes_all_descriptors_stays_readable_and_unharmed(folder: str) -> None:
    """It takes no more questions, and none of its own files is closed or written by us."""
    with program(folder, "daemon") as one:
        assert "takes no more questions: the program closed all its descriptors" in one.line()
        ((identity, figures),) = living(folder)
        assert (identity, figures.used) == (one.identity, one.process.pid)
        assert one.process.stdin is not None
        one.process.stdin.write("x")
        one.process.stdin.flush()
        assert one.line() == "16 of 16 files intact"
    assert os.listdir(folder) == []


def test_a_folder_removed_meanwhile_harms_nobody(folder: str) -> None:
    """The process goes on and ends well; who asks is told that the socket is not there."""
    with program(folder) as one:
        shutil.rmtree(folder)
        with pytest.raises(ControlError, match="has no control socket"):
            ask(one.identity, "echo", folder=folder)
        assert living(folder) == []
    assert one.process.returncode == 0


@needs_root
def test_another_user_gets_nothing(folder: str) -> None:
    """He cannot list, read, sweep or ask, not even where he knows all names."""
    with program(folder) as one:
        asked, claimed = looked_as_nobody(folder, one)
        assert asked.endswith("belongs to another user: ask as that user or as root")
        assert f"folder {folder} cannot be made or opened (Permission denied)" in claimed
        assert ask(one.identity, "echo", folder=folder)["pid"] == one.process.pid


@needs_root
def test_a_stranger_let_into_the_folder_is_not_heard(folder: str) -> None:
    """Where all permissions have failed, the socket still looks at who connects."""
    with program(folder) as one:
        os.chmod(folder, 0o777)  # noqa: S103  # on purpose
        os.chmod(f"{folder}/{one.identity.stem}.sock", 0o777)  # noqa: S103  # on purpose
        asked, claimed = looked_as_nobody(folder, one)
        assert "closed without an answer: it answers its own user and root" in asked
        assert f"folder {folder} belongs to user 0, not to {NOBODY}" in claimed


def test_two_containers_share_a_folder_and_are_told_apart(folder: str) -> None:
    """Both processes have number 1; each is found, asked, and missed by itself."""
    contain = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if (
        shutil.which("unshare") is None
        or subprocess.run([*contain, "true"], check=False).returncode
    ):
        pytest.skip("this machine lets us make no pid namespaces")
    with program(folder, "serve", *contain) as one, program(folder, "serve", *contain) as other:
        assert one.identity.pid == other.identity.pid == 1
        assert one.identity != other.identity
        assert {identity for identity, _ in living(folder)} == {one.identity, other.identity}
        inner = inner_pid(one.process.pid)
        assert identity_of(inner) == one.identity
        assert ask(one.identity, "echo", {"a": 1}, folder=folder) == {"a": 1, "pid": 1}
        os.kill(inner, signal.SIGKILL)
        one.process.wait(PATIENCE)
        assert [identity for identity, _ in living(folder)] == [other.identity]
        assert sweep(folder) == 2
        assert ask(other.identity, "echo", folder=folder) == {"pid": 1}


def inner_pid(unshare: int) -> int:
    """The number that a contained process has out here."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
        if children:
            return int(children[0])
    pytest.fail("nothing runs in the container")


@needs_root
def test_a_full_disk_refuses_a_slot_instead_of_killing_later(folder: str) -> None:
    """A store into a mapping of a file without room would be a SIGBUS."""
    mount, unmount = ["mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "full", folder], ["umount"]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets us mount nothing")
    try:
        Path(folder, "hog").write_bytes(bytes(4096))
        argv = [sys.executable, str(PROGRAM), folder]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 1, "an error, not a signal"
        assert "(No space left on device): make room there" in done.stderr
        assert os.listdir(folder) == ["hog"]
    finally:
        subprocess.run([*unmount, folder], check=True)
