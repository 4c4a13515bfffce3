"""How many bytes an object holds, with all it refers to, so that a cache can keep a byte budget.

`sys.getsizeof` stops at the first container and leaves out the allocator's rounding. What everybody
shares (None, small ints, classes, functions, modules) and what counts itself (`held_bytes`) weighs
nothing here; field names and arrays behind views only where nobody outside refers to them; all else
is weighed in full: give what has a session, a parent or a shared table a size of its own, or
`register` its type. No Python code of a class is run, no `__dict__` made, nothing imported.
"""

from __future__ import annotations

from membudget import _native
from membudget.core import Record
from membudget.errors import ConfigError
from membudget.sizing.kinds import ATOMS, CONTAINERS, allocated, checked, registered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "IS_COMPILED",
    "NODES",
    "Size",
    "allocated",
    "checked",
    "entry_bytes",
    "measure",
    "register",
    "size_of",
    "unregister",
]

NODES = 10_000
"""How many objects a walk looks at before it goes on from averages: 0.3 to 1 ms compiled, about
10 ms in plain Python."""

_compiled: Any = _native.core
IS_COMPILED: bool = _compiled is not None  # Whether the compiled sizer answers.
_measure: Callable[[object, int], tuple[int, int, bool]]
if IS_COMPILED:
    _measure = _compiled.measure
else:
    from membudget.sizing.fallback import weigh as _measure


class Size(Record):
    """What an object weighs: bytes held by it and all that it alone brings along.

    So many `nodes` were looked at; where these were not all, it is not `exact` but extrapolated.
    """

    bytes: int
    nodes: int
    exact: bool


def size_of(value: object, *, nodes: int = NODES) -> int:
    """The bytes an object holds; `nodes` and what is raised are as in `measure`.

    Cost: 0.1 to 0.3 µs for a number or a string, else as `measure`.
    """
    if _compiled is not None and nodes > 0:
        size: int = _compiled.size_of(value, nodes)
        return size
    return _measure(value, nodes)[0] if nodes > 0 else measure(value, nodes).bytes


def entry_bytes(key: object, value: object) -> int:
    """The bytes that dropping a key and its value would free, the two always counted.

    Parts that somebody else holds as well are left out, or charged in proportion. Cost: 0.1 to 0.5
    µs for numbers and strings, else about twice that of `size_of`. Raises what `measure` does.
    """
    if _compiled is not None:
        size: int = _compiled.entry(key, value)
        return size
    return size_of(key) + size_of(value)


def measure(value: object, nodes: int = NODES) -> Size:
    """The bytes an object holds, and how they were found, from so many `nodes` at most.

    Cost: 30 to 60 ns an object compiled, about 1 µs in plain Python. A ConfigError where `nodes` is
    not above zero, or a registered function gave no size; what that raised passes through.
    """
    if nodes < 1:
        raise ConfigError(f"nodes {nodes!r} is not above zero: let a walk look at 1 or more")
    size, looked, exact = _measure(value, nodes)
    return Size(bytes=size, nodes=looked, exact=exact)


def register(kind: type[Any], weigh: Callable[[Any], int]) -> None:
    """Let a function of the program say what objects of a type hold in bytes, parts included.

    It holds for subclasses too; the nearest registered class wins. What the function raises
    passes through `size_of`. Built-in numbers, strings and containers keep their own reckoning: to
    name one, or what is no class, is a ConfigError.
    """
    given: object = kind
    if not isinstance(given, type) or given in ATOMS or given in CONTAINERS:
        raise ConfigError(f"{kind!r} cannot be registered: give a class of your own or a library's")
    registered[kind] = weigh
    _forget_types()


def unregister(kind: type[Any]) -> None:
    """Take back what `register` said of a class; nothing happens where nothing was said."""
    registered.pop(kind, None)
    _forget_types()


def _forget_types() -> None:
    """Let the compiled sizer, which a cache may use whatever the environment says, look again."""
    if _compiled is not None:
        _compiled.forget_types()
