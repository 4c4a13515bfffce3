"""The walk through all that an object refers to, breadth first, and what it only borrows.

A reference count tells whether anybody outside refers to a part. It is asked only where the answer
is usually yes: for short strings, which are the names of fields and constants such as "buy", and
for the array behind a view. One owner of a string outside is let pass: it is as often the caller's
own list as it is a constant, and constants are soon shared by more.
"""

from __future__ import annotations

from sys import getrefcount, getsizeof
from typing import Any

from membudget.sizing.blocks import ATOMS, SINGLETONS, SMALL, allocated
from membudget.sizing.readers import BUILT_IN, reader_of

WORD = 64
"""A str of up to so many characters may be borrowed."""

ALONE = 5
"""References to a str with one owner within and one outside: those two, the list of siblings, the
loop's variable and the argument."""


def weigh_all(value: object, nodes: int) -> tuple[int, int] | None:
    """The bytes of everything and how many objects that is; None where it is more than `nodes`."""
    size = looked = 0
    seen: set[int] = set()
    borrowed: list[Any] = []
    readers = BUILT_IN.copy()
    level: list[Any] = [value]
    while level:
        looked += len(level)
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str and getrefcount(item) > ALONE and len(item) <= WORD:
                borrowed.append(item)
                continue
            mark = id(item)
            if mark in seen or mark in SINGLETONS:
                continue
            seen.add(mark)
            if kind in ATOMS:
                own = getsizeof(item)
                size += (own + 15) & ~15 if own <= SMALL else (own + 23) & ~15
                continue
            read = readers.get(kind)
            if read is None:
                read = readers[kind] = reader_of(kind)
            own, parts, count, lent = read(item, nodes)
            size += own
            if looked + len(below) + count > nodes:
                return None
            below += parts
            borrowed += lent
            del parts, lent  # The next count of references must not meet these.
        level = below  # Let go of the last level before references are counted.
        if borrowed and not level:
            words, level = returned(borrowed)
            size += words
    return size, looked


def returned(borrowed: list[Any]) -> tuple[int, list[Any]]:
    """Of the borrowed objects that nobody outside refers to: the bytes of words, and the others.

    The list is emptied.
    """
    times: dict[int, int] = {}
    for mark in map(id, borrowed):
        times[mark] = times.get(mark, 0) + 1
    unique = dict(zip(map(id, borrowed), borrowed, strict=True))
    borrowed.clear()
    words, others = 0, []
    for item in unique.values():
        # Each borrower refers to it once; then `unique`, `item` and the argument itself.
        outside = getrefcount(item) - times[id(item)] - 3
        if type(item) is not str:
            if outside <= 0:
                others.append(item)
        elif outside <= 1 and id(item) not in SINGLETONS:
            words += allocated(getsizeof(item))
    return words, others
