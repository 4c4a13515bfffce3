"""Objects that strike whenever somebody calls them: they raise, or use caches in the middle."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

DEEPEST = 3
"""Strikes within strikes at most."""

KEPT = 50
"""Objects at most that came back from the dead, or that somebody watches."""

FEW = 15
"""Different numbers of keys."""


class MischiefError(Exception):
    """Raised on purpose."""


class Mischief:
    """When to strike, and what with.

    Args:
        chance: What decides.

    Attributes:
        is_calm: Nothing strikes now.
        only_raises: A strike raises and does nothing else.
        caches: What is struck.
        any_call: Makes a call to do to one of them.
        strikes: How many there were.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.is_calm = True
        self.only_raises = True
        self.caches: list[Any] = []
        self.any_call: Callable[[], Callable[[Any], object]] = lambda: len
        self.strikes = 0
        self.kept: list[Any] = []
        self._depth = 0

    def strike(self, where: str) -> None:
        """Do something bad, or nothing.

        Raises:
            MischiefError: That is one of the bad things.
        """
        if self.is_calm or self._depth >= DEEPEST or self.chance.random() < 0.7:
            return
        self.strikes += 1
        if self.only_raises or self.chance.random() < 0.2:
            raise MischiefError(where)
        self._depth += 1
        try:
            self.any_call()(self.chance.choice(self.caches))
        finally:
            self._depth -= 1

    def keep(self, one: object) -> None:
        """Hold on to an object, as long as there are few."""
        if len(self.kept) < KEPT and not self.is_calm:
            self.kept.append(one)

    def free(self) -> None:
        """Let go of half of what was kept."""
        half = self.kept[::2]
        del self.kept[::2]
        half.clear()

    def loaded(self) -> Any:
        """What a loader gives."""
        self.strike("loader")
        return make_value(self)

    def arenas(self, cache: Any) -> None:
        """One step of evicting what lies together, where the table can; the next comes later."""
        if hasattr(cache, "_plan_arenas"):
            cache._plan_arenas(0, self.chance.choice([1, 10, 1000]))
            self.strike("arenas")
            cache._choose_arenas(self.chance.choice([1, 5000]))
            self.strike("arenas")
            cache._evict_arenas(self.chance.choice([1, 1 << 20]))

    def forget(self) -> None:
        """Let go of everything."""
        self.caches, self.any_call = [], lambda: len
        while self.kept:
            self.kept.pop()


class Striking:
    """Strikes when it is hashed, compared, weighed or freed; may come back from the dead.

    Args:
        mischief: What strikes.
        number: What it is equal by, as a rule.
    """

    def __init__(self, mischief: Mischief, number: int) -> None:
        self.mischief = mischief
        self.number = number
        self.parts: list[Any] = [self]  # Only the collector finds it.

    def __hash__(self) -> int:
        self.mischief.strike("hash")
        has_changed = not self.mischief.is_calm and self.mischief.chance.random() < 0.02
        return self.mischief.chance.randrange(9) if has_changed else self.number % 4

    def __eq__(self, other: object) -> bool:
        self.mischief.strike("eq")
        has_changed = not self.mischief.is_calm and self.mischief.chance.random() < 0.02
        return has_changed or (isinstance(other, Striking) and self.number == other.number)

    def __sizeof__(self) -> int:
        self.mischief.strike("sizeof")
        return 100

    def __del__(self) -> None:
        if self.mischief.chance.random() < 0.2:
            self.mischief.keep(self)
        self.mischief.strike("del")


class Short(Striking):
    """The same without a cycle, so that it goes at once."""

    def __init__(self, mischief: Mischief, number: int) -> None:
        super().__init__(mischief, number)
        self.parts = []

    __hash__ = Striking.__hash__


class Word(str):
    """A text that strikes when it is compared."""

    __slots__ = ("mischief",)
    mischief: Mischief

    def __eq__(self, other: object) -> bool:
        self.mischief.strike("word")
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        return str.__hash__(self)


class Watched:
    """Something that a weak reference's callback waits for."""


def dying(mischief: Mischief) -> Iterator[None]:
    """A generator that strikes when it is freed half way."""
    try:
        yield
    finally:
        mischief.strike("generator")


def make_key(mischief: Mischief) -> Any:
    """A key of some kind; a few have no hash."""
    number, kind = mischief.chance.randrange(FEW), mischief.chance.random()
    if kind < 0.3:
        return number
    if kind < 0.4:
        return f"key {number}"
    if kind < 0.42:
        return [number]
    if kind < 0.5:
        word = Word(f"key {number}")
        word.mischief = mischief
        return word
    if kind < 0.6:
        return (number, Short(mischief, number))
    return (Striking if kind < 0.75 else Short)(mischief, number)


def make_value(mischief: Mischief) -> Any:
    """A value of some kind."""
    return mischief.chance.choice(VALUES)(mischief)


def half_way(mischief: Mischief) -> Any:
    """A generator that is in the middle."""
    one = dying(mischief)
    next(one)
    return one


def watched(mischief: Mischief) -> Any:
    """An object whose end a weak reference's callback waits for."""
    one = Watched()
    mischief.keep(weakref.ref(one, lambda _: mischief.strike("weakref")))
    return one


def circle(mischief: Mischief) -> Any:
    """A list of things that strike, and of itself."""
    count = mischief.chance.randrange(9)
    one: list[Any] = [Short(mischief, mischief.chance.randrange(FEW)) for _ in range(count)]
    one.append(one)
    return one


VALUES: list[Callable[[Mischief], Any]] = [
    lambda mischief: mischief.chance.randrange(10**6),
    lambda mischief: bytes(mischief.chance.randrange(3000)),
    lambda mischief: Striking(mischief, mischief.chance.randrange(FEW)),
    lambda mischief: Short(mischief, mischief.chance.randrange(FEW)),
    lambda mischief: Short(mischief, mischief.chance.randrange(FEW)),
    lambda mischief: mischief.chance.choice(mischief.caches or [None]),
    half_way,
    watched,
    circle,
]
"""What makes values of each kind."""
