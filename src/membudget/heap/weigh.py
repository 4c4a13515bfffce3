"""How many bytes an item of a container holds, guessed from its newest ones.

The sizer of `membudget.sizing` weighs exactly; here a few items are walked for some hundred objects
each, which is near enough to rank suspects. What most of them share belongs to none.
"""

from __future__ import annotations

import functools
from gc import get_referents
from sys import getrefcount, getsizeof
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, ModuleType
from typing import Any

from membudget.heap import raw
from membudget.heap.newest import newest_items

_SAMPLED = 8
"""Items of a container that are walked."""

_MOST = 300
"""Objects walked for one item; one that reaches more counts what was walked."""

_MOST_ALONE = 10
"""The same where there is no other to compare with."""

_CACHE = functools._lru_cache_wrapper  # noqa: SLF001  # the type that lru_cache makes

_LONG = 32
"""Items of a container in it that are walked, and stand for the rest."""

_HEADER = 16
"""Bytes in front of each object that can refer to others."""

_INLINE = 16
"""Bytes of an object's attribute table that it shares with its class, and for each value 8."""

_ALONE = 3
"""References to what only one object holds, as counted from a list: that one's, and two more."""

_PLAIN = (dict, list, tuple, set, frozenset)
"""Containers that belong to the object of the program's that alone refers to them."""

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""What an item refers to and does not own. A closure's own function is counted, not entered."""


def own_bytes(obj: Any) -> int:
    """The bytes of one object alone, by C code only. Cost: 0.3 µs."""
    kind = type(obj)
    module = raw.module_of(kind)
    if module in ("builtins", "collections") and raw.is_fixed(kind):
        return getsizeof(obj)
    size = object.__sizeof__(obj)
    for base in raw.bases_of(kind):
        measure = raw.namespace_of(base).get("__sizeof__")
        if type(measure) is MethodDescriptorType:  # C code: a builtin's, an array's.
            size = int(measure(obj))
            break
        if measure is not None:
            break
    return size + (_HEADER if raw.refers(kind) else 0)


def item_bytes(container: Any) -> float | None:
    """Bytes of one item, its place in the container included; None for an empty one.

    Cost: at most 2400 objects looked at, 0.5 ms.
    """
    items = newest_items(container, _SAMPLED)
    if not items:
        return None
    builtin = raw.container_of(type(container))
    place = 100.0 if builtin is dict else 40.0 if builtin in (set, frozenset) else 9.0
    return mean_bytes(items) + place


def mean_bytes(values: list[Any]) -> float:
    """The mean bytes of some objects and what they reach without the rest of the program.

    What more than half of them reach is taken for shared. What a few have in common, such as the
    instance in the keys of three calls, counts once for them all. One alone is counted with what it
    refers to itself and no further: nothing tells what of the rest is its own.
    """
    sizes: dict[int, float] = {}
    times: dict[int, int] = {}
    kept: list[Any] = []  # An object that went away would give its address to another.
    most = _MOST if len(values) > 1 else _MOST_ALONE
    for value in values:
        for one, weight in _reached(value, most):
            address = id(one)
            times[address] = times.get(address, 0) + 1
            if times[address] == 1:
                sizes[address] = own_bytes(one) * weight
                kept.append(one)
    few = max(1, len(values) // 2)
    total = sum(size for address, size in sizes.items() if times[address] <= few)
    return total / max(1, len(values))


def exclusive_bytes(value: Any) -> float:
    """The bytes of one object and of what nothing but it refers to.

    Of the interpreter's own types only leaves are added: a cell or a method points at what it does
    not own, and what a list holds is counted by its own type. Cost: 0.3 µs an object looked at, at
    most 300.
    """
    total, looked_at = float(own_bytes(value)), 0
    waiting = [(value, 1.0)]
    while waiting and looked_at < _MOST:
        one, weight = waiting.pop()
        if raw.container_of(type(one)) is None or (count := _length(one) or 0) <= _LONG:
            parts = [] if type(one) is _CACHE else raw.referents(one)
        else:
            parts, weight = newest_items(one, _LONG), weight * count / _LONG
        is_plain = one is not value and raw.is_one_of(type(one), _PLAIN)
        is_owner = is_plain or not raw.is_standard(type(one))
        # By index: a loop's variable would be one more reference.
        for place in range(min(len(parts), _MOST - looked_at)):
            looked_at += 1
            if getrefcount(parts[place]) > _ALONE:
                continue
            part = parts[place]
            if not raw.refers(type(part)):
                total += own_bytes(part) * weight
            elif is_owner and not issubclass(type(part), _SHARED) and not raw.is_ours(type(part)):
                total += own_bytes(part) * weight
                waiting.append((part, weight))
    return total


def _reached(value: Any, most: int) -> list[tuple[Any, float]]:
    """What a value reaches, and for how many each stands: of long containers some are looked at."""
    seen = {id(value)}
    found = [(value, 1.0)]
    at = 0
    while at < len(found) and len(found) < most:
        one, weight = found[at]
        at += 1
        kind = type(one)
        if kind is FunctionType:
            below: list[Any] = [one.__closure__, one.__defaults__]
        elif issubclass(kind, _SHARED) or raw.is_ours(kind) or not raw.refers(kind):
            continue
        elif kind is _CACHE and _CACHE.cache_info(one).currsize > _MOST:
            continue  # A bounded one would list all of its entries.
        elif (count := _length(one)) is not None and count > _LONG:
            below = newest_items(one, _LONG)
            weight *= count / _LONG
        else:
            below = get_referents(one)
        for each in below:
            if len(found) >= most:
                break
            if id(each) not in seen and not issubclass(type(each), (type, ModuleType)):
                seen.add(id(each))
                found.append((each, weight))
    return found[:most]


def _length(obj: Any) -> int | None:
    builtin = raw.container_of(type(obj))
    return None if builtin is None else raw.LENGTHS[builtin](obj)
