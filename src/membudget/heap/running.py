"""What tasks and threads run, read without running any of it."""

from __future__ import annotations

from gc import get_referents
from types import CoroutineType, FunctionType, GeneratorType
from typing import TYPE_CHECKING, Any

from membudget.heap import raw, roots
from membudget.heap.locals import locals_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator


def values(frame: Any) -> Iterator[Any]:
    """The values of local variables of a frame and of those that called it."""
    for _ in range(20):
        if frame is None:
            return
        yield from locals_of(frame).values()
        frame = frame.f_back


def code_of(coroutine: Any) -> Any:
    """The code of a coroutine, or of the generator that stands for one."""
    return coroutine.cr_code if type(coroutine) is CoroutineType else coroutine.gi_code


def name_of_coroutine(coroutine: Any) -> str:
    """A coroutine's function as module.qualname: the function tells, without making a frame."""
    for one in get_referents(coroutine):
        if type(one) is FunctionType and one.__code__ is code_of(coroutine):
            return raw.function_name(one)
    name: str = coroutine.__qualname__
    return name.replace(".<locals>", "")


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
