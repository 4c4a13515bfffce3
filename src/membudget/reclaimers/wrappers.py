"""What `functools.lru_cache` makes: looked into, and looked after as it is filled.

An unbounded wrapper keeps one plain dict, in the order of coming; the collector's view shows it. As
400 MB take it 0.2 s, the function behind is replaced by an object that looks after the cache at a
miss. It is called through a property, which returns the function itself: no frame of ours is on the
stack. On 3.11 and 3.12 such a call counts for the recursion limit, so a `partial` stands between,
which is turned to the function itself where that comes back to itself.
"""

from __future__ import annotations

import contextlib
import gc
import opcode
import sys
import time
from functools import _lru_cache_wrapper, partial
from itertools import islice
from types import CodeType, FunctionType, MethodType

from membudget.sizing import size_of
from membudget.units import found_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeAlias

Wrapper: TypeAlias = "_lru_cache_wrapper[Any]"
WRAPPER: type[Any] = _lru_cache_wrapper  # Its name in `functools` may be replaced later.
FEWEST = 64  # Entries that a cache keeps in any case.
_STAYING_BYTES = 16 << 20  # Bytes from which even a handful is more than engines and settings.
ENTRY = 100  # Bytes of an entry in a dict of middling fill, beside its key and its value.
_LEAST_BATCH, _MOST_BATCH = 1024, 65_536
_SAMPLES = 4
_NODES = 200  # Objects looked at to weigh one entry: an estimate will do.
_LOOK_AT_CLOCK = 16  # Entries between two looks at the clock: freeing a large one takes 0.1 ms.
_MOST_BETWEEN, _BYTES_BETWEEN = 256, 256 << 10  # Misses, and bytes, between two looks at most.
_PATIENCE = 0.02  # Seconds that one call may spend dropping.
_MOST_FOLLOWED = 300  # Functions that are followed: 3 ms at most, once for each cache.


def name_of(function: object) -> str:
    """Module and name of a function, or of the function whose results a wrapper keeps."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return found_name(f"{module}.{name}") if module and name else type(function).__name__


def entries_of(wrapper: Any) -> dict[Any, Any] | None:
    """The dict of an unbounded wrapper, or None where that is not to be seen."""
    # Of a bounded wrapper the collector shows every single entry.
    if type(wrapper) is not WRAPPER or wrapper.cache_info().maxsize is not None:
        return None
    own = vars(wrapper)
    found = [part for part in gc.get_referents(wrapper) if type(part) is dict and part is not own]
    # A cached callable may be a dict of some kind itself; then nothing is certain.
    return found[0] if len(found) == 1 else None


class Kept:
    """The entries of one wrapper, oldest first, as far as they are to be seen. Any thread.

    Its dict is asked for anew each time: a reference of ours would keep alive what leads back to
    it. `counted` is what it holds, `weight` an average entry, in bytes.
    """

    __slots__ = ("counted", "dropped", "weight", "wrapper")

    def __init__(self) -> None:
        self.wrapper: Callable[[], Wrapper | None] = lambda: None
        self.dropped: int = 0
        self.counted: int = 0
        self.weight: int | None = None

    def recount(self) -> int:
        """Reckon what it holds; returns by how much that differs from the last time."""
        before = self.counted
        self.counted = len(entries_of(self.wrapper()) or ()) * (self.weight or 0)
        return self.counted - before

    def weigh_newest(self) -> int:
        """The bytes of the newest entry, about; the average follows it. 0 where there is none."""
        entries = entries_of(self.wrapper())
        if not entries:
            return 0
        weight = _weigh(entries, next(reversed(entries)))
        self.weight = weight if self.weight is None else self.weight + (weight - self.weight) // 8
        return weight

    def drop(self, target: int, until: float, now: Callable[[], float]) -> int:
        """Let the oldest entries go; returns the bytes they are believed to have held."""
        entries, freed = entries_of(self.wrapper()) or {}, 0
        while len(entries) > (fewest := self.staying()) and freed < target and now() < until:
            # In large batches: the front of a dict that lost much is skipped anew each time.
            size = min(_MOST_BATCH, max(_LEAST_BATCH, len(entries) >> 4))
            batch = list(islice(entries, min(size, len(entries) - fewest)))
            samples = batch[:: max(1, len(batch) // _SAMPLES)]
            self.weight = weight = sum(_weigh(entries, key) for key in samples) // len(samples)
            for number, key in enumerate(batch):
                if freed >= target or (number % _LOOK_AT_CLOCK == 0 and now() >= until):
                    break
                entries.pop(key, None)
                self.dropped += 1
                freed += weight
        return freed

    def staying(self) -> int:
        """How many entries stay in any case."""
        return min(FEWEST, _STAYING_BYTES // max(1, self.weight or 1))


def _weigh(entries: dict[Any, Any], key: Any) -> int:
    return size_of(key, nodes=_NODES) + size_of(entries.get(key), nodes=_NODES) + ENTRY


class Checked:
    """Stands before a cache's function and looks after it; `claim` returns the bytes to drop."""

    __slots__ = ("_between", "_claim", "_function", "_is_busy", "_kept", "_left", "_way")

    def __init__(
        self, function: Callable[..., Any], kept: Kept, claim: Callable[[Kept, int], int]
    ) -> None:
        self._function = function
        self._kept = kept
        self._claim = claim
        self._left = self._between = 1
        self._is_busy = False
        self._way: partial[Any] | None = None

    def way(self) -> Callable[..., Any]:
        """What a cache should call: this, by a way around it where recursion matters."""
        if sys.version_info >= (3, 13):
            return self
        self._way = partial(self)
        return self._way

    @property
    def __call__(self) -> Callable[..., Any]:
        """The function; on the way to it the cache is looked after. Cost: 0.1 µs a miss."""
        self._left -= 1
        if self._left <= 0 and not self._is_busy:
            self._look()
        return self._function

    def _look(self) -> None:
        # A destructor that calls the cached function again must not come back here.
        self._is_busy = True
        try:
            if self._way is not None:
                way, self._way = self._way, None
                if comes_back(self._function):
                    # The way keeps this object no longer.
                    way.__setstate__((self._function, (), {}, None))  # type: ignore[attr-defined]  # what pickle calls
                    return
            came, newest = self._between, self._kept.weigh_newest()
            few = _BYTES_BETWEEN // max(newest, ENTRY)
            self._between = max(1, min(2 * came, _MOST_BETWEEN, few))
            due = self._claim(self._kept, came * newest)
            if due > 0:
                self._kept.drop(due, time.monotonic() + _PATIENCE, time.monotonic)
        except Exception:  # noqa: BLE001  # the program called its own function, not ours
            self._between = _MOST_BETWEEN
        finally:
            self._left = self._between
            self._is_busy = False


def comes_back(function: Any) -> bool:
    """Whether a call of it may lead to another one, by names. Cost: 10 µs a function followed."""
    called = [one] if (one := _function_in(function)) is not None else []
    origin = called[0].__code__ if called else None
    owner = getattr(function, "__self__", None)
    for current in called:  # It grows meanwhile.
        for value in _named_in(current, owner):
            inner = _function_in(value)
            if inner is None:
                continue
            if inner.__code__ is origin:
                return True
            if inner not in called and len(called) < _MOST_FOLLOWED:
                called.append(inner)
    return False


def _function_in(value: Any) -> FunctionType | None:
    """The Python function that a callable comes down to, past caches, methods and partials."""
    while True:
        kind = type(value)
        if kind is partial:
            value = value.func
        elif kind is WRAPPER:
            value = vars(value).get("__wrapped__")
        elif kind in (MethodType, staticmethod, classmethod):
            value = value.__func__
        else:
            return value if kind is FunctionType else None


def _named_in(function: FunctionType, owner: Any) -> Iterator[Any]:
    """What its names stand for now: global, free, and attributes of its class or bound object."""
    codes = [function.__code__]
    for code in codes:  # It grows by what is defined inside, such as generator expressions.
        codes += [one for one in code.co_consts if type(one) is CodeType]
    for name in {name for code in codes for name in _globals_in(code)}:
        yield function.__globals__.get(name)
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # Not bound yet.
            yield cell.cell_contents
    *path, _ = function.__qualname__.split(".")
    place: Any = function.__globals__
    for part in path:
        value = place.get(part)
        place = type.__getattribute__(value, "__dict__") if isinstance(value, type) else {}
    places = [place] if path else []
    if owner is not None:
        places += [vars(one) for one in (owner, *type(owner).__mro__) if hasattr(one, "__dict__")]
    for name in {name for code in codes for name in code.co_names}:
        yield from (place[name] for place in places if name in place)


def _globals_in(code: CodeType) -> Iterator[str]:
    load, extend = opcode.opmap["LOAD_GLOBAL"], opcode.opmap["EXTENDED_ARG"]
    extended = 0
    for operation, argument in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        if operation == load:
            yield code.co_names[(extended | argument) >> 1]
        extended = (extended | argument) << 8 if operation == extend else 0
