"""What the bounded containers have in common: threads, signals and forks leave them in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from containers_scene import FOREVER, KINDS, made, put, put_many, weights
from fakes import FakeClock
from membudget.containers.list import BoundedDeque, BoundedList
from membudget.containers.ordered import BoundedDict, BoundedSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

every_kind = pytest.mark.parametrize("kind", KINDS)
sequences = pytest.mark.parametrize("kind", [BoundedList, BoundedDeque])
"""Those whose changes are of several steps under a lock; a table's are one."""


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads that take turns every few bytecodes."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@every_kind
@pytest.mark.usefixtures("hasty")
def test_threads_leave_it_in_order(kind: Any) -> None:
    one = made(kind, max_items=100, max_bytes="20KiB")
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(600):
                put(one, f"{seed} {number}" * (1 + number % 7))
                if number % 5 == 0:
                    put_many(one, [f"{seed} {number} {more}" for more in range(10)])
                elif number % 7 == 0:
                    assert len(list(one)) <= 100
                elif number % 11 == 0:
                    one.reclaim(500, FOREVER)
                elif number % 97 == 0:
                    one.clear()
        except BaseException as error:  # noqa: BLE001  # reported by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert weights(one) == one.held_bytes() <= 20 << 10
    assert len(one) <= 100
    held = one.held_bytes()
    assert one.reclaim(1 << 40, FOREVER) == held
    assert one.held_bytes() == 0


class Interrupted(BaseException):
    """What the interrupting handler raises."""


@sequences
def test_an_exception_from_a_signal_leaves_it_in_order(kind: Any) -> None:
    """Wherever a handler can run, after a call or at a function's start: sums agree, it goes on."""
    interrupted = 0
    for limit in range(1, 120):
        one = made(kind, max_items=3)
        put_many(one, range(3))
        steps = 0

        def look(frame: Any, event: str, _arg: Any) -> None:
            nonlocal steps
            if event in ("call", "c_return") and "containers/" in frame.f_code.co_filename:
                steps += "unit" not in frame.f_code.co_filename
                if steps == limit:  # noqa: B023  # used up within the round
                    steps += 1
                    raise Interrupted

        sys.setprofile(look)
        try:
            put(one, 3)
            put_many(one, [4, 5])
        except Interrupted:
            interrupted += 1
        finally:
            sys.setprofile(None)
        assert weights(one) == one.held_bytes()
        put_many(one, range(10, 14))
        assert list(one) == [11, 12, 13]
        assert weights(one) == one.held_bytes()
        assert one._lock.acquire(blocking=False)
        one._lock.release()
    assert interrupted > 20


@every_kind
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_goes_on_with_what_was_there(kind: Any) -> None:
    """Also where another thread had the lock, in the middle of a change."""
    one = made(kind)
    put_many(one, range(10))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with one._lock:
            one._bytes += 5
            held.set()
            done.wait(20)
            one._bytes -= 5

    def in_child() -> bool:
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            put(one, 10)
            is_right = list(one) == list(range(11)) and weights(one) == one.held_bytes()
            os._exit(0 if is_right else 1)
        return os.waitpid(pid, 0)[1] == 0

    assert in_child()
    if kind in (BoundedDict, BoundedSet):  # A table has no lock, or is asked for it elsewhere.
        return
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    went_well = in_child()
    done.set()
    thread.join()
    assert went_well
    put(one, 10)
    assert len(one) == 11


def interrupted_everywhere(act: Callable[[], object], check: Callable[[], None]) -> None:
    """Do something again and again, each time cut short at a later call, and check after each."""
    limit, is_cut = 0, True
    while is_cut:
        limit, is_cut, seen = limit + 1, False, 0

        def look(frame: Any, event: str, _arg: Any) -> None:
            nonlocal seen, is_cut
            if event in ("call", "c_return") and "/containers/" in frame.f_code.co_filename:
                seen += "/unit/" not in frame.f_code.co_filename
                if seen == limit and not is_cut:  # noqa: B023  # used up within the round
                    is_cut = True
                    raise Interrupted

        sys.setprofile(look)
        try:
            act()
        except Interrupted:
            pass
        finally:
            sys.setprofile(None)
        check()
    assert limit > 5


@sequences
def test_what_a_signal_cuts_short_leaves_nothing_that_is_not_found(kind: Any) -> None:
    """An item is there for every way of asking, or for none."""
    one = made(kind)
    put_many(one, [0, 1, 2])

    def check() -> None:
        assert [item for item in one if item not in one] == []
        if 1 not in one:
            put(one, 1)
        assert sorted(one) == [0, 1, 2]
        assert weights(one) == one.held_bytes()

    interrupted_everywhere(lambda: one.remove(1), check)


@sequences
@pytest.mark.parametrize("until", [FOREVER, 2000.0])
def test_what_a_signal_cuts_short_leaves_no_lock_held(kind: Any, until: float) -> None:
    """Whether a reclaim may take its time or not; another thread gets the lock at once."""
    one = made(kind, clock=FakeClock())

    def check() -> None:
        def ask() -> None:
            free.append(one._lock.acquire(timeout=1))
            one._lock.release()

        free: list[bool] = []
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert free == [True]
        put_many(one, range(5))

    def act() -> None:
        one.reclaim(1, until)
        one.resize(max_bytes="1KiB")

    check()
    interrupted_everywhere(act, check)
