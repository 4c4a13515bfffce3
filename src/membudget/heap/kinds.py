"""What a walk needs to know of each type it meets, looked up once."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from membudget.heap.raw import LENGTHS, container_of, is_ours, refers, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MOST = 4096
"""Types kept at a time: a program that makes a class for each request leaves dead ones behind."""

_FIXED = (tuple, frozenset)
"""Containers that never grow."""

SPECIAL = frozenset({"functools._lru_cache_wrapper", "_asyncio.Task", "asyncio.tasks.Task"})
"""Types whose every object is met."""


class Kind:
    """One type: whether it is passed over, how its items are counted, how many were seen.

    Attributes:
        leaf: Its objects are neither counted nor entered.
        builtin: The builtin container it derives from, or None.
        length: Counts the items of one, or None.
        is_module: Whether its objects are modules, of which only the namespace is entered.
        grows: Whether it is a container that can grow.
        special: Whether each object of it is met.
        notice: The count at which one is met, to be shown as an example; 0 for never.
    """

    __slots__ = (
        "builtin",
        "count",
        "grows",
        "is_module",
        "leaf",
        "length",
        "name",
        "notice",
        "special",
        "type",
    )

    def __init__(self, kind: type, before: Mapping[str, int]) -> None:
        self.type = kind
        self.leaf = not refers(kind) or is_ours(kind)
        self.builtin = None if self.leaf else container_of(kind)
        self.length: Callable[[object], int] | None = None
        if self.builtin is not None:
            # The built-in len() is quicker, and safe where nothing overrides it.
            self.length = len if kind is self.builtin else LENGTHS[self.builtin]  # type: ignore[assignment]
        self.is_module = issubclass(kind, ModuleType)
        self.grows = self.builtin is not None and self.builtin not in _FIXED
        self.name = "" if self.leaf else type_name(kind)
        self.special = self.name in SPECIAL
        self.count = 0
        self.notice = before[self.name] + 1 if self.name in before else 0


class Kinds:
    """The types met so far. One thread at a time; keeps at most 4096 of them alive.

    Args:
        before: Counts by name of an earlier census.

    Attributes:
        known: By the type's id.
        leaves: The ids of the types among them that are passed over.
    """

    def __init__(self, before: Mapping[str, int]) -> None:
        self.known: dict[int, Kind] = {}
        self.leaves: set[int] = set()
        self._before = before
        self._counted: dict[str, int] = {}

    def of(self, kind: type) -> Kind:
        """What is known of a type; by its id, since a metaclass may define `__hash__`."""
        one = self.known.get(id(kind))
        if one is None:
            if len(self.known) >= _MOST:
                self._settle()
            one = self.known[id(kind)] = Kind(kind, self._before)
            if one.leaf:
                self.leaves.add(id(kind))
        return one

    def counts(self) -> dict[str, int]:
        """Objects seen, by the name of their type."""
        self._settle()
        return self._counted

    def _settle(self) -> None:
        for one in self.known.values():
            if one.count:
                self._counted[one.name] = self._counted.get(one.name, 0) + one.count
        self.known.clear()
        self.leaves.clear()
