"""The standard library's own caches, and only of those modules that the program has loaded.

Source of the list: what CPython's own test runner clears between two tests.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from membudget.core import Rung

if TYPE_CHECKING:
    from collections.abc import Callable


class StandardCaches:
    """Compiled patterns, source lines, split addresses and the like, as one reclaimer.

    Args:
        own: Reads the bytes of this process, to tell what came of it.
    """

    name = "standard library caches"
    rung = Rung.MODERATE

    def __init__(self, own: Callable[[], int]) -> None:
        self._own = own

    def reclaimable(self) -> int | None:
        """Not known: nobody counts their bytes."""
        return None

    def reclaim(self, target: int, until: float) -> int:  # noqa: ARG002  # they are small
        """Clear them all; returns what the process shrank by. Cost: about 1 ms."""
        before = self._own()
        for name, clear in _CLEARED.items():
            if (module := sys.modules.get(name)) is not None:
                clear(module)
        return max(0, before - self._own())


def _drop_source_lines(linecache: Any) -> None:
    """Drop lines that can be read again from their file; notebooks put cells there, too."""
    for path, entry in list(linecache.cache.items()):
        if len(entry) > 1 and entry[1] is not None:
            linecache.cache.pop(path, None)


def _clear_typing(typing: Any) -> None:
    for clear in list(typing._cleanups):  # noqa: SLF001  # there is no public way
        clear()


_CLEARED: dict[str, Callable[[Any], object]] = {
    "re": lambda module: module.purge(),
    "linecache": _drop_source_lines,
    "urllib.parse": lambda module: module.clear_cache(),
    "filecmp": lambda module: module.clear_cache(),
    "_strptime": lambda module: module._regex_cache.clear(),  # noqa: SLF001
    "typing": _clear_typing,
}
