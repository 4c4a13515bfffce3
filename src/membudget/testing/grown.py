"""Which types and containers grew between two looks at all objects.

`gc.get_objects` holds the GIL for 48 ms a million objects and makes a list of them: right in a
test that has already failed, wrong in a service.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter, deque
from functools import _lru_cache_wrapper
from typing import TYPE_CHECKING, Any

from membudget.heap.caches import name_of
from membudget.heap.chain import owners_of
from membudget.heap.locals import is_ours
from membudget.testing.result import Grown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_OFTEN = 0.005
"""Growth a call from which it is shown: one in two hundred."""

_SHARE = 0.2
"""Of the growth of what grew most, from which others are shown."""

_SHOWN = 5
_PATIENCE = 10.0
"""Seconds for finding owners, 1.5 s a million objects; those left then have none named."""

_LONGEST = 60
_CONTAINERS = (dict, list, set, deque, bytearray)
_FROM_US = ("membudget.testing.", "tracemalloc")


class Inventory:
    """Types and container lengths as they stand now. Cost: 0.2 s a million objects."""

    def __init__(self) -> None:
        objects = gc.get_objects()
        self._types = _count(objects)
        self._lengths = _lengths(objects)

    def grown(self, calls: int) -> tuple[tuple[Grown, ...], tuple[Grown, ...]]:
        """Types and containers that grew since, those that grew most first.

        Args:
            calls: How many there were since.
        """
        objects = gc.get_objects()
        types = _count(objects)
        least = max(2, calls * _OFTEN)
        more = [
            Grown(name=_named(kind), kind="type", each=(now - self._types[kind]) / calls, now=now)
            for kind, now in types.items()
            if now - self._types[kind] >= least and not _named(kind).startswith(_FROM_US)
        ]
        containers = self._containers(objects, calls, least)
        # Looking brings a few objects as well; beside a leak they are not worth a line.
        due = _SHARE * max((one.each for one in [*more, *containers]), default=0.0)
        more = [one for one in more if one.each >= due]
        more.sort(key=lambda one: (one.name in _PLAIN, -one.each))
        return tuple(more[:_SHOWN]), tuple(one for one in containers if one.each >= due)

    def _containers(self, objects: list[Any], calls: int, least: float) -> tuple[Grown, ...]:
        grown = []
        for one in objects:
            length = _length(one)
            before = self._lengths.get(id(one)) if length is not None else None
            if length is not None and before is not None and length - before >= least:
                grown.append((length - before, one))
        grown = [pair for pair in grown if pair[1] is not self._lengths]
        grown.sort(key=lambda pair: -pair[0])
        del grown[_SHOWN:]
        targets = [one for _, one in grown]
        until = time.monotonic() + _PATIENCE
        owners = owners_of(targets, extra=_called(), until=until) if targets else {}
        return tuple(
            Grown(
                name=_owner(one, owners),
                kind=_kind(one),
                each=more / calls,
                now=_length(one) or 0,
                newest=_newest(one),
            )
            for more, one in grown
        )


def _called() -> Iterator[tuple[str, Any]]:
    """The functions that our own callers have in their hands: what is looked at may be theirs."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the documented way
    while frame is not None:
        if is_ours(frame.f_code):
            for value in list(frame.f_locals.values()):
                if callable(value) and not isinstance(value, type):
                    yield "the function", value
        frame = frame.f_back


def _owner(one: Any, owners: dict[int, str]) -> str:
    if type(one) is _lru_cache_wrapper:
        return name_of(one)
    return owners.get(id(one)) or f"a {_kind(one)}"


_PLAIN = frozenset({"dict", "list", "tuple", "set", "cell", "function"})
"""Types that say little: named after those of the program."""


def _count(objects: list[Any]) -> Counter[type]:
    return Counter(map(type, objects))


def _lengths(objects: list[Any]) -> dict[int, int]:
    lengths = {}
    for one in objects:
        length = _length(one)
        if length is not None:
            lengths[id(one)] = length
    return lengths


def _length(one: object) -> int | None:
    kind = type(one)
    if kind is _lru_cache_wrapper:
        return int(one.cache_info().currsize)  # type: ignore[attr-defined]
    if issubclass(kind, _CONTAINERS):
        base: Any = next(base for base in _CONTAINERS if issubclass(kind, base))
        return int(base.__len__(one))  # A subclass may have written its own.
    return None


def _kind(one: object) -> str:
    return "lru_cache" if type(one) is _lru_cache_wrapper else _named(type(one))


def _named(kind: type) -> str:
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _newest(one: object) -> str:
    """The newest item's type and a short form; a repr of its own is a program's, so only plain."""
    try:
        if isinstance(one, dict):
            key = next(reversed(one))
            return f"{_short(key)}: {_short(one[key])}"
        if isinstance(one, (list, deque)):
            return _short(one[-1])
    except (StopIteration, LookupError, TypeError):
        pass
    return ""


def _short(item: object) -> str:
    kind = type(item)
    if kind not in {str, bytes, int, float, bool, type(None), tuple}:
        return _named(kind)
    if kind is tuple:
        return f"tuple of {len(item)}"  # type: ignore[arg-type]
    told = repr(item if kind not in {str, bytes} else item[:_LONGEST])  # type: ignore[index]
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"
