"""The local variables of a function that runs or rests, read without a trace.

In CPython 3.11 and 3.12 `frame.f_locals` fills a dict that the frame keeps, which would keep alive
what the function lets go of: so the variables are taken out of it again. A function that may hold
that very dict, since it names `locals`, `vars`, `eval` or the like, is not read, nor is one that a
debugger follows. From 3.13 on (PEP 667) reading leaves nothing behind.
"""

from __future__ import annotations

import os
import sys
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType

_HOLDS_THEM = frozenset({"locals", "vars", "eval", "exec", "dir", "f_locals", "_getframe"})
_OPTIMIZED = 0x3
"""CO_OPTIMIZED and CO_NEWLOCALS: a function's frame, not a module's or a class's."""

_KEEPS = sys.version_info < (3, 13)
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

RESTING = (CoroutineType, GeneratorType, AsyncGeneratorType)
"""What holds the locals of a function that rests."""


def is_ours(code: CodeType) -> bool:
    """Whether code is this library's own."""
    return code.co_filename.startswith(HERE)


def locals_of(frame: FrameType) -> dict[str, Any]:
    """The variables of a function's frame by name; empty where reading could be noticed.

    Cost: some microseconds. Any thread.
    """
    code = frame.f_code
    if code.co_flags & _OPTIMIZED != _OPTIMIZED or is_ours(code):
        return {}
    if not _KEEPS:
        return dict(frame.f_locals)
    if frame.f_trace is not None or not _HOLDS_THEM.isdisjoint(code.co_names):
        return {}
    kept = frame.f_locals
    found = {}
    for name in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
        if name in kept:
            found[name] = kept.pop(name)
    return found


def frame_name(frame: FrameType) -> str:
    """A frame's function as module.qualname."""
    return f"{_module(frame)}.{_plain(frame.f_code.co_qualname)}"


def resting_frame(one: Any) -> FrameType | None:
    """The frame of a coroutine or generator; None where it ended or is of another type."""
    kind = type(one)
    frame = None
    if kind is CoroutineType:
        frame = one.cr_frame
    elif kind is GeneratorType:
        frame = one.gi_frame
    elif kind is AsyncGeneratorType:
        frame = one.ag_frame
    return frame


def module_of(one: Any) -> str:
    """The module of a frame's function, or of a coroutine's or generator's; "?" where it ended."""
    frame = one if type(one) is FrameType else resting_frame(one)
    return "?" if frame is None else _module(frame)


def _module(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__")
    return module if type(module) is str else "?"


def _plain(qualname: str) -> str:
    """A qualname as a reader would write it: without the <locals> between functions."""
    return qualname.replace(".<locals>", "")
