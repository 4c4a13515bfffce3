"""The system's own threads, locks and waits, also where gevent or eventlet put theirs in place.

A greenlet in the place of a thread of ours would hold up the program (ADR 14).
"""

from __future__ import annotations

import _thread
import contextlib
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, TypeVar

    T = TypeVar("T")

_BREATH = 1e-4  # Seconds: a shorter sleep ends before another thread has woken up.


def _original(module: Any, name: str) -> Any:
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched(module.__name__):
        return gevent.get_original(module.__name__, name)
    if eventlet is not None:
        return getattr(eventlet.original(module.__name__), name, None)
    return getattr(module, name, None)


start_new_thread: Any = _original(_thread, "start_new_thread")
Lock: Any = _original(_thread, "allocate_lock")
RLock: Any = _original(_thread, "RLock")
get_ident: Any = _original(_thread, "get_ident")
get_native_id: Any = getattr(_thread, "get_native_id", get_ident)
sleep: Any = _original(time, "sleep")
poll: Any = _original(select, "poll")  # None where the system has none.


class Imports:
    """The mark of an import under way on the governor's thread: `with imports: import ...`.

    A lock of the import system's stays locked in a child that is forked meanwhile (`is_closed`): it
    imports nothing more there.
    """

    __slots__ = ("_is_under_way", "is_closed")

    def __init__(self) -> None:
        self.is_closed: bool = False
        self._is_under_way = False

    def __enter__(self) -> None:
        self._is_under_way = True

    def __exit__(self, *_error: object) -> None:
        self._is_under_way = False

    def after_fork_in_child(self) -> bool:
        """Whether it is closed in this child."""
        self.is_closed = self.is_closed or self._is_under_way
        return self.is_closed


class NativeThread:
    """A thread that `threading` does not list: a program that joins all it finds would wait for it.

    Ends with the process. What it runs must not raise, and its name has at most 15 letters.
    """

    def __init__(self, run: Callable[[], object], name: str) -> None:
        self.ident: int | None = None
        self.native_id: int | None = None
        self._run, self._name = run, name
        self._running, self._roused = Lock(), Lock()
        self._first_rest = 0.0
        self._is_dismissed = False

    def start(self, rest: float = 0.0) -> None:
        """Begin, after a rest of so many seconds before it does anything, even to have its name.

        A RuntimeError where no thread is to be had.
        """
        self._running.acquire()
        self._roused.acquire(blocking=False)
        self._first_rest = rest
        try:
            start_new_thread(self._main, ())
        except BaseException:
            self._running.release()
            raise

    def is_alive(self) -> bool:
        """Whether it runs; in a child that was forked meanwhile, whether it ran."""
        return bool(self._running.locked())

    def is_current(self) -> bool:
        """Whether the caller is this thread."""
        return bool(self.ident == get_ident())

    def rest(self, seconds: float) -> None:
        """Wait so long, or until somebody rouses it; called by this thread."""
        self._roused.acquire(timeout=seconds)

    def rouse(self) -> None:
        """End a rest, this one or the next."""
        with contextlib.suppress(RuntimeError):  # It was roused already.
            self._roused.release()

    def dismiss(self) -> None:
        """End a rest; where it has done nothing yet, it never will."""
        self._is_dismissed = True
        self.rouse()

    def join(self, patience: float) -> None:
        """Wait until it ends, at most so many seconds."""
        if self._running.acquire(timeout=patience):
            self._running.release()

    def _main(self) -> None:
        self.ident, self.native_id = get_ident(), get_native_id()
        try:
            if self._first_rest:
                self.rest(self._first_rest)
            if not self._is_dismissed:
                with (
                    contextlib.suppress(OSError),  # Not Linux; then it has the process's name.
                    open(f"/proc/self/task/{self.native_id}/comm", "wb", buffering=0) as file,
                ):
                    file.write(self._name.encode())
                self._run()
        except MemoryError:  # Not even the program's end is to be told of, with so little left.
            pass
        finally:
            # What `threading` noted of us when a sink asked for the current thread's name.
            listed = getattr(sys.modules.get("threading"), "_active", {})
            if type(listed.get(self.ident)).__name__ == "_DummyThread":
                listed.pop(self.ident, None)
            self._running.release()


class SystemClock:
    """Monotonic time and real waiting."""

    now: staticmethod[[], float] = staticmethod(time.monotonic)
    sleep: staticmethod[[float], Any] = staticmethod(sleep)


def in_one_go(steps: Generator[Any, None, T], breath: float = 0.0) -> T:
    """Run a generator that yields between slices to its end; returns what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        if breath:
            sleep(breath)


def breathing(steps: Generator[object, None, T]) -> T:
    """The same, other threads having their turn wherever it yields."""
    return in_one_go(steps, _BREATH)
