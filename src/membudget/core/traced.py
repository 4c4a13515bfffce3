"""tracemalloc, shared by all of this library that trace: who ends last stops it, if it is ours.

tracemalloc tells neither who began it nor how often it was asked for. So an object made right after
it began is kept: once that has no trace, somebody else has begun it anew or cleared the traces, and
it is theirs to stop.
"""

from __future__ import annotations

import os
from typing import Any

from membudget.core.native import Lock

_lock, _lock_of = Lock(), os.getpid()
_mark: object | None = None
_count = 0


def begin() -> object | None:
    """Trace from here on, with one frame; for `end`. None where somebody else traces already.

    Any thread. Cost: an import at first, 3 ms.
    """
    global _mark, _count  # noqa: PLW0603  # as tracemalloc, there is one for the process
    import tracemalloc

    with _own_lock():
        if not tracemalloc.is_tracing():
            tracemalloc.start(1)
            _mark, _count = object(), 0
        elif not _is_ours():
            return None
        _count += 1
        return _mark


def end(begun: object | None) -> None:
    """Trace no more, unless somebody else does; a second call for the same is a mistake.

    Args:
        begun: What `begin` gave; None, or what is over by now, changes nothing.
    """
    global _mark, _count  # noqa: PLW0603  # likewise
    import tracemalloc

    with _own_lock():
        if begun is None or begun is not _mark:
            return
        _count -= 1
        if not _count:
            if _is_ours():
                tracemalloc.stop()
            _mark = None


def _is_ours() -> bool:
    import tracemalloc

    return _mark is not None and tracemalloc.get_object_traceback(_mark) is not None


def _own_lock() -> Any:
    """The lock; in a forked child a new one, for the old may be held by a thread that is gone."""
    global _lock, _lock_of
    if _lock_of != os.getpid():
        _lock, _lock_of = Lock(), os.getpid()
    return _lock
