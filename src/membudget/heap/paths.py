"""The ways from the roots to what waits to be entered, in flat lists.

Tuples or objects would be simpler, and each would count as an allocation for the collector of
cycles: some hundred thousand of them bring on a full collection, which holds the GIL for 250 ms a
million objects. Lists of integers do not.
"""

from __future__ import annotations

from typing import Any

DEEPEST = 64
"""Steps of a path that are kept: of a longer one, those in the middle are left out."""

NOWHERE = -1


class Paths:
    """Places, each an object, the place that led to it, and how many still need it.

    One thread at a time. Keeps the objects on the way to what waits alive, and no others.
    """

    __slots__ = ("_depth", "_free", "_held", "_up", "uses")

    def __init__(self) -> None:
        self._held: list[Any] = []
        self._up: list[int] = []
        self._depth: list[int] = []
        self._free: list[int] = []
        self.uses: list[int] = []

    def make(self, held: Any, up: int) -> int:
        """A place that nothing needs yet; beyond 64 steps the one above stands for it."""
        depth = 0 if up == NOWHERE else self._depth[up] + 1
        if depth > DEEPEST:
            return up
        if up != NOWHERE:
            self.uses[up] += 1
        if self._free:
            place = self._free.pop()
            self._held[place], self._up[place], self._depth[place] = held, up, depth
        else:
            place = len(self._held)
            self._held.append(held)
            self._up.append(up)
            self._depth.append(depth)
            self.uses.append(0)
        return place

    def drop(self, place: int) -> None:
        """Say that one less needs a place; it and those above go where nothing else does."""
        uses = self.uses
        while place != NOWHERE:
            uses[place] -= 1
            if uses[place] > 0:
                return
            self._held[place] = None
            self._free.append(place)
            place = self._up[place]

    def path(self, obj: Any, place: int) -> list[Any]:
        """The objects from a root to this one; the first is the root's name."""
        path = [obj]
        while place != NOWHERE:
            path.append(self._held[place])
            place = self._up[place]
        path.reverse()
        return path

    def holder(self, place: int) -> Any:
        """What is at a place."""
        return self._held[place]

    def own(self) -> list[int]:
        """The ids of the lists themselves."""
        return [id(one) for one in (self._held, self._up, self._depth, self._free, self.uses)]

    def held_bytes(self) -> int:
        """The memory the lists take, in bytes."""
        return 8 * 5 * len(self._held)
