"""Where a walk begins: modules, functions that run, threads, tasks."""

from __future__ import annotations

import gc
import sys
import threading
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType

from membudget.heap import raw
from membudget.heap.locals import frame_name, is_ours, locals_of
from membudget.heap.owner import MODULE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_THREADS = 32
"""Threads whose frames are taken at a time."""

_FRAMES = 1000
"""Frames of one thread that are read, the innermost first."""


def namespaces() -> Iterator[tuple[str, Any]]:
    """The namespace of each module, the program's own modules first. Cost: 0.5 µs a module."""
    late: list[tuple[str, Any]] = []
    for name in list(sys.modules):
        if type(name) is not str or raw.is_our_module(name):
            continue
        one = sys.modules.get(name)
        root = name.partition(".")[0]
        if not issubclass(type(one), ModuleType):
            late.append((name, one))
        elif root in sys.stdlib_module_names and root != "__main__":
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
    """The local variables of functions that run, in all threads.

    Cost: some microseconds a frame. Functions that ended are let go of at once.
    """
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


def frames_by_thread() -> dict[int, FrameType]:
    """The innermost frame of each thread, to be let go of soon. Cost: 50 µs a thousand threads."""
    return sys._current_frames()  # noqa: SLF001  # the documented way


def threads() -> list[threading.Thread]:
    """The threads that `threading` knows."""
    return list(threading._active.values())  # type: ignore[attr-defined]  # noqa: SLF001  # enumerate() takes a lock


def tasks() -> Iterator[Any]:
    """The asyncio tasks of all loops, once or twice; none where asyncio is not in use."""
    namespace = raw.globals_of(sys.modules.get("asyncio.tasks"))
    for name in ("_scheduled_tasks", "_all_tasks", "_eager_tasks"):
        kept = namespace.get(name)
        references = kept if type(kept) is set else raw.read(kept, "data")
        if type(references) is set:
            for reference in list(references):
                task = reference() if type(reference) is ReferenceType else reference
                if task is not None:
                    yield task


def late_roots() -> Iterator[tuple[str, Any]]:
    """Roots that lead to little by themselves: a task's chain is to begin at what waits for it."""
    for task in tasks():
        yield "tasks", task


def all_roots(*, variables_last: bool = False) -> Iterator[tuple[str, Any]]:
    """All that a walk begins with, as pairs of a name and an object; `late_roots` come after it.

    Args:
        variables_last: Whether modules come before the variables of functions that run.
    """
    if not variables_last:
        yield from variables()
    yield from namespaces()
    for thread in threads():
        yield "threads", thread
    yield "module gc", {"garbage": gc.garbage}
    if variables_last:
        yield from variables()


def _of_stack(frame: FrameType | None) -> Iterator[tuple[str, Any]]:
    outer = iter(_stack(frame))
    for one in islice(outer, _FRAMES):
        if not is_ours(one.f_code):
            name = frame_name(one)
            for variable, value in locals_of(one).items():
                if raw.refers(type(value)):
                    yield f"{name}.{variable}", value


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
