"""The items of a large container, a chunk at a time.

`gc.get_referents` on a list of four million holds the GIL for tens of milliseconds and makes a list
as long again. Lists and tuples are read by index. The others have no index: their iterator is kept,
and where the container was changed in between, a new one skips what was read.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from membudget.heap.raw import LENGTHS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 1024
"""Items read at a time: well below a millisecond, objects out of the processor's cache included."""

_FURTHEST = 200_000
"""Items that are skipped again after a change: 2 ms. What lies behind them is left out."""

_PARTS: dict[type, tuple[Callable[[Any], Any], ...]] = {
    dict: (dict.values, dict.keys),
    set: (set.__iter__,),
    frozenset: (frozenset.__iter__,),
    deque: (deque.__iter__,),
}


class Cursor:
    """A place in a container. One thread at a time; keeps the container alive.

    Attributes:
        unread: Items left out, since the container kept changing.
    """

    __slots__ = ("_builtin", "_done", "_items", "_of", "_part", "unread")

    def __init__(self, container: Any, builtin: type) -> None:
        self._of = container
        self._builtin = builtin
        self._done = self._part = 0
        self._items: Iterator[Any] | None = None
        self.unread = 0

    def read(self, chunk: int = CHUNK) -> list[Any] | None:
        """The next items, or None when all were read. Cost: 10 ns an item, and as much to skip."""
        if self._builtin in (list, tuple):
            part = self._builtin.__getitem__(self._of, slice(self._done, self._done + chunk))
            self._done += len(part)
            return list(part) or None
        parts = _PARTS[self._builtin]
        while self._part < len(parts):
            if items := self._next(parts[self._part], chunk):
                return items
            self._part, self._done, self._items = self._part + 1, 0, None
        return None

    def left(self) -> int:
        """The items not read yet; of a dict's keys and values, those of the part at hand."""
        return max(0, LENGTHS[self._builtin](self._of) - self._done)

    def _next(self, part: Callable[[Any], Any], chunk: int) -> list[Any]:
        for _ in range(3):  # A thread may change it while it is read, too.
            try:
                if self._items is None:
                    self._items = iter(part(self._of))
                    next(islice(self._items, self._done, self._done), None)
                items = list(islice(self._items, chunk))
            except RuntimeError:  # Changed since: begin anew, behind what was read.
                self._items = None
                if self._done > _FURTHEST:
                    break
            else:
                self._done += len(items)
                return items
        self.unread += self.left()
        return []
