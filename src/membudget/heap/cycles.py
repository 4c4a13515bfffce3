"""Garbage that only a collection would free: how much of the newest objects it is, by type.

A walk from roots never sees garbage. `DEBUG_SAVEALL` would, and keeps it all; a collection tells
how many and not what. So the youngest generation, which is small, is looked at as the collector
does it: an object whose references all come from within, and which nothing from outside leads to,
is garbage. Nothing is collected and no finalizer runs.
"""

from __future__ import annotations

import gc
import time
from sys import getrefcount
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.heap import raw
from membudget.heap.weigh import own_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MOST = 20_000
"""Young objects up to which they are looked at: 30 ms, of which 1 ms holds the GIL."""

FEWEST = 200
"""Young objects below which there is nothing to tell."""

_OWN = 2
"""References to an object that the count itself adds: the list and the argument."""


class Garbage(Record):
    """What of the youngest generation is garbage, or what a collection freed.

    Attributes:
        looked_at: Objects in the youngest generation, or of the whole heap those that were noted.
        garbage: Those of them that nothing leads to, or all that a collection freed.
        types: Garbage by the name of its type.
        bytes: What the garbage takes, each object alone.
        over: Seconds since the last look, or since a collection emptied the generation.
        uncollectable: Objects in `gc.garbage`.
        kept: The type that most of those have.
        is_freed: Whether it was freed: then the types are estimates from a sample.
    """

    looked_at: int
    garbage: int
    types: Mapping[str, int]
    bytes: int
    over: float
    uncollectable: int
    kept: str = ""
    is_freed: bool = False

    @property
    def share(self) -> float:
        """The share of the youngest objects that is garbage, 0 to 1."""
        return self.garbage / max(1, self.looked_at)


class Cycles:
    """Looks for garbage now and then. One thread at a time; keeps nothing alive between looks.

    Where collecting is off the youngest generation holds all since the last collection: after one,
    call `collected`, and look before it has grown beyond 20 000 objects.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since = now()

    def collected(self) -> None:
        """Say that a collection just ran."""
        self._since = self._now()

    def look(self) -> Garbage | None:
        """The garbage among the youngest objects; None where they are too few or too many.

        Cost: 1.5 µs an object. Other threads run meanwhile, and what they change may be told
        wrongly: a statistic.
        """
        if not FEWEST <= gc.get_count()[0] <= MOST:
            return None
        young = gc.get_objects(generation=0)
        if not FEWEST <= len(young) <= 2 * MOST:
            return None
        dead = _unreachable(young)
        del young
        return self._told(dead, gc.get_count()[0])

    def _told(self, dead: list[Any], looked_at: int) -> Garbage:
        types: dict[str, int] = {}
        size = 0
        for one in dead:
            name = raw.type_name(type(one))
            types[name] = types.get(name, 0) + 1
            size += own_bytes(one)
            size += sum(own_bytes(part) for part in raw.referents(one) if _is_alone(part))
        return Garbage(
            looked_at=max(looked_at, len(dead)),
            garbage=len(dead),
            types=types,
            bytes=size,
            over=self._now() - self._since,
            uncollectable=len(gc.garbage),
        )


def _is_alone(part: Any) -> bool:
    """Whether it is bytes or text that only one object refers to."""
    return raw.is_one_of(type(part), (bytes, bytearray, str)) and getrefcount(part) <= _OWN + 3


def _unreachable(young: list[Any]) -> list[Any]:
    place = {id(one): at for at, one in enumerate(young)}
    within = [0] * len(young)
    one = referent = None
    for one in young:
        for referent in raw.referents(one):
            at = place.get(id(referent))
            if at is not None:
                within[at] += 1
    del one, referent
    # By index: a loop's variable would be one more reference.
    alive = [at for at in range(len(young)) if getrefcount(young[at]) - _OWN > within[at]]
    is_alive = bytearray(len(young))
    for at in alive:
        is_alive[at] = 1
    while alive:
        for referent in raw.referents(young[alive.pop()]):
            at = place.get(id(referent), -1)
            if at >= 0 and not is_alive[at]:
                is_alive[at] = 1
                alive.append(at)
    return [one for at, one in enumerate(young) if not is_alive[at]]
