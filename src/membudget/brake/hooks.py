"""What the brake learns from the interpreter: children and threads about to start, lost errors."""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any

from membudget.errors import ConfigError, OverBudgetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

_CHILD, _THREAD = "child", "thread"
_KINDS = {
    "subprocess.Popen": _CHILD,
    "os.posix_spawn": _CHILD,
    "os.exec": _CHILD,
    "os.system": _CHILD,
    "_thread.start_new_thread": _THREAD,
    "_thread.start_joinable_thread": _THREAD,
}
"""The audit events raised before a program is started, or a thread (its name since 3.13)."""

_LISTENER = "listener"

_listening: dict[str, Any] = {}
"""The one who listens, if any: a dict, since its `setdefault` needs no lock that a fork breaks."""

_is_hooked = False


def listen(listener: Any) -> None:
    """Call its `before_child` and `before_thread` from now on, and nobody else's.

    On the thread that is about to do it; what it raises is dropped. The audit hook, added at first
    use, cannot be removed, and costs 0.3 µs an event.
    """
    global _is_hooked  # noqa: PLW0603  # the interpreter keeps such a hook for ever
    if _listening.setdefault(_LISTENER, listener) is not listener:
        raise ConfigError(
            "the brake is armed already in this process by another budget: stop() that one first, "
            "or leave the brake off here"
        )
    if not _is_hooked:
        _is_hooked = True
        sys.addaudithook(_on_event)
        if sys.version_info < (3, 12):
            _raise_event_of_threads()


def ignore(listener: Any) -> None:
    """Tell this listener no more; nothing happens for one that does not listen."""
    if _listening.get(_LISTENER) is listener:
        del _listening[_LISTENER]


def _on_event(
    event: str,
    _arguments: object,
    kinds: Mapping[str, str] = _KINDS,
    listening: Mapping[str, Any] = _listening,
) -> None:
    # By arguments: events come when the interpreter ends, too, and this module's names are gone.
    kind = kinds.get(event)
    if kind is None or (listener := listening.get(_LISTENER)) is None:
        return
    with contextlib.suppress(Exception):  # Raising would forbid what the program is doing.
        listener.before_child() if kind is _CHILD else listener.before_thread()


def _raise_event_of_threads() -> None:
    """Have threads start through here: Python 3.11 raises no audit event for them."""
    names = vars(threading)
    start = names["_start_new_thread"]

    def start_new_thread(*arguments: object) -> object:
        _on_event("_thread.start_new_thread", arguments)
        return start(*arguments)

    names["_start_new_thread"] = start_new_thread


class LostErrors:
    """Sees a MemoryError that ends a thread, or the program, on its way to the hooks set before.

    The frames of its traceback are cleared then: they keep alive what did not fit.
    """

    def __init__(self, note: Callable[[], object]) -> None:
        self._note = note
        self._program, self._thread = sys.excepthook, threading.excepthook

    def install(self) -> None:
        """Come before the hooks that are there."""
        self._program, self._thread = sys.excepthook, threading.excepthook
        sys.excepthook, threading.excepthook = self._on_program, self._on_thread

    def remove(self) -> None:
        """Put the hooks back, where ours still are the ones; else ours only pass on."""
        if sys.excepthook == self._on_program:
            sys.excepthook = self._program
        if threading.excepthook == self._on_thread:
            threading.excepthook = self._thread

    def _on_program(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        self._pass_on(kind, trace, lambda: self._program(kind, error, trace))

    def _on_thread(self, lost: threading.ExceptHookArgs) -> None:
        self._pass_on(lost.exc_type, lost.exc_traceback, lambda: self._thread(lost))

    def _pass_on(
        self, kind: type[BaseException], trace: TracebackType | None, tell: Callable[[], object]
    ) -> None:
        # A refused admission was never asked of the kernel.
        if not issubclass(kind, MemoryError) or issubclass(kind, OverBudgetError):
            tell()
            return
        self._note()
        tell()
        while trace is not None:
            with contextlib.suppress(RuntimeError):  # It is running.
                trace.tb_frame.clear()
            trace = trace.tb_next
