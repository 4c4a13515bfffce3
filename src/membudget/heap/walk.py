"""The walk from roots to all that can be reached, in slices.

Breadth first, so that the first path found is a short one; once more than `WIDE` objects wait, the
newest are taken first, so that what the walk keeps alive stays bounded. `gc.get_objects` is never
called: it holds the GIL for 48 ms a million objects, and knows neither frozen objects nor untracked
dicts.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from gc import get_referents
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any

from membudget.heap import raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

CHUNK = 1024
"""Items read at a time: well below a millisecond, objects out of the processor's cache included."""

_FURTHEST = 200_000
"""Items that are skipped again after a change: 2 ms. What lies behind them is left out."""

_PARTS: dict[type, tuple[Callable[[Any], Any], ...]] = {
    dict: (dict.values, dict.keys),
    **{one: (one.__iter__,) for one in (set, frozenset, deque)},
}


class Cursor:
    """The items of a large container, a chunk at a time. One thread; keeps the container alive.

    `gc.get_referents` on a list of four million holds the GIL for tens of milliseconds and makes a
    list as long again. Lists and tuples are read by index. The others have no index: their iterator
    is kept, and where the container was changed in between, a new one skips what was read.
    """

    __slots__ = ("_builtin", "_done", "_items", "_of", "_part", "unread")

    def __init__(self, container: Any, builtin: type) -> None:
        self._of = container
        self._builtin = builtin
        self._done = self._part = 0
        self._items: Iterator[Any] | None = None
        self.unread: int = 0  # Items left out, since the container kept changing.

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
        return max(0, raw.LENGTHS[self._builtin](self._of) - self._done)

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


DEEPEST = 64  # Steps of a path that are kept: of a longer one, those in the middle are left out
NOWHERE = -1


class Paths:
    """Places, each an object, the place that led to it, and how many still need it.

    Keeps the objects on the way to what waits alive, and no others. In flat lists: tuples or
    objects would count as allocations for the collector of cycles, and some hundred thousand of
    them bring on a full collection, 250 ms a million objects.
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


_KINDS = 4096
"""Types kept at a time: a program that makes a class for each request leaves dead ones behind."""

SPECIAL = frozenset({"functools._lru_cache_wrapper", "_asyncio.Task", "asyncio.tasks.Task"})
"""Types whose every object is met."""


class Kind:
    """One type, kept alive: how its objects are taken, and how many were seen."""

    def __init__(self, kind: type, before: Mapping[str, int]) -> None:
        self.type = kind
        # Whether its objects are neither counted nor entered.
        self.leaf: bool = not raw.refers(kind) or raw.is_ours(kind)
        self.builtin: type | None = None if self.leaf else raw.container_of(kind)
        self.length: Callable[[object], int] | None = None
        if self.builtin is not None:
            # The built-in len() is quicker, and safe where nothing overrides it.
            self.length = len if kind is self.builtin else raw.LENGTHS[self.builtin]  # type: ignore[assignment]
        self.is_module: bool = issubclass(kind, ModuleType)
        self.grows: bool = self.builtin not in (None, tuple, frozenset)
        self.name: str = "" if self.leaf else raw.type_name(kind)
        self.special: bool = self.name in SPECIAL
        self.count = 0
        # The count at which one is met, to be shown as an example; 0 for never.
        self.notice: int = before[self.name] + 1 if self.name in before else 0


class Kinds:
    """The types met so far. One thread at a time; keeps at most 4096 of them alive."""

    def __init__(self, before: Mapping[str, int]) -> None:
        self.known: dict[int, Kind] = {}  # By the type's id.
        self.leaves: set[int] = set()  # The ids of those among them that are passed over.
        self._before = before  # Counts by name of an earlier census.
        self._counted: dict[str, int] = {}

    def of(self, kind: type) -> Kind:
        """What is known of a type; by its id, since a metaclass may define `__hash__`."""
        one = self.known.get(id(kind))
        if one is None:
            if len(self.known) >= _KINDS:
                self.counts()
            one = self.known[id(kind)] = Kind(kind, self._before)
            if one.leaf:
                self.leaves.add(id(kind))
        return one

    def counts(self) -> dict[str, int]:
        """Objects seen, by the name of their type; the types are let go of."""
        for one in self.known.values():
            if one.count:
                self._counted[one.name] = self._counted.get(one.name, 0) + one.count
        self.known.clear()
        self.leaves.clear()
        return self._counted


_APART = 4 if sys.maxsize > 2**32 else 3
"""Binary digits by which the addresses of two objects differ at least."""

_PAGE = 1 << 13  # Bytes of bits kept for one page of the address space
WIDE = 16_384  # Objects waiting before the walk goes deep
WORTH = 16  # Items from which on a container is met
MOST = 20_000_000  # Objects after which only the first chunk of each large container is read


class Several(list[Any]):
    """Objects that are roots by one name, some hundred at most: they are looked at in one go."""


class Walk:
    """A walk through the heap, by `go_on`. One thread at a time.

    An object is seen once. Ours are passed over, and so is what cannot refer to anything. Beyond
    `most` objects, large containers are sampled by their first 1024 items. What was seen is a bit
    for each 16 bytes of the address space in use: a set of a million ids takes 65 MB, the bits
    take 1/128 of what the objects take.

    Roots are pairs of a name and an object, or `Several` of them, read lazily; `late` ones when all
    else was seen. What is `passed`, by its id, is not entered.
    """

    def __init__(
        self,
        roots: Iterable[tuple[str, Any]],
        kinds: Kinds,
        *,
        late: Iterable[tuple[str, Any]] = (),
        passed: Iterable[int] = (),
        most: int = MOST,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.objects: int = 0
        self.unread: int = 0
        self.paths: Paths = Paths()  # Leads from roots to what is met.
        self._roots, self._late = iter(roots), iter(late)
        self._has_roots = True
        self._kinds = kinds
        self._most = most
        self._now = now
        # Side by side, one after another: pairs would bring on collections, see `Paths`.
        self._waiting: deque[Any] = deque()
        self._places: deque[int] = deque()
        self._met: deque[Any] = deque()
        self._pages: dict[int, bytearray] = {}
        own = (self._waiting, self._places, self._met, self._pages, kinds.known, kinds.leaves)
        for address in (*passed, *map(id, own), *self.paths.own()):
            at = address >> _APART
            self._pages.setdefault(at >> 16, bytearray(_PAGE))[(at & 0xFFFF) >> 3] |= 1 << (at & 7)

    @property
    def held_bytes(self) -> int:
        """What the walk takes itself, in bytes: the bits of what it saw, and what waits."""
        pages = len(self._pages) * (_PAGE + 150)
        return pages + self.paths.held_bytes() + 16 * len(self._waiting)

    def meet(self, obj: Any, kind: Kind, place: int, is_noticed: bool) -> None:  # noqa: FBT001  # as it waits
        """Called with what is worth a look, and the place in `paths` of what refers to it.

        A container that can grow, from 16 items on, each object of a special type, and one with
        which the count of its kind is to be noticed. For whoever walks to see to.
        """

    def go_on(self, until: float) -> bool:
        """Walk until a time has come, or 0.5 ms on; whether all was seen. 0.2 µs a reference."""
        now = self._now
        is_done = False
        while not is_done:
            if self._met:
                obj, kind, place, is_noticed = (self._met.popleft() for _ in range(4))
                self.meet(obj, kind, place, is_noticed)
                self.paths.drop(place)
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
            self._look(obj if type(obj) is Several else (obj,), name, NOWHERE)
        return root is not None

    def _advance(self) -> None:
        if len(self._waiting) < WIDE:
            obj, place = self._waiting.popleft(), self._places.popleft()
        else:
            obj, place = self._waiting.pop(), self._places.pop()
        which = type(obj)
        kind = self._kinds.known.get(id(which)) or self._kinds.of(which)
        if which is Cursor:
            self._read_on(obj, place)
        elif kind.length is not None and kind.length(obj) > CHUNK and kind.builtin is not None:
            self._wait(Cursor(obj, kind.builtin), self.paths.make(obj, place))
        elif which is raw.CACHE and raw.is_heavy(obj):
            self.unread += raw.cache_sizes(obj)[0]
        elif kind.is_module:
            # A C module may list what is none of the program's: in CPython 3.12 `_asyncio` lists
            # its free objects, and whoever takes a reference to one brings it back from the dead.
            self._look((raw.globals_of(obj),), obj, place)
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

    def _wait(self, cursor: Cursor, place: int) -> None:
        self._waiting.append(cursor)
        self._places.append(place)
        self.paths.uses[place] += 1

    def _read_on(self, cursor: Cursor, place: int) -> None:
        items = cursor.read()
        if items is None:
            self.unread += cursor.unread
            return
        if self.objects + len(items) < self._most:
            self._wait(cursor, place)
        else:
            self.unread += cursor.left()
        self._look(items, None, place)

    def _look(self, found: Iterable[Any], holder: Any, place: int) -> None:
        """Count what was not seen before, and let it wait to be entered.

        The place is that of what led to the holder; with no holder, it is the holder's own.
        """
        leaves, known, pages = self._kinds.leaves, self._kinds.known, self._pages
        inner, fresh = NOWHERE if holder is not None else place, 0
        for obj in found:
            which = id(type(obj))
            if which in leaves:
                continue
            kind = known.get(which) or self._kinds.of(type(obj))
            if kind.leaf:
                continue
            # Written out: a call would take half of the walk's time.
            address = id(obj) >> _APART
            page = pages.get(address >> 16)
            if page is None:
                page = pages[address >> 16] = bytearray(_PAGE)
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
