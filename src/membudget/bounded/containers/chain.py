"""Values by key in an order that can be changed: what the bounded dict and set are built on.

Not an OrderedDict: a key whose `__eq__` raises, or comes back to it, makes CPython's crash. Here
the index only finds; what is held, counted and in which order is said by the links alone, and these
change without a call that anything could come between. What a key that fails has left in the index
is passed over, and cleared away in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from membudget.bounded.containers.index import SPLIT_AT, Index

if TYPE_CHECKING:
    from collections.abc import Iterator

K = TypeVar("K")
V = TypeVar("V")

LINK_BYTES = 114
"""Bytes that a link costs beside its key and value, with its place in the index. Measured with
tracemalloc, 1,000 to 100,000 links: 106 to 118."""

_SPARE = 64
_TIDY_EVERY = 16


class Link(Generic[K, V]):
    """A key, its value and weight, and its neighbours; without any where it is not held."""

    __slots__ = ("after", "before", "key", "value", "weight")

    after: Link[K, V] | None
    before: Link[K, V] | None

    def __init__(self, key: K, value: V, weight: int) -> None:
        self.key = key
        self.value = value
        self.weight = weight
        self.after = self.before = None


class Chain(Generic[K, V]):
    """Links from the oldest to the newest, found by key. Not for several threads at once.

    Attributes:
        bytes: What all links weigh.
        count: How many there are.
        root: Stands before the oldest and after the newest.
    """

    __slots__ = ("_taken", "bytes", "count", "index", "root")

    def __init__(self) -> None:
        self.bytes = self.count = 0
        self.index: Index[K, Link[K, V]] = Index()
        self._taken = 0
        root: Any = Link(None, None, 0)
        root.before = root.after = root
        self.root: Any = root

    def __iter__(self) -> Iterator[Link[K, V]]:
        root = self.root
        link = root.after
        while link is not None and link is not root:
            yield link
            link = link.after

    def links(self) -> list[Link[K, V]]:
        """All links now. Half the time of going through them one by one."""
        found: list[Link[K, V]] = []
        root = self.root
        link = root.after
        while link is not root and link is not None:
            found.append(link)
            link = link.after
        return found

    def __del__(self) -> None:
        self.free()
        self.root.before = self.root.after = None

    def get(self, key: Any) -> Link[K, V] | None:
        """The link of a key, if it is held."""
        index = self.index
        parts = index.parts
        link = (parts[0] if len(parts) == 1 else index.part(key)).get(key)
        return None if link is None or link.after is None else link

    def put(self, key: K, value: V, weight: int) -> tuple[V] | None:
        """Hold a value as the newest; returns the one it replaces, in a tuple."""
        fresh: Link[K, V] = Link(key, value, weight)
        index = self.index
        parts = index.parts
        part, is_one = parts[0], len(parts) == 1
        link: Any = part.setdefault(key, fresh) if is_one and len(part) < SPLIT_AT else None
        if link is None or index.parts[0] is not part:  # As `file`, in half the time.
            link = index.file(key, fresh)
        root = self.root
        replaced = None
        if link.after is not None:
            replaced = (link.value,)
            self.count -= 1
            self.bytes -= link.weight
            link.before.after, link.after.before = link.after, link.before
        link.value, link.weight = value, weight
        self.count += 1
        self.bytes += weight
        last = root.before
        link.before, link.after = last, root
        last.after = root.before = link
        return replaced

    def renew(self, link: Any) -> None:
        """Make a link the newest."""
        if link.after is not None:
            root = self.root
            link.before.after, link.after.before = link.after, link.before
            last = root.before
            link.before, link.after = last, root
            last.after = root.before = link

    def age(self, link: Any) -> None:
        """Make a link the oldest."""
        if link.after is not None:
            root = self.root
            link.before.after, link.after.before = link.after, link.before
            first = root.after
            link.before, link.after = root, first
            first.before = root.after = link

    def take(self, key: Any) -> Link[K, V] | None:
        """Take out the link of a key; None where it is not held."""
        link = self.index.get(key)
        if link is None or not self._unlink(link):
            return None
        # After it, and not before: what is out but found is passed over, what is in but not found
        # would be there twice.
        self._unfind(link)
        return link

    def take_end(self, *, newest: bool = False) -> Link[K, V] | None:
        """Take out the oldest link, or the newest; None where there is none.

        Raises:
            Exception: What the key's `__eq__` raised; the link is out all the same.
        """
        root = self.root
        link = root.before if newest else root.after
        if link is root:
            return None
        self._unlink(link)
        self._unfind(link)
        return link  # type: ignore[no-any-return]

    def free(self) -> None:
        """Let go of everything, a link at a time, without leaving circles for the collector."""
        root = self.root
        first = root.after
        self.bytes = self.count = 0
        root.before = root.after = root
        self.index.clear()
        while first is not None and first is not root:
            link, first = first, first.after
            link.before = link.after = None

    def mend(self) -> None:
        """Count anew."""
        held = list(self)
        self.bytes, self.count = sum([link.weight for link in held]), len(held)

    def _unfind(self, link: Link[K, V]) -> None:
        """Take a link that is out of the chain out of the index."""
        index, key = self.index, link.key
        parts = index.parts
        part = parts[0] if len(parts) == 1 else index.part(key)
        if part.get(key) is link and link.after is None:  # Else it was put in again by a key.
            part.pop(key, None)
        self._taken = taken = self._taken + 1
        if not taken % _TIDY_EVERY:
            index.tidy()
            if len(index) > 2 * self.count + _SPARE:  # Keys that cannot be found any more.
                index.keep([(one.key, one) for one in self])

    def _unlink(self, link: Any) -> bool:
        if link.after is None:
            return False
        self.count -= 1
        self.bytes -= link.weight
        link.before.after, link.after.before = link.after, link.before
        link.before = link.after = None
        return True
