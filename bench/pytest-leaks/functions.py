"""Nine functions that leak 24 B to 1 KB a call, and ten that do not, made anew for each run.

Each maker returns a function to call again and again.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import functools
import json
import re
import sys
import weakref
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Node:
    """Something that others refer to."""

    def __init__(self, number: int) -> None:
        self.number, self.text = number, f"node {number}"


def list_of_floats() -> Callable[[], object]:
    """24 B a call, and the list's 8."""
    kept: list[float] = []

    def call() -> None:
        kept.append(len(kept) + 0.5)

    return call


def dict_by_request() -> Callable[[], object]:
    """A record under a key that never comes again."""
    sessions: dict[str, dict[str, int]] = {}

    def call() -> None:
        number = len(sessions)
        sessions[f"session-{number}"] = {"user": number, "seen": number * 2}

    return call


def unbounded_cache() -> Callable[[], object]:
    """functools.cache asked for what was never asked for."""
    count = 0

    @functools.cache
    def slow(number: int) -> str:
        return f"answer {number}" * 5

    def call() -> str:
        nonlocal count
        count += 1
        return slow(count)

    return call


def listeners() -> Callable[[], object]:
    """A closure registered at each call and never taken back."""
    registered: list[Callable[[], object]] = []

    def call() -> None:
        node = Node(len(registered))
        registered.append(lambda: node.number)

    return call


def exceptions_kept() -> Callable[[], object]:
    """Errors kept for a report, with the frames their tracebacks hold."""
    errors: list[Exception] = []

    def fail(number: int) -> None:
        text = "x" * 200 + str(number)
        raise ValueError(text)

    def call() -> None:
        try:
            fail(len(errors))
        except ValueError as error:
            errors.append(error)

    return call


def every_fiftieth() -> Callable[[], object]:
    """600 B at every 50th call: a retry that forgets to clean up."""
    kept: list[bytes] = []
    count = 0

    def call() -> None:
        nonlocal count
        count += 1
        if count % 50 == 0:
            kept.append(bytes(560) + str(count).encode())

    return call


def kilobyte_buffers() -> Callable[[], object]:
    """1 KB a call, larger than Python's own allocator takes on."""
    history: deque[bytearray] = deque()

    def call() -> None:
        history.append(bytearray(1000))

    return call


def cycles_kept_alive() -> Callable[[], object]:
    """Cycles that a registry of finalizers keeps."""

    def call() -> None:
        parent, child = Node(1), Node(2)
        parent.child, child.parent = child, parent  # type: ignore[attr-defined]
        weakref.finalize(Node, str, parent)

    return call


def c_malloc() -> Callable[[], object]:
    """128 B that a C library takes from malloc and that nobody frees.

    By SQLite, so that tools which replace a library's link to malloc see it.
    """
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_malloc.restype = ctypes.c_void_p

    def call() -> None:
        library.sqlite3_malloc(128)

    return call


def pure() -> Callable[[], object]:
    """Nothing is kept."""

    def call() -> int:
        return sum(len(str(number)) for number in range(50))

    return call


def garbage_cycles() -> Callable[[], object]:
    """Cycles, left to the collector."""

    def call() -> None:
        parent, child = Node(1), Node(2)
        parent.child, child.parent = child, parent  # type: ignore[attr-defined]

    return call


def json_round() -> Callable[[], object]:
    """Parse and write."""
    text = json.dumps({"rows": [{"id": number, "name": f"n{number}"} for number in range(20)]})

    def call() -> str:
        return json.dumps(json.loads(text))

    return call


def lru_filling() -> Callable[[], object]:
    """A bounded lru_cache of 4096 that is far from full."""
    count = 0

    @functools.lru_cache(maxsize=4096)
    def slow(number: int) -> str:
        return f"answer {number}" * 5

    def call() -> str:
        nonlocal count
        count += 1
        return slow(count)

    return call


def cache_filling() -> Callable[[], object]:
    """A cache of the program's own, bounded at 3000, a new key at each call."""
    cache: OrderedDict[int, bytes] = OrderedDict()
    count = 0

    def call() -> None:
        nonlocal count
        count += 1
        cache[count] = bytes(100)
        if len(cache) > 3000:
            cache.popitem(last=False)

    return call


def cache_by_chance() -> Callable[[], object]:
    """A memo over 2000 keys that come at random: it fills ever more slowly."""
    memo: dict[int, str] = {}
    state = 12345

    def call() -> str:
        nonlocal state
        state = (state * 1103515245 + 12345) % (1 << 31)
        key = (state >> 8) % 2000
        return memo.setdefault(key, f"value {key}" * 3)

    return call


def interned() -> Callable[[], object]:
    """Names interned, the same 300 again and again."""
    count = 0

    def call() -> str:
        nonlocal count
        count = (count + 1) % 300
        return sys.intern(f"field_{count}")

    return call


def recompiled() -> Callable[[], object]:
    """Patterns made from text: re keeps 512 of them and then lets go."""
    count = 0

    def call() -> Any:
        nonlocal count
        count += 1
        return re.compile(f"a{count % 700}b+").match("ab")

    return call


def pool() -> Callable[[], object]:
    """A pool of buffers that grows to 64 and stays."""
    free: list[bytearray] = []
    made = 0

    def call() -> None:
        nonlocal made
        if made < 64:
            made += 1
            free.append(bytearray(4096))
        free.append(free.pop())

    return call


def rolling_window() -> Callable[[], object]:
    """The last thousand measurements."""
    window: deque[float] = deque(maxlen=1000)
    count = 0

    def call() -> float:
        nonlocal count
        count += 1
        window.append(count * 0.5)
        return window[-1]

    return call


LEAKY: dict[str, Callable[[], Callable[[], object]]] = {
    one.__name__: one
    for one in (
        list_of_floats,
        dict_by_request,
        unbounded_cache,
        listeners,
        exceptions_kept,
        every_fiftieth,
        kilobyte_buffers,
        cycles_kept_alive,
        c_malloc,
    )
}

HEALTHY: dict[str, Callable[[], Callable[[], object]]] = {
    one.__name__: one
    for one in (
        pure,
        garbage_cycles,
        json_round,
        lru_filling,
        cache_filling,
        cache_by_chance,
        interned,
        recompiled,
        pool,
        rolling_window,
    )
}
