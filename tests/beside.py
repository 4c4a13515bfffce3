"""What goes on beside a test: threads, a forked child, a lock held, an interrupt at any call."""

import contextlib
import itertools
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE = 20
"""Seconds after which what hangs is ended, or given up."""


def in_threads(*works: Callable[[], object]) -> list[Any]:
    """What each gave in a thread of its own; the first error of one is raised."""
    got: dict[int, object] = {}
    errors: list[BaseException] = []

    def run(number: int, work: Callable[[], object]) -> None:
        try:
            got[number] = work()
        except BaseException as error:  # noqa: BLE001  # raised by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=one) for one in enumerate(works)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(2 * PATIENCE)
        assert not one.is_alive(), "a thread waits for ever"
    if errors:
        raise errors[0]
    return [got[number] for number in range(len(works))]


def in_child(act: Callable[[], None]) -> bool:
    """Fork, do something in the child, and tell whether it went well."""
    with warnings.catch_warnings():
        # From 3.12 on a fork beside threads warns; that it goes well is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(PATIENCE)
            act()
        except BaseException:  # noqa: BLE001  # a child must end here, whatever happens
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


@contextlib.contextmanager
def held_elsewhere(lock: Any) -> Iterator[None]:
    """Another thread has the lock meanwhile."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(PATIENCE)
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def meanwhile(work: Callable[[int], object]) -> Iterator[None]:
    """Another thread does it again and again, with 1, 2, 3."""
    ended = threading.Event()

    def run() -> None:
        for number in itertools.count(1):
            if ended.is_set():
                return
            work(number)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Interrupted(BaseException):
    """What an interrupting handler raises."""


def interrupted_everywhere(
    where: str, act: Callable[[], object], check: Callable[[], object]
) -> None:
    """Do it again and again, each time cut short at a later call in those files; check each."""
    limit, is_cut = 0, True
    while is_cut:
        limit, is_cut, seen = limit + 1, False, 0

        def look(frame: Any, event: str, _arg: Any) -> None:
            nonlocal seen, is_cut
            if event in ("call", "c_return") and where in frame.f_code.co_filename:
                seen += 1
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
