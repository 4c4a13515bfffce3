"""Who a process is: the same seen from inside and outside, and never somebody else."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membudget.errors import ProbeError
from membudget.host import Identity, identity_of, is_gone, parse_stem

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/ns"), reason="needs Linux's /proc")

BOOTS = st.text("0123456789abcdef", min_size=8, max_size=8)
NUMBERS = st.integers(min_value=0, max_value=2**40)
SET_NAME = 15


def test_a_process_is_the_same_from_inside_and_outside() -> None:
    """What a process calls itself is what others find by its number."""
    assert identity_of() == identity_of(os.getpid())


def test_a_name_with_parentheses_and_blanks_does_not_move_the_start_time() -> None:
    """A program may call itself anything, even what looks like the fields that follow."""
    before = identity_of()
    libc = ctypes.CDLL(None)
    name = Path("/proc/self/comm").read_bytes().strip()
    try:
        assert libc.prctl(SET_NAME, b") R 1 (2 3) 4", 0, 0, 0) == 0
        assert identity_of() == before
    finally:
        libc.prctl(SET_NAME, name, 0, 0, 0)


def test_a_process_that_has_ended_has_no_identity() -> None:
    """Also one that nobody has reaped yet is gone: it runs no code any more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = identity_of(child.pid)
        own = identity_of()
        assert identity.stem != own.stem
        assert not is_gone(identity, own)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(identity, own)
        with pytest.raises(ProbeError, match=f"process {child.pid} does not run: check the number"):
            identity_of(child.pid)
    with pytest.raises(ProbeError, match=f"process {child.pid} does not run"):
        identity_of(child.pid)


@pytest.mark.parametrize(
    ("uid", "told"), [(7, "ask as its user or as root"), (0, "ask from outside the container")]
)
def test_root_is_not_told_to_ask_as_root(
    uid: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container root has not all rights, and is not told to become what it is."""

    def refuse(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("membudget.host.os.stat", refuse)
    monkeypatch.setattr("membudget.host.os.geteuid", lambda: uid)
    with pytest.raises(ProbeError, match=told) as caught:
        identity_of(os.getpid())
    assert ("as root" in str(caught.value)) is (uid != 0)


def test_another_life_of_the_same_number_is_gone() -> None:
    """And so is whoever had it before the boot."""
    own = identity_of()
    assert is_gone(own.replace(boot="00000000"), own)
    assert is_gone(own.replace(started=own.started + 1), own)
    assert not is_gone(own, own)


@given(boot=BOOTS, namespace=NUMBERS, pid=NUMBERS, started=NUMBERS)
def test_a_stem_stands_for_its_identity(boot: str, namespace: int, pid: int, started: int) -> None:
    """parse_stem ∘ stem = identity."""
    identity = Identity(boot=boot, namespace=namespace, pid=pid, started=started)
    assert parse_stem(identity.stem) == identity


@given(text=st.text() | st.from_regex(r"[0-9a-f]{7,9}(-[0-9٣]{1,3}){2,4}", fullmatch=True))
def test_no_other_text_is_a_stem(text: str) -> None:
    """A file's name is only believed where writing it again gives the same name."""
    identity = parse_stem(text)
    assert identity is None or identity.stem == text


@pytest.mark.parametrize(
    "text", ["", "0123abcd-1-2", "0123abcd-1-2-03", "0123ABCD-1-2-3", "x-1-2-3"]
)
def test_what_only_looks_like_a_stem_is_none(text: str) -> None:
    """Too few parts, leading zeros, capitals and other letters are not ours."""
    assert parse_stem(text) is None
