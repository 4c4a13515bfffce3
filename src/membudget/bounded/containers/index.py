"""Where entries are found by key: one small dict, or many that never grow or shrink together.

A dict of many entries takes its room anew every now and then, with the old room still there: 20 to
40 MiB more for a moment at half a million entries. A budget that is nearly used up charges that to
whoever inserts, who then drops what he has. And a dict keeps its room when its entries go, until
some insert comes to its end. In parts, by hash, both stay below a hundredth of the whole.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from sys import getsizeof
from typing import Any, Generic, TypeVar

K = TypeVar("K")
E = TypeVar("E")

PARTS = 61

_PLACES = 4093
"""What hashes are divided by: a prime, so that the keys of a part still differ in the low bits that
its dict looks at."""

SPLIT_AT = 8192
"""Entries from which on there are parts: moving that many takes 1 to 2 ms, once."""

_ROOM = 1024
_ENTRY_ROOM = 240
"""Bytes of room, at all and for each entry, from which a part is made anew: twice what a dict has
when it has just grown."""


def _spans() -> list[tuple[int, int]]:
    """Which places each part has: the last part nearly twice as many as the first.

    Were all alike, numbers counted up would fill all of them at the same time, and all would double
    together. So they do so one by one, evenly over a doubling of the whole.
    """
    ends = [round(_PLACES * (2 ** (at / PARTS) - 1)) for at in range(PARTS + 1)]
    return list(pairwise(ends))


_SPANS = _spans()


def _new_parts() -> list[dict[Any, Any]]:
    parts: list[dict[Any, Any]] = []
    for first, end in _SPANS:
        parts += [{}] * (end - first)  # The same one for all these places.
    return parts


class Index(Generic[K, E]):
    """Entries by key, without an order. Not for several threads at once.

    Keys are foreign code that may come back here at any step: a step that another has overtaken is
    done again.

    Attributes:
        parts: The dict for each remainder of a hash; a single one for all, or `PARTS` of them,
            each several times. For those who look an entry up and are in a hurry.
    """

    __slots__ = ("_turn", "parts")

    def __init__(self) -> None:
        self.parts: list[dict[K, E]] = [{}]
        self._turn = 0

    def __len__(self) -> int:
        return sum(map(len, self.tables()))

    def tables(self) -> list[dict[K, E]]:
        """The dicts, each once."""
        parts = self.parts
        return [parts[0]] if len(parts) == 1 else [parts[first] for first, _ in _SPANS]

    def part(self, key: Any) -> dict[K, E]:
        """The dict in which a key is, if it is anywhere."""
        number = hash(key)
        parts = self.parts
        return parts[number % len(parts)]

    def get(self, key: Any) -> E | None:
        """The entry of a key."""
        parts = self.parts
        return (parts[0] if len(parts) == 1 else self.part(key)).get(key)

    def file(self, key: K, entry: E) -> E:
        """The entry of a key; where there is none, this one, which is then put there."""
        number = hash(key)
        while True:
            parts = self.parts
            if len(parts) == 1 and len(parts[0]) >= SPLIT_AT:
                parts = self._split()
            part = parts[number % len(parts)]
            found = part.setdefault(key, entry)
            if self.parts is parts and parts[number % len(parts)] is part:
                return found

    def put(self, key: K, entry: E) -> None:
        """Let a key find this entry, whatever it found before."""
        number = hash(key)
        while True:
            parts = self.parts
            if len(parts) == 1 and len(parts[0]) >= SPLIT_AT:
                parts = self._split()
            part = parts[number % len(parts)]
            part[key] = entry
            if self.parts is parts and parts[number % len(parts)] is part:
                return

    def pop(self, key: Any) -> E | None:
        """Take out the entry of a key; None where there is none."""
        number = hash(key)
        while True:
            parts = self.parts
            part = parts[number % len(parts)]
            found = part.pop(key, None)
            if self.parts is parts and parts[number % len(parts)] is part:
                return found

    def values(self) -> list[E]:
        """All entries now."""
        return [entry for part in self.tables() for entry in list(part.values())]

    def clear(self) -> list[dict[K, E]]:
        """Take all entries out, and return them."""
        old, self.parts = self.tables(), [{}]
        return old

    def keep(self, entries: list[tuple[K, E]]) -> None:
        """Find these, and nothing else."""
        parts: list[dict[K, E]] = [{}] if len(self.parts) == 1 else _new_parts()
        for key, entry in entries:
            parts[hash(key) % len(parts)][key] = entry
        self.parts = parts

    def tidy(self) -> None:
        """Look at one part, the next at each call: does it take far more room than it needs?"""
        parts = self.parts
        self._turn = turn = (self._turn + 1) % PARTS
        first, end = (0, 1) if len(parts) == 1 else _SPANS[turn]
        part = parts[first]
        if getsizeof(part) > _ROOM + _ENTRY_ROOM * len(part):
            with suppress(RuntimeError):  # A key came back here and changed it: another time.
                parts[first:end] = [part.copy()] * (end - first)

    def _split(self) -> list[dict[K, E]]:
        """Put the entries into parts, unless a key comes back here meanwhile; returns the parts."""
        whole = self.parts[0]
        parts: list[dict[K, E]] = _new_parts()
        entries = list(whole.items())
        for key, entry in entries:
            parts[hash(key) % _PLACES][key] = entry
        is_same = len(whole) == len(entries) and all(
            now is then for now, (_, then) in zip(list(whole.values()), entries, strict=False)
        )
        if is_same and self.parts[0] is whole:
            self.parts = parts
        return self.parts
