"""What tasks and threads run, read without running any of it."""

from __future__ import annotations

from gc import get_referents
from types import CoroutineType, FunctionType, GeneratorType
from typing import TYPE_CHECKING, Any

from membudget.heap import raw, roots
from membudget.heap.locals import RESTING, locals_of, resting_frame

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator


_DEEPEST = 50
"""Coroutines of one task that are looked at."""

_WRAPPERS = frozenset(
    {"async_generator_asend", "async_generator_athrow", "anext_awaitable", "coroutine_wrapper"}
)


def values(frame: Any) -> Iterator[Any]:
    """The values of local variables of a frame and of those that called it."""
    for _ in range(20):
        if frame is None:
            return
        yield from locals_of(frame).values()
        frame = frame.f_back


def _code_of(coroutine: Any) -> Any:
    kind = type(coroutine)
    if kind is CoroutineType:
        return coroutine.cr_code
    return coroutine.gi_code if kind is GeneratorType else coroutine.ag_code


def name_of_coroutine(coroutine: Any) -> str:
    """A coroutine's function as module.qualname: the function tells, without making a frame."""
    function = _function_of(coroutine)
    if function is not None:
        return raw.function_name(function)
    name: str = coroutine.__qualname__
    return name.replace(".<locals>", "")


class Line:
    """A task's coroutine and those that it awaits, the outermost first.

    A task often begins in the standard library (`asyncio.wait_for`) and always ends there, and both
    help nobody: so it is called by the first of them that is the program's or a package's own.

    Attributes:
        name: Of the first that is not the standard library's; else of the outermost.
        is_standard: Whether all are the standard library's.
    """

    __slots__ = ("_line", "_own", "is_standard", "name")

    def __init__(self, coroutine: Any) -> None:
        self._line = list(_line_of(coroutine))
        self._own = [one for one in self._line if not _is_standard(one)]
        self.is_standard = not self._own
        self.name = name_of_coroutine((self._own or self._line)[0])

    def note(self) -> str:
        """Where the last of the program's own waits, and what for."""
        line, own = self._line, self._own or self._line[:1]
        frame, said = resting_frame(own[-1]), []
        if frame is not None:
            said.append(f"waits at {frame.f_code.co_filename}:{frame.f_lineno}")
        if line[-1] is not own[-1]:
            said.append(f"awaits {name_of_coroutine(line[-1])}")
        if line[0] is not own[0]:
            said.append(f"within {name_of_coroutine(line[0])}")
        return ", ".join(said)


def _line_of(coroutine: Any) -> Iterator[Any]:
    for _ in range(_DEEPEST):
        yield coroutine
        kind = type(coroutine)
        if kind is CoroutineType:
            coroutine = coroutine.cr_await
        else:
            coroutine = coroutine.gi_yieldfrom if kind is GeneratorType else coroutine.ag_await
        kind = type(coroutine)
        if raw.is_fixed(kind) and kind.__name__ in _WRAPPERS:
            # A step of an asynchronous generator, or what `__await__` of a coroutine gave.
            inner = [one for one in get_referents(coroutine) if raw.is_one_of(type(one), RESTING)]
            coroutine = inner[0] if inner else None
        if not raw.is_one_of(type(coroutine), RESTING):
            return


def _function_of(coroutine: Any) -> FunctionType | None:
    for one in get_referents(coroutine):
        if type(one) is FunctionType and one.__code__ is _code_of(coroutine):
            return one
    return None


def _is_standard(coroutine: Any) -> bool:
    function = _function_of(coroutine)
    return function is not None and raw.is_standard_module(function.__module__)


def others_of(coroutine: Any, most: int) -> list[Any]:
    """Some tasks that wait in the same function."""
    found: list[Any] = []
    for task in roots.tasks():
        other = coroutine_of(task)
        if other is not None and other.__qualname__ == coroutine.__qualname__:
            if not any(task is one for one in found):
                found.append(task)
            if len(found) == most:
                break
    return found


def coroutine_of(task: Any) -> Any:
    """What a task runs; None where it is done or no task of asyncio."""
    coroutine = None
    for base in raw.bases_of(type(task)):
        if raw.type_name(base) == "_asyncio.Task":
            if not base.done(task):  # type: ignore[attr-defined]
                coroutine = base.get_coro(task)  # type: ignore[attr-defined]
            break
        if raw.type_name(base) == "asyncio.tasks.Task" and raw.read(task, "_state") == "PENDING":
            coroutine = raw.read(task, "_coro")
    is_known = raw.is_one_of(type(coroutine), (CoroutineType, GeneratorType))
    return coroutine if is_known else None


def runs(thread: threading.Thread) -> str:
    """What a thread runs: its target as module.qualname, or its own class."""
    target = raw.read(thread, "_target")
    if target is not None:
        return raw.function_name(target)
    return raw.type_name(type(thread))


def ident(thread: threading.Thread) -> int | None:
    """A thread's number; None where it has not begun."""
    ident = raw.read(thread, "_ident")
    return ident if type(ident) is int else None
