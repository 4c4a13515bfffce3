"""The walk from roots to all that can be reached, in slices.

Breadth first, so that the first path found is a short one; once more than `WIDE` objects wait, the
newest are taken first until fewer do, so that what the walk itself keeps alive stays bounded:
those, and the objects on the way to them. `gc.get_objects` is never called: it holds the GIL for
48 ms a million objects, and knows neither frozen objects nor untracked dicts.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from gc import get_referents
from itertools import islice
from typing import TYPE_CHECKING, Any

from membudget.heap.raw import CACHE, LENGTHS, cache_sizes, globals_of, is_heavy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from membudget.heap.raw import Kind, Kinds

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
    """The items of a large container, a chunk at a time. One thread; keeps the container alive.

    `gc.get_referents` on a list of four million holds the GIL for tens of milliseconds and makes a
    list as long again. Lists and tuples are read by index. The others have no index: their iterator
    is kept, and where the container was changed in between, a new one skips what was read.

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


DEEPEST = 64
"""Steps of a path that are kept: of a longer one, those in the middle are left out."""

NOWHERE = -1


class Paths:
    """Places, each an object, the place that led to it, and how many still need it.

    One thread at a time. Keeps the objects on the way to what waits alive, and no others. In flat
    lists: tuples or objects would count as allocations for the collector of cycles, and some
    hundred thousand of them bring on a full collection, 250 ms a million objects.
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


APART = 4 if sys.maxsize > 2**32 else 3
"""Binary digits by which the addresses of two objects differ at least."""

_PAGE = 16
BYTES = 1 << (_PAGE - 3)
"""Bytes of bits kept for one page of the address space."""


class Visited:
    """A set of addresses that can only grow: a bit each. One thread at a time.

    A set of a million ids takes 65 MB. Objects lie densely in the allocator's arenas and never
    closer than 16 bytes, so the bits take 1/128 of what they take: 8 KiB for each MiB in use.

    Attributes:
        pages: Bits by page of the address space, for a loop that cannot afford a call.
    """

    __slots__ = ("pages",)

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}

    def add(self, address: int) -> bool:
        """Take an address in; whether it was new. Cost: 0.2 µs."""
        place = address >> APART
        page = self.pages.get(place >> _PAGE)
        if page is None:
            page = self.pages[place >> _PAGE] = bytearray(BYTES)
        index, bit = (place & 0xFFFF) >> 3, 1 << (place & 7)
        if page[index] & bit:
            return False
        page[index] |= bit
        return True

    def held_bytes(self) -> int:
        """The memory it takes itself, in bytes."""
        return len(self.pages) * (BYTES + 150)


WIDE = 16_384
"""Objects waiting before the walk goes deep."""

WORTH = 16
"""Items from which on a container is met."""

MOST = 20_000_000
"""Objects after which only the first chunk of each large container is read."""


class Several:
    """Objects that are roots by one name, such as some of a cache's values.

    Attributes:
        objects: They; some hundred at most, since they are looked at in one go.
    """

    __slots__ = ("objects",)

    def __init__(self, objects: list[Any]) -> None:
        self.objects = objects


class Walk:
    """A walk through the heap. One thread at a time, by `step`.

    An object is seen once. Ours are passed over, and so is what cannot refer to anything. Beyond
    `most` objects, large containers are sampled by their first 1024 items.

    Args:
        roots: Pairs of a name and an object, or `Several` of them; read lazily.
        kinds: What is known of types; counts objects.
        meet: Called with an object, its kind, the place of what refers to it in `paths` and
            whether the count of its kind is to be noticed: for containers that can grow, from 16
            items on, for special types, and where a count is noticed.
        late: Roots for what the others do not lead to: taken when all else was seen.
        passed: Objects that are not entered, by their ids.
        most: Objects before large containers are sampled.
        now: Monotonic seconds.

    Attributes:
        objects: Seen so far.
        unread: Items of large containers that were left out.
        paths: The ways to what waits.
    """

    def __init__(
        self,
        roots: Iterable[tuple[str, Any]],
        kinds: Kinds,
        meet: Callable[[Any, Kind, int, bool], None],
        *,
        late: Iterable[tuple[str, Any]] = (),
        passed: Iterable[int] = (),
        most: int = MOST,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.objects = self.unread = 0
        self._roots = iter(roots)
        self._late = iter(late)
        self._has_roots = True
        self._kinds = kinds
        self._meet = meet
        self._most = most
        self._now = now
        self._seen = Visited()
        self.paths = Paths()
        self._waiting: deque[Any] = deque()
        self._places: deque[int] = deque()
        self._met: deque[Any] = deque()
        own = (self._waiting, self._places, self._met, self._seen.pages, kinds.known, kinds.leaves)
        for address in (*passed, *map(id, own), *self.paths.own()):
            self._seen.add(address)

    @property
    def held_bytes(self) -> int:
        """What the walk takes itself, in bytes: the bits of what it saw, and what waits."""
        return self._seen.held_bytes() + self.paths.held_bytes() + 16 * len(self._waiting)

    def step(self, until: float) -> bool:
        """Walk until a time has come (monotonic seconds); whether all was seen.

        Cost: 0.2 µs a reference; no more than 0.5 ms beyond `until`.
        """
        now = self._now
        is_done = False
        while not is_done:
            if self._met:
                self._meet_next()
            elif self._has_roots:
                self._has_roots = self._take_root(self._roots)
            elif self._waiting:
                self._advance()
            else:
                is_done = not self._take_root(self._late)
            if now() >= until:
                break
        return is_done

    def _take_root(self, roots: Iterator[tuple[str, Any]]) -> bool:
        """Take the next root; whether there was one."""
        root = next(roots, None)
        if root is not None:
            name, obj = root
            self._look(obj.objects if type(obj) is Several else (obj,), name, NOWHERE)
        return root is not None

    def _meet_next(self) -> None:
        obj, kind, place, is_noticed = (self._met.popleft() for _ in range(4))
        self._meet(obj, kind, place, is_noticed)
        self.paths.drop(place)

    def _advance(self) -> None:
        if len(self._waiting) < WIDE:
            obj, place = self._waiting.popleft(), self._places.popleft()
        else:
            obj, place = self._waiting.pop(), self._places.pop()
        which = type(obj)
        if which is Cursor:
            self._read_on(obj, place)
            return
        kind = self._kinds.known.get(id(which)) or self._kinds.of(which)
        if kind.length is not None and kind.length(obj) > CHUNK and kind.builtin is not None:
            inner = self.paths.make(obj, place)
            self._wait(Cursor(obj, kind.builtin), inner)
        elif which is CACHE and is_heavy(obj):
            self.unread += cache_sizes(obj)[0]
        elif kind.is_module:
            # A C module may list what is none of the program's: in CPython 3.12 `_asyncio` lists
            # its free objects, and whoever takes a reference to one brings it back from the dead.
            self._look((globals_of(obj),), obj, place)
        else:
            found = get_referents(obj)
            if len(found) > CHUNK:
                # C code may hold as much as a container, as a tree of XML does; but the list is
                # ours, and would keep alive what the program lets go of.
                self.unread += max(0, len(found) - WIDE)
                del found[WIDE:]
                self._wait(Cursor(found, list), self.paths.make(obj, place))
            else:
                self._look(found, obj, place)
        self.paths.drop(place)

    def _wait(self, obj: Any, place: int) -> None:
        self._waiting.append(obj)
        self._places.append(place)
        self.paths.uses[place] += 1

    def _read_on(self, cursor: Cursor, place: int) -> None:
        items = cursor.read()
        if items is None:
            self.unread += cursor.unread
        else:
            if self.objects + len(items) < self._most:
                self._wait(cursor, place)
            else:
                self.unread += cursor.left()
            self._look(items, None, place)
        self.paths.drop(place)

    def _look(self, found: Iterable[Any], holder: Any, place: int) -> None:
        """Count what was not seen before, and let it wait to be entered.

        Args:
            found: What was found in the holder.
            holder: None where the place is the holder's own.
            place: The place of what led to the holder.
        """
        leaves, known, pages = self._kinds.leaves, self._kinds.known, self._seen.pages
        inner, fresh = NOWHERE if holder is not None else place, 0
        for obj in found:
            which = id(type(obj))
            if which in leaves:
                continue
            kind = known.get(which) or self._kinds.of(type(obj))
            if kind.leaf:
                continue
            # Visited.add, written out: a call would take half of the walk's time.
            address = id(obj) >> APART
            page = pages.get(address >> 16)
            if page is None:
                page = pages[address >> 16] = bytearray(BYTES)
            index, bit = (address & 0xFFFF) >> 3, 1 << (address & 7)
            if page[index] & bit:
                continue
            page[index] |= bit
            kind.count += 1
            if inner == NOWHERE:
                inner = self.paths.make(holder, place)
            fresh += 1
            self._waiting.append(obj)
            self._places.append(inner)
            if (
                (kind.grows and kind.length(obj) >= WORTH)  # type: ignore[misc]  # what grows has a length
                or kind.special
                or kind.count == kind.notice
            ):
                # Later, one at a time: naming what holds it takes longer than counting it.
                self._met += (obj, kind, inner, kind.count == kind.notice)
                self.paths.uses[inner] += 1
        if fresh:
            self.objects += fresh
            self.paths.uses[inner] += fresh
