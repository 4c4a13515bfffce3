"""How much Python memory a stretch of code holds and at most held: for development.

    @profile_memory
    def load(): ...

    with profile_memory("parse") as profile:
        rows = parse(text)
    print(profile.held, profile.peak)

Figures are tracemalloc's: every allocation through Python's allocators, to the byte, and nothing
that C code takes from malloc by itself. That costs: code runs 3 to 7 times slower meanwhile, a
loop over integers 14 to 20 times, and each live block takes 64 bytes more. In production use
`budget.operation`, which asks the kernel instead.
"""

from __future__ import annotations

import os
import threading
import time
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, overload

from membudget.core import Record
from membudget.errors import ConfigError
from membudget.heap.window import begin_tracing, end_tracing
from membudget.units import human_bytes, human_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_INFO = 20
"""logging.INFO, without logging."""


class MemoryProfile(Record):
    """What a profiled stretch did.

    Attributes:
        name: What was profiled.
        held: Bytes held at its end beyond what was held at its start; below 0 where it let go.
        peak: Bytes held at most beyond its start.
        took: Seconds, slowed down as they were.
        is_complete: Whether tracing was on all the time: somebody else may have ended it.
    """

    name: str
    held: int
    peak: int
    took: float
    is_complete: bool

    def __str__(self) -> str:
        sign = "-" if self.held < 0 else "+"
        told = (
            f"{self.name}: {sign}{human_bytes(abs(self.held))} held, "
            f"peak {human_bytes(self.peak)}, {human_seconds(self.took)}"
        )
        return told if self.is_complete else f"{told}; tracing was ended meanwhile"


class Profiling:
    """A stretch that is being profiled, or was. Any thread may read it.

    Attributes:
        name: What is profiled.
        start: Bytes traced when it began.
        highest: Bytes traced at most since, as far as it was written down.
        begun: What ends the tracing that it needs.
        result: The profile, once it has ended.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.result: MemoryProfile | None = None
        self._began = time.monotonic()
        self.start = self.highest = 0
        self.begun: object | None = None

    @property
    def held(self) -> int:
        """Bytes held beyond the start, now or at its end."""
        if self.result is not None:
            return self.result.held
        return _traced()[0] - self.start

    @property
    def peak(self) -> int:
        """Bytes held at most beyond the start, so far or until its end."""
        if self.result is not None:
            return self.result.peak
        return max(0, self.highest, _traced()[1]) - self.start

    def finish(self, current: int, *, is_complete: bool) -> MemoryProfile:
        """Make the profile of bytes traced now, and of whether tracing was on."""
        self.result = MemoryProfile(
            name=self.name,
            held=current - self.start,
            peak=max(0, self.highest - self.start),
            took=time.monotonic() - self._began,
            is_complete=is_complete,
        )
        return self.result


class _Tracing:
    """The process's tracing, shared by all stretches that are open.

    tracemalloc keeps one peak for the process. A stretch that begins sets it back, so that its own
    peak is its own; before, all that are open write down what it was.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Profiling] = []

    def begin(self, profiling: Profiling) -> None:
        import tracemalloc  # 2 ms that a program without profiles must not pay

        with self._lock:
            profiling.begun = begin_tracing()
            current = self._note_peak()
            tracemalloc.reset_peak()
            profiling.start = profiling.highest = current
            self._open.append(profiling)

    def end(self, profiling: Profiling) -> MemoryProfile:
        import tracemalloc

        with self._lock:
            is_complete = tracemalloc.is_tracing()
            current = self._note_peak() if is_complete else profiling.start
            self._open.remove(profiling)
            end_tracing(profiling.begun)
        return profiling.finish(current, is_complete=is_complete)

    def _note_peak(self) -> int:
        current, peak = _traced()
        for one in self._open:
            one.highest = max(one.highest, peak)
        return current

    def after_fork_in_child(self) -> None:
        """Begin with a lock of its own: a thread that is gone may hold the parent's for ever."""
        self._lock = threading.Lock()


_tracing = _Tracing()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tracing.after_fork_in_child)


@overload
def profile_memory(name: F) -> F: ...
@overload
def profile_memory(
    name: str | None = None,
    *,
    on_result: Callable[[MemoryProfile], object] | None = None,
    level: int = _INFO,
) -> MemoryProfiler: ...
def profile_memory(
    name: Any = None,
    *,
    on_result: Callable[[MemoryProfile], object] | None = None,
    level: int = _INFO,
) -> Any:
    """Measures what a function or a block holds and at most held, as tracemalloc sees it.

    A decorator, bare or with arguments, for functions and coroutine functions; a context manager
    and an async one. Stretches may lie within each other and beside each other in threads and
    tasks: each has its own peak; but tracemalloc counts the whole process, so what others allocate
    meanwhile counts for all that are open. Tracing that somebody else began is used and stays on,
    with the peak set back whenever a stretch begins; tracing begun here ends with the last one,
    even where somebody else asked for tracing in the meantime, which tracemalloc does not tell.

    The result is the `last` of what this returns (of a decorated function:
    `function.profile.last`), is handed to `on_result`, and is logged to "membudget".

    Cost: see the module; nothing while no stretch is open. Any thread.

    Args:
        name: What is profiled, or None: the function's name, or "block".
        on_result: Called with each `MemoryProfile`.
        level: Of the log message; logging.INFO.

    Raises:
        ConfigError: It decorates a generator function, whose body a call does not run.
    """
    if callable(name):
        return MemoryProfiler(None, on_result, level)(name)
    return MemoryProfiler(name, on_result, level)


class MemoryProfiler:
    """What `profile_memory` returns: a decorator and a context manager.

    Attributes:
        name: What is profiled, or None.
        last: The profile that ended last, or None.
    """

    def __init__(
        self, name: str | None, on_result: Callable[[MemoryProfile], object] | None, level: int
    ) -> None:
        self.name = name
        self.last: MemoryProfile | None = None
        self._on_result = on_result
        self._level = level
        self._entered: list[Profiling] = []

    def __enter__(self) -> Profiling:
        profiling = self._begin(self.name or "block")
        self._entered.append(profiling)
        return profiling

    def __exit__(self, *_: object) -> None:
        self._end(self._entered.pop())

    async def __aenter__(self) -> Profiling:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def __call__(self, function: F) -> F:
        """The function, profiled at each call."""
        import inspect  # where something is decorated

        name = self.name or function.__qualname__
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigError(
                f"{name} is a generator function, whose body a call does not run: write "
                "`with profile_memory():` around the loop over it"
            )
        wrapped: Any
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                profiling = self._begin(name)
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._end(profiling)

            wrapped = awaited
        else:

            @wraps(function)
            def called(*args: Any, **kwargs: Any) -> Any:
                profiling = self._begin(name)
                try:
                    return function(*args, **kwargs)
                finally:
                    self._end(profiling)

            wrapped = called
        wrapped.profile = self
        return wrapped  # type: ignore[no-any-return]

    def _begin(self, name: str) -> Profiling:
        profiling = Profiling(name)
        _tracing.begin(profiling)
        return profiling

    def _end(self, profiling: Profiling) -> None:
        import logging

        self.last = _tracing.end(profiling)
        logging.getLogger("membudget").log(self._level, "profile of %s", self.last)
        if self._on_result is not None:
            self._on_result(self.last)


def _traced() -> tuple[int, int]:
    """Bytes that tracemalloc counts now, and at most since its peak was set back."""
    import tracemalloc

    return tracemalloc.get_traced_memory()
