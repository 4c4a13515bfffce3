"""What is shared over a fork stays shared: frozen in the child, and undone where it should be."""

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable

import pytest

from fakes import MIB
from membudget.reclaimers import INTERPRETERS, SharedPages
from membudget.registry import Registry
from waiting import eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def is_frozen() -> bool:
    """Whether anybody but the interpreter has frozen objects."""
    return gc.get_freeze_count() >= INTERPRETERS


def told_by_child(work: Callable[[int], object]) -> bytes:
    """What a forked child, or one of its own, writes into a pipe."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            work(writer)
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    told = b""
    while more := os.read(reader, 100):
        told += more
    os.close(reader)
    return told


def following() -> tuple[SharedPages, Registry]:
    """One that is told of forks as a budget's is."""
    registry, shared = Registry(), SharedPages(lambda: MIB)
    registry.add(shared)
    return shared, registry


def test_a_child_freezes_what_it_inherits_and_its_parent_does_not() -> None:
    """Frozen at each of many forks, a parent would keep all its garbage for ever."""
    shared, _registry = following()
    for _ in range(3):
        assert told_by_child(lambda writer: os.write(writer, b"%d" % is_frozen())) == b"1"
    assert not is_frozen()
    assert not shared.is_frozen


def test_a_childs_child_freezes_what_its_parent_made() -> None:
    """It shares that as well."""
    _shared, _registry = following()

    def grandchild(writer: int) -> None:
        made = [[number] for number in range(1000)]
        before = gc.get_freeze_count()
        pid = os.fork()
        if pid == 0:
            os.write(writer, b"%d" % (gc.get_freeze_count() >= before + len(made)))
            os._exit(0)
        os.waitpid(pid, 0)

    assert told_by_child(grandchild) == b"1"


def test_what_a_program_froze_itself_is_left_to_it() -> None:
    """Ours could not be told from its own any more when it is to be undone."""
    shared, _registry = following()
    gc.freeze()
    try:
        assert shared.is_frozen_by_program()
        assert told_by_child(lambda writer: os.write(writer, b"%d" % shared.is_frozen)) == b"0"
    finally:
        gc.unfreeze()
    assert not shared.is_frozen_by_program()


def test_an_orphan_stays_frozen_while_its_siblings_share_its_pages() -> None:
    """A launcher that forks its workers and ends leaves them one copy of what it made."""
    shares = [100 * MIB]
    shared, registry = SharedPages(lambda: 100 * MIB, lambda: shares[0]), Registry()
    registry.add(shared)

    def orphan(writer: int) -> None:
        launcher = os.getpid()
        if os.fork():
            os._exit(0)
        eventually(lambda: os.getppid() != launcher)
        gc.collect()
        was_frozen = is_frozen()
        shares[0] = 10 * MIB
        eventually(lambda: gc.collect() >= 0 and not is_frozen())
        os.write(writer, b"%d%d" % (was_frozen, is_frozen()))

    assert told_by_child(orphan) == b"10"


@pytest.mark.parametrize(("left", "expected"), [(100 * MIB, b"0"), (MIB, b"1"), (None, b"0")])
def test_what_only_a_child_holds_any_more_is_collected(left: int | None, expected: bytes) -> None:
    """Its parent handed it over: kept, it would fill the room twice once it is replaced."""
    shared, registry = SharedPages(lambda: 100 * MIB, lambda: left), Registry()
    registry.add(shared)

    class Model:
        def __init__(self) -> None:
            self.itself = self

    model = Model()
    there = weakref.ref(model)

    def reload(writer: int) -> None:
        nonlocal model
        del model
        gc.collect()
        os.write(writer, b"%d" % (there() is None))

    assert told_by_child(reload) == expected
    assert shared._before_collection not in gc.callbacks  # The child's alone.


def test_a_daemon_whose_parent_is_gone_is_as_it_was() -> None:
    """It shares nothing any more, and its garbage is its own."""
    _shared, _registry = following()

    def daemon(writer: int) -> None:
        was_frozen = is_frozen()
        if os.fork():
            os._exit(0)
        eventually(lambda: gc.collect() >= 0 and not is_frozen())
        os.write(writer, b"%d%d" % (was_frozen, is_frozen()))

    assert told_by_child(daemon) == b"10"


def test_while_children_live_a_parent_that_has_not_grown_does_not_collect() -> None:
    """It would copy what they share; grown by half there may be more to free."""
    held = [100 * MIB]
    shared, registry = SharedPages(lambda: held[0]), Registry()
    registry.add(shared)
    assert not shared.would_be_copied()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    assert shared.would_be_copied()
    held[0] = 160 * MIB
    assert not shared.would_be_copied()
    held[0] = 100 * MIB
    os.close(writer)
    os.waitpid(pid, 0)
    os.close(reader)
    assert not shared.would_be_copied()


ENDS = """
import gc, os, sys
import membudget

class Log:
    def __init__(self): self.me = self
    def __del__(self): os.write(1, b"closed by %d\\n" % (os.getpid() == first))

first = os.getpid()
log = Log()
budget = membudget.start("1GiB", sinks=[], agent={"directory": "none"})
pid = os.fork()
if pid == 0:
    assert gc.get_freeze_count() > 1000
    sys.exit()
os.waitpid(pid, 0)
budget.stop()
"""


def test_a_child_that_ends_in_good_order_finds_all_its_garbage() -> None:
    """Finalizers of what it inherited run at its end, as they do without us."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, check=True, timeout=60
    )
    assert sorted(done.stdout.splitlines()) == ["closed by 0", "closed by 1"]
