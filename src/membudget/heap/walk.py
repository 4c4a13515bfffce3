"""The walk from roots to all that can be reached, in slices.

Breadth first, so that the first path found is a short one; once more than `WIDE` objects wait, the
newest are taken first until fewer do, so that what the walk itself keeps alive stays bounded:
those, and the objects on the way to them. `gc.get_objects` is never called: it holds the GIL for
48 ms a million objects, and knows neither frozen objects nor untracked dicts.
"""

from __future__ import annotations

import time
from collections import deque
from gc import get_referents
from typing import TYPE_CHECKING, Any

from membudget.heap.caches import WRAPPER, entries_of, is_heavy
from membudget.heap.cursor import CHUNK, Cursor
from membudget.heap.visited import APART, BYTES, Visited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from membudget.heap.kinds import Kind, Kinds

    Node = tuple[Any, Any, int]
    """An object on the way, its own node, and how far from the root; a root's is its name."""

WIDE = 16_384
"""Objects waiting before the walk goes deep."""

DEEPEST = 64
"""Steps of a path that are kept: of a longer one, those in the middle are left out."""

WORTH = 16
"""Items from which on a container is met."""

MOST = 20_000_000
"""Objects after which only the first chunk of each large container is read."""


class Walk:
    """A walk through the heap. One thread at a time, by `step`.

    An object is seen once. Ours are passed over, and so is what cannot refer to anything. Beyond
    `most` objects, large containers are sampled by their first 1024 items.

    Args:
        roots: Pairs of a name and an object; read lazily.
        kinds: What is known of types; counts objects.
        meet: Called with an object, its kind and the node of what refers to it: for containers
            that can grow, from 16 items on, for special types, and where a count is noticed.
        passed: Objects that are not entered, by their ids.
        most: Objects before large containers are sampled.
        now: Monotonic seconds.

    Attributes:
        objects: Seen so far.
        unread: Items of large containers that were left out.
    """

    def __init__(
        self,
        roots: Iterable[tuple[str, Any]],
        kinds: Kinds,
        meet: Callable[[Any, Kind, Node], None],
        *,
        passed: Iterable[int] = (),
        most: int = MOST,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.objects = self.unread = 0
        self._roots = iter(roots)
        self._has_roots = True
        self._kinds = kinds
        self._meet = meet
        self._most = most
        self._now = now
        self._seen = Visited()
        self._frontier: deque[tuple[Any, Node]] = deque()
        self._waiting = 0
        for address in (*passed, id(self._frontier), id(self._seen.pages), id(kinds.known)):
            self._seen.add(address)

    @property
    def held_bytes(self) -> int:
        """What the walk takes itself, in bytes: the bits of what it saw, and what waits."""
        return self._seen.held_bytes() + 8 * self._waiting + 200 * len(self._frontier)

    def step(self, until: float) -> bool:
        """Walk until a time has come (monotonic seconds); whether all was seen.

        Cost: 0.3 µs a reference; no more than 0.5 ms beyond `until`.
        """
        now = self._now
        while self._has_roots or self._frontier:
            if self._has_roots:
                self._take_root()
            else:
                self._advance()
            if now() >= until:
                return False
        return True

    def _take_root(self) -> None:
        root = next(self._roots, None)
        if root is None:
            self._has_roots = False
        else:
            name, obj = root
            self._look((obj,), name, None, 0)

    def _advance(self) -> None:
        frontier = self._frontier
        is_wide = self._waiting < WIDE
        children, (parent, above, depth) = frontier[0] if is_wide else frontier[-1]
        if type(children) is Cursor:
            entry = frontier.popleft() if is_wide else frontier.pop()
            self._read_on(children, entry)
            return
        obj = children.pop()
        self._waiting -= 1
        if not children:
            if is_wide:
                frontier.popleft()
            else:
                frontier.pop()
        kind = self._kinds.of(type(obj))
        node = (parent, above, depth)
        if kind.special and type(obj) is WRAPPER and is_heavy(obj):
            self.unread += entries_of(obj)
        elif kind.length is not None and kind.length(obj) > CHUNK and kind.builtin is not None:
            frontier.append((Cursor(obj, kind.builtin), (obj, node, depth + 1)))
        elif depth < DEEPEST:
            self._look(get_referents(obj), obj, node, depth + 1)
        else:
            self._look(get_referents(obj), parent, above, depth)

    def _read_on(self, cursor: Cursor, entry: tuple[Any, Node]) -> None:
        items = cursor.read()
        if items is None:
            self.unread += cursor.unread
            return
        if self.objects < self._most:
            self._frontier.append(entry)
        else:
            self.unread += CHUNK
        parent, above, depth = entry[1]
        self._look(items, parent, above, depth)

    def _look(self, found: Iterable[Any], parent: Any, above: Any, depth: int) -> None:
        """Count what was not seen before, and keep what is to be entered."""
        known, pages = self._kinds.known, self._seen.pages
        fresh = []
        for obj in found:
            kind = known.get(id(type(obj))) or self._kinds.of(type(obj))
            if kind.leaf:
                continue
            # Visited.add, written out: a call would take half of the walk's time.
            place = id(obj) >> APART
            page = pages.get(place >> 16)
            if page is None:
                page = pages[place >> 16] = bytearray(BYTES)
            index, bit = (place & 0xFFFF) >> 3, 1 << (place & 7)
            if page[index] & bit:
                continue
            page[index] |= bit
            kind.count += 1
            fresh.append(obj)
            if (
                (kind.grows and kind.length(obj) >= WORTH)  # type: ignore[misc]  # what grows has a length
                or kind.special
                or kind.count == kind.notice
            ):
                self._meet(obj, kind, (parent, above, depth))
        if fresh:
            self.objects += len(fresh)
            self._waiting += len(fresh)
            self._frontier.append((fresh, (parent, above, depth)))


def path_to(obj: Any, node: Node | None) -> list[Any]:
    """The objects from a root to this one; the first is the root's name. Cost: below 10 µs."""
    path = [obj]
    while node is not None:
        path.append(node[0])
        node = node[1]
    path.reverse()
    return path


def reachable(roots: Mapping[str, Any], kinds: Kinds) -> int:
    """How many objects these roots reach, walked in one go: for tests and small heaps."""
    walk = Walk(roots.items(), kinds, lambda _obj, _kind, _node: None)
    walk.step(float("inf"))
    return walk.objects
