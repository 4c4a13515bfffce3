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

import time
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, overload

from membudget.core import Record
from membudget.errors import ConfigError
from membudget.heap.window import begin_tracing, end_tracing, own_lock
from membudget.units import human_bytes, human_seconds, signed

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

F = TypeVar("F", bound="Callable[..., Any]")
_INFO = 20  # logging.INFO, without logging.


class MemoryProfile(Record):
    """What a profiled stretch did: bytes held at its end, and at most, beyond its start.

    `held` is below 0 where it let go. It `took` so many seconds, slowed down as they were;
    `is_complete` is whether tracing was on all the time: somebody else may have ended it.
    """

    name: str
    held: int
    peak: int
    took: float
    is_complete: bool

    def __str__(self) -> str:
        told = (
            f"{self.name}: {signed(self.held)} held, "
            f"peak {human_bytes(self.peak)}, {human_seconds(self.took)}"
        )
        return told if self.is_complete else f"{told}; tracing was ended meanwhile"


class Profiling:
    """A stretch that is being profiled, or was: then it has a `result`. Any thread may read it."""

    def __init__(self, name: str, tell: Callable[[MemoryProfile], None]) -> None:
        self.name = name
        self.result: MemoryProfile | None = None
        self._tell = tell
        self.highest: int = 0
        self._start = 0

    @property
    def held(self) -> int:
        """Bytes held beyond the start, now or at its end."""
        return _traced()[0] - self._start if self.result is None else self.result.held

    @property
    def peak(self) -> int:
        """Bytes held at most beyond the start, so far or until its end."""
        if self.result is not None:
            return self.result.peak
        return max(0, self.highest, _traced()[1]) - self._start

    def __enter__(self) -> Self:
        import tracemalloc  # 2 ms that a program without profiles must not pay

        self._began = time.monotonic()
        self._begun = begin_tracing()
        with own_lock():
            self._start = self.highest = _note_peak()
            tracemalloc.reset_peak()
            _open.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        import tracemalloc

        with own_lock():
            is_complete = tracemalloc.is_tracing()
            current = _note_peak() if is_complete else self._start
            _open.remove(self)
        end_tracing(self._begun)
        self.result = MemoryProfile(
            name=self.name,
            held=current - self._start,
            peak=max(0, self.highest - self._start),
            took=time.monotonic() - self._began,
            is_complete=is_complete,
        )
        self._tell(self.result)


_open: list[Profiling] = []
"""The stretches that are open. tracemalloc keeps one peak for the process: one that begins sets it
back, so that its own peak is its own; before, all that are open note what it was."""


def _note_peak() -> int:
    """Bytes traced now."""
    current, peak = _traced()
    for one in _open:
        one.highest = max(one.highest, peak)
    return current


def _traced() -> tuple[int, int]:
    """Bytes that tracemalloc counts now, and at most since its peak was set back."""
    import tracemalloc

    return tracemalloc.get_traced_memory()


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
    and an async one. Stretches may lie within and beside each other, in any thread or task: each
    has its own peak, but what others allocate meanwhile counts for all that are open. Tracing that
    somebody else began is used and stays on; tracing begun here ends with the last stretch.

    The result is the `last` of what this returns (`function.profile.last`), is handed to
    `on_result`, and is logged to "membudget". Cost: see the module; nothing while none is open.

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
    """What `profile_memory` returns, a decorator and a context manager; `last` ended last."""

    def __init__(
        self, name: str | None, on_result: Callable[[MemoryProfile], object] | None, level: int
    ) -> None:
        self.name = name
        self.last: MemoryProfile | None = None
        self._on_result = on_result
        self._level = level
        self._entered: list[Profiling] = []

    def __enter__(self) -> Profiling:
        profiling = Profiling(self.name or "block", self._note).__enter__()
        self._entered.append(profiling)
        return profiling

    def __exit__(self, *_: object) -> None:
        self._entered.pop().__exit__()

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

        @wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with Profiling(name, self._note):
                return await function(*args, **kwargs)

        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with Profiling(name, self._note):
                return function(*args, **kwargs)

        wrapped: Any = awaited if inspect.iscoroutinefunction(function) else called
        wrapped.profile = self
        return wrapped  # type: ignore[no-any-return]

    def _note(self, profile: MemoryProfile) -> None:
        import logging

        self.last = profile
        logging.getLogger("membudget").log(self._level, "profile of %s", profile)
        if self._on_result is not None:
            self._on_result(profile)
