"""The newest items of a container, in words that give little away, and what an item takes.

Nothing foreign is asked for its `repr`. Values can be anybody's data, so texts are shown with their
digits hidden, and what looks like an address or a long token only by its length. How many bytes an
item holds is guessed from the newest ones, which is near enough to rank suspects.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import islice
from sys import getrefcount, getsizeof
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any

from membudget.heap import raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST, _LETTERS, _FEW = 60, 24, 4
"""Characters of one item's text, those of a str, and items of a container that are told."""

_TOKEN = 20  # Letters and digits in a row that make a token


def hidden(text: str) -> str:
    """A text with digits as #; one that looks like an address or a token only by its length."""
    run = longest = 0
    for letter in text:
        run = run + 1 if letter.isalnum() else 0
        longest = max(longest, run)
    if "@" in text or longest >= _TOKEN:
        return f"<{len(text)} characters>"
    return "".join("#" if letter.isdigit() else letter for letter in text)


def short(value: object, redact: Callable[[str], str] | None = None, deep: int = 1) -> str:
    """A value in at most 60 characters, texts redacted, no foreign code run. Some microseconds."""
    told = _short(value, redact or hidden, deep)
    return told if len(told) <= LONGEST else told[: LONGEST - 1] + "…"


def _short(value: Any, redact: Callable[[str], str], deep: int) -> str:  # noqa: PLR0911  # one a kind
    kind = type(value)
    if kind is str:
        if len(value) > _LETTERS:
            return f"<str of {len(value)}: {redact(value[:_LETTERS])}…>"
        return repr(redact(value))
    if kind is int and value.bit_length() > 64:  # noqa: PLR2004  # a long one may take long
        return f"<int of {value.bit_length()} bits>"
    if raw.is_one_of(kind, (int, float, complex)):
        return str(value) if redact is hidden else redact(str(value))
    if value is None or kind is bool:
        return str(value)
    if raw.is_one_of(kind, (bytes, bytearray)):
        return f"<{kind.__name__} of {len(value)}>"
    name, builtin = raw.type_name(kind), raw.container_of(kind)
    if builtin is None:
        return f"<{name}>"
    length = raw.LENGTHS[builtin](value)
    if not deep or kind is not builtin or length == 0:
        return f"<{name} of {length}>"
    inner = [_short(one, redact, deep - 1) for one in _some(builtin.__iter__(value), _FEW)]
    more = ", …" if length > len(inner) else ""
    return f"{name}({', '.join(inner)}{more})"


def _some(items: Iterator[Any], most: int) -> list[Any]:
    try:
        return list(islice(items, most))
    except RuntimeError:  # Changed meanwhile by another thread.
        return []


def newest_items(container: Any, most: int = 1) -> list[Any]:
    """The items put into a builtin container last, a dict's values; of a set any. Cost: 1 µs."""
    builtin = raw.container_of(type(container))
    if builtin is None:
        return []
    if builtin in (list, tuple):
        return list(builtin.__getitem__(container, slice(-most, None)))[::-1]
    if builtin is dict:
        # Not by key: a look-up would call the key's own hash and comparison.
        return _some(reversed(dict.values(container)), most)
    if builtin is deque:
        return _some(deque.__reversed__(container), most)
    return _some(builtin.__iter__(container), most)  # type: ignore[attr-defined]


def newest(container: Any, redact: Callable[[str], str] | None = None) -> str:
    """The type and shortened text of a container's newest item; a dict's with its key."""
    items = newest_items(container)
    if not items:
        return ""
    if raw.container_of(type(container)) is dict:
        key = next(reversed(dict.keys(container)), None)
        return f"{short(key, redact)}: {short(items[0], redact)}"
    return short(items[0], redact)


_SAMPLED = 8  # Items of a container that are walked

_MOST, _MOST_ALONE = 300, 10
"""Objects walked for one item, and where there is no other to compare with."""

_LONG = 32  # Items of a container in it that are walked, and stand for the rest
_HEADER = 16  # Bytes in front of each object that can refer to others

_ALONE = 3
"""References to what only one object holds, as counted from a list: that one's, and two more."""

_PLAIN = (dict, list, tuple, set, frozenset)
"""Containers that belong to the object of the program's that alone refers to them."""

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""What an item refers to and does not own. A closure's own function is counted, not entered."""


def own_bytes(obj: Any) -> int:
    """The bytes of one object alone, by C code only. Cost: 0.3 µs."""
    kind = type(obj)
    if raw.module_of(kind) in ("builtins", "collections") and raw.is_fixed(kind):
        return getsizeof(obj)
    measures = (raw.namespace_of(base).get("__sizeof__") for base in raw.bases_of(kind))
    measure = next((one for one in measures if one is not None), None)
    # C code: a builtin's, an array's.
    is_known = type(measure) is MethodDescriptorType
    size = int(measure(obj)) if is_known else object.__sizeof__(obj)  # type: ignore[misc]
    return size + (_HEADER if raw.refers(kind) else 0)


def item_bytes(container: Any) -> float | None:
    """Bytes of one item and its place, or None for an empty one; at most 2400 objects, 0.5 ms."""
    items = newest_items(container, _SAMPLED)
    if not items:
        return None
    builtin = raw.container_of(type(container))
    place = 100.0 if builtin is dict else 40.0 if builtin in (set, frozenset) else 9.0
    return mean_bytes(items) + place


def entry_bytes(cache: Any) -> float | None:
    """Bytes of an entry of a cache of functools, its key and what that keeps; None if unknown."""
    if raw.is_heavy(cache):
        return None
    entries, found = raw.cache_sizes(cache)[0], list[Any]()
    for one in raw.referents(cache):
        if raw.is_one_of(type(one), (dict, OrderedDict)) and dict.__len__(one) == entries:
            keys = _some(reversed(dict.keys(one)), _SAMPLED)
            found = list(zip(keys, newest_items(one, _SAMPLED), strict=False))
    return mean_bytes(found) if found else None


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
    not own, and what a list holds is counted by its own type. At most 300 objects, 0.3 µs each.
    """
    total, looked_at = float(own_bytes(value)), 0
    waiting = [(value, 1.0)]
    while waiting and looked_at < _MOST:
        one, weight = waiting.pop()
        if raw.container_of(type(one)) is None or (count := _length(one) or 0) <= _LONG:
            parts = [] if type(one) is raw.CACHE else raw.referents(one)
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
        elif kind is raw.CACHE and raw.cache_sizes(one)[0] > _MOST:
            continue  # A bounded one would list all of its entries.
        elif (count := _length(one)) is not None and count > _LONG:
            below = newest_items(one, _LONG)
            weight *= count / _LONG
        else:
            below = raw.referents(one)
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
