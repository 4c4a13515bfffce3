"""Where a walk begins: modules, functions that run or rest, threads, tasks; and what those run.

No line of the program runs for it. In CPython 3.11 and 3.12 `frame.f_locals` fills a dict that the
frame keeps, which would keep alive what the function lets go of: so the variables are taken out of
it again, and what may hold that very dict, or is debugged, is not read. Later (PEP 667) reading
leaves nothing behind.
"""

from __future__ import annotations

import gc
import sys
import threading
from itertools import islice
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

from membudget.heap import raw

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = "module "  # What the name of a root begins with where the root is a module's namespace
_HOLDS_THEM = frozenset({"locals", "vars", "eval", "exec", "dir", "f_locals", "_getframe"})
_OPTIMIZED = 0x3  # CO_OPTIMIZED and CO_NEWLOCALS: a function's frame, not a module's or a class's
_KEEPS = sys.version_info < (3, 13)

RESTING = (CoroutineType, GeneratorType, AsyncGeneratorType)
"""What holds the locals of a function that rests."""

_FRAME, _CODE = ("cr_frame", "gi_frame", "ag_frame"), ("cr_code", "gi_code", "ag_code")
_AWAITED = ("cr_await", "gi_yieldfrom", "ag_await")
"""Attributes by the place of a type in `RESTING`."""


def locals_of(frame: FrameType) -> dict[str, Any]:
    """The variables of a function's frame by name; empty where reading could be noticed."""
    code = frame.f_code
    if code.co_flags & _OPTIMIZED != _OPTIMIZED or raw.is_our_code(code):
        return {}
    if not _KEEPS:
        return dict(frame.f_locals)
    if frame.f_trace is not None or not _HOLDS_THEM.isdisjoint(code.co_names):
        return {}
    kept = frame.f_locals
    names = (*code.co_varnames, *code.co_cellvars, *code.co_freevars)
    return {name: kept.pop(name) for name in names if name in kept}


def frame_name(frame: FrameType) -> str:
    """A frame's function as module.qualname."""
    return f"{module_of(frame)}.{frame.f_code.co_qualname.replace('.<locals>', '')}"


def resting_frame(one: Any) -> FrameType | None:
    """The frame of a coroutine or generator; None where it ended or is of another type."""
    frame: FrameType | None = _part(one, _FRAME)
    return frame


def _part(one: Any, names: tuple[str, ...]) -> Any:
    for kind, name in zip(RESTING, names, strict=True):
        if type(one) is kind:
            return getattr(one, name)
    return None


def module_of(one: Any) -> str:
    """The module of a frame's function, or of a coroutine's or generator's; "?" where it ended."""
    frame = one if type(one) is FrameType else resting_frame(one)
    module = None if frame is None else frame.f_globals.get("__name__")
    return module if type(module) is str else "?"


_THREADS = 32  # Threads whose frames are taken at a time
_FRAMES = 1000  # Frames of one thread that are read, the innermost first


def namespaces() -> Iterator[tuple[str, Any]]:
    """The namespace of each module, the program's own modules first. Cost: 0.5 µs a module."""
    late: list[tuple[str, Any]] = []
    for name in list(sys.modules):
        if type(name) is not str or raw.is_our_module(name):
            continue
        one = sys.modules.get(name)
        if not issubclass(type(one), ModuleType):
            late.append((name, one))
        elif raw.is_standard_module(name):
            late.append((MODULE + name, raw.globals_of(one)))
        else:
            yield MODULE + name, raw.globals_of(one)
    yield from late


def own_namespaces() -> list[int]:
    """The ids of this library's namespaces, which a walk does not enter."""
    return [
        id(raw.globals_of(one))
        for name, one in list(sys.modules.items())
        if type(name) is str and raw.is_our_module(name) and issubclass(type(one), ModuleType)
    ]


def variables() -> Iterator[tuple[str, Any]]:
    """The local variables of functions that run, in all threads; some microseconds a frame."""
    waiting = list(frames_by_thread())
    while waiting:
        some, waiting = waiting[:_THREADS], waiting[_THREADS:]
        frames = frames_by_thread()
        stacks = [frames.get(thread) for thread in some]
        del frames
        for place in range(len(stacks)):
            frame, stacks[place] = stacks[place], None
            yield from _of_stack(frame)
            del frame


def _of_stack(frame: FrameType | None) -> Iterator[tuple[str, Any]]:
    for one in islice(_stack(frame), _FRAMES):
        if not raw.is_our_code(one.f_code):
            name = frame_name(one)
            for variable, value in locals_of(one).items():
                if raw.refers(type(value)):
                    yield f"{name}.{variable}", value


def frames_by_thread() -> dict[int, FrameType]:
    """The innermost frame of each thread, to be let go of soon. Cost: 50 µs a thousand threads."""
    return sys._current_frames()  # noqa: SLF001  # the documented way


def threads() -> list[threading.Thread]:
    """The threads that `threading` knows."""
    return list(threading._active.values())  # type: ignore[attr-defined]  # noqa: SLF001  # enumerate() takes a lock


def tasks() -> Iterator[tuple[str, Any]]:
    """The asyncio tasks of all loops, once or twice; none where asyncio is not in use."""
    namespace = raw.globals_of(sys.modules.get("asyncio.tasks"))
    for name in ("_scheduled_tasks", "_all_tasks", "_eager_tasks"):
        kept = namespace.get(name)
        references = kept if type(kept) is set else raw.read(kept, "data")
        if type(references) is set:
            for reference in list(references):
                task = reference() if type(reference) is ReferenceType else reference
                if task is not None:
                    yield "tasks", task


def all_roots() -> Iterator[tuple[str, Any]]:
    """All that a walk begins with, as pairs of a name and an object; `tasks` come after it."""
    yield from variables()
    yield from namespaces()
    for thread in threads():
        yield "threads", thread
    yield "module gc", {"garbage": gc.garbage}


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


_DEEPEST = 50  # Coroutines of one task that are looked at

_WRAPPERS = frozenset(
    {"async_generator_asend", "async_generator_athrow", "anext_awaitable", "coroutine_wrapper"}
)


def values(frame: FrameType | None) -> Iterator[Any]:
    """The values of local variables of a frame and of those that called it."""
    for one in islice(_stack(frame), 20):
        yield from locals_of(one).values()


def name_of_coroutine(coroutine: Any) -> str:
    """A coroutine's function as module.qualname: the function tells, without making a frame."""
    function = _function_of(coroutine)
    if function is not None:
        return raw.function_name(function)
    name: str = coroutine.__qualname__
    return name.replace(".<locals>", "")


def awaited(coroutine: Any) -> tuple[list[Any], list[Any]]:
    """A task's coroutine and those that it awaits, the outermost first; and those to name it by.

    A task often begins in `asyncio` and always ends there, and both help nobody: so it is called by
    the first of them that is the program's or a package's own.
    """
    line = list(_line_of(coroutine))
    return line, [one for one in line if not _is_standard(one)]


def where_it_waits(line: list[Any], own: list[Any]) -> str:
    """Where the last of a task's own coroutines waits, and what for; this makes its frame."""
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
        coroutine = _part(coroutine, _AWAITED)
        kind = type(coroutine)
        if raw.is_fixed(kind) and kind.__name__ in _WRAPPERS:
            # A step of an asynchronous generator, or what `__await__` of a coroutine gave.
            inner = [one for one in raw.referents(coroutine) if raw.is_one_of(type(one), RESTING)]
            coroutine = inner[0] if inner else None
        if not raw.is_one_of(type(coroutine), RESTING):
            return


def _function_of(coroutine: Any) -> FunctionType | None:
    for one in raw.referents(coroutine):
        if type(one) is FunctionType and one.__code__ is _part(coroutine, _CODE):
            return one
    return None


def _is_standard(coroutine: Any) -> bool:
    function = _function_of(coroutine)
    return function is not None and raw.is_standard_module(function.__module__)


def others_of(coroutine: Any, most: int) -> list[Any]:
    """Some tasks that wait in the same function."""
    found: dict[int, Any] = {}
    for _, task in tasks():
        other = coroutine_of(task)
        if other is not None and other.__qualname__ == coroutine.__qualname__:
            found[id(task)] = task
            if len(found) == most:
                break
    return list(found.values())


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
    return raw.type_name(type(thread)) if target is None else raw.function_name(target)


def ident(thread: threading.Thread) -> int | None:
    """A thread's number; None where it has not begun."""
    ident = raw.read(thread, "_ident")
    return ident if type(ident) is int else None
