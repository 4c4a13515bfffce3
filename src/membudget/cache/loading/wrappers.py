"""What stands in the place of a cached function: a closure, with little before a hit.

They differ in how a key is made and in what a hit is, and are written out, since each layer in
between would cost as much as the lookup. All are plain functions, which bind to an instance and
are pickled by name like any other.
"""

from __future__ import annotations

from functools import partial
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from membudget.cache.loading.flights import running_loop
from membudget.cache.loading.keys import FAST, unhashable
from membudget.cache.loading.load import MISSING, fly, fly_async

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable

    from membudget.cache.loading.keys import KeyOf, Parts
    from membudget.cache.loading.load import Loading
    from membudget.cache.loading.owners import Owner, Owners

    Get = Callable[[Any, Any], Any]
    Function = Callable[..., Any]

_VARIABLE = 0x04 | 0x08
"""Bits of `co_flags`: takes any number of arguments, by position or by name."""


def of_one_argument(loading: Loading, get: Get, code: CodeType) -> Function | None:
    """For a function with a single parameter; None for any other.

    The closure's own parameter gets that name and its default, so the interpreter itself sorts out
    arguments given by name, without packing them: this saves a third of a hit.
    """
    is_single = code.co_argcount == 1 and not code.co_kwonlyargcount
    if not is_single or code.co_flags & _VARIABLE:
        return None
    function, load = loading.function, partial(fly, loading)

    def wrapper(_first):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        _key = _first if type(_first) in FAST else (_first,)
        try:
            _value = get(_key, MISSING)
        except TypeError as _error:
            raise unhashable(_error, function, (_first,), {}) from None
        return _value if _value is not MISSING else load(_key, (_first,), {})

    own: Any = wrapper
    name, locals_ = code.co_varnames[0], own.__code__.co_varnames
    if name in locals_ or name in own.__code__.co_freevars:
        return None
    renamed = own.__code__.replace(
        co_varnames=(name, *locals_[1:]), co_posonlyargcount=code.co_posonlyargcount
    )
    defaults = getattr(function, "__defaults__", None)
    return FunctionType(renamed, own.__globals__, own.__name__, defaults, own.__closure__)


def of_arguments(loading: Loading, get: Get, key_of: KeyOf) -> Function:
    """For a plain function of any signature."""
    function, load = loading.function, partial(fly, loading)

    def wrapper(first: Any = MISSING, /, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            key = key_of(args if first is MISSING else (first, *args), kwargs)
        elif args or type(first) not in FAST:
            key = (first, *args)
        else:
            key = first
        try:
            value = get(key, MISSING)
        except TypeError as error:
            raise unhashable(error, function, (first, *args), kwargs) from None
        if value is not MISSING:
            return value
        return load(key, () if first is MISSING else (first, *args), kwargs)

    return wrapper


def of_method(loading: Loading, get: Get, parts: Parts, owners: Owners) -> Function:
    """For a method: its object is part of the key by number, and not kept."""
    function, load = loading.function, partial(fly, loading)
    find, join = owners.by_identity.get, owners.join

    def wrapper(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        owner: Owner | None = find(id(self))
        if owner is None or owner() is not self:
            owner = join(self)
        others = parts((self, *args), kwargs)[1:] if kwargs else args
        key = (owner.number, *others)
        try:
            value = get(key, MISSING)
        except TypeError as error:
            raise unhashable(error, function, (self, *args), kwargs, skipped=1) from None
        return value if value is not MISSING else load(key, (self, *args), kwargs)

    return wrapper


def of_calls(
    loading: Loading, get: Get, key_of: KeyOf, now: Callable[[], float] | None
) -> Function:
    """For a function whose keys are made by another, or whose old values or exceptions are kept.

    Args:
        loading: How values come.
        get: What looks a key up.
        key_of: Makes the keys.
        now: Monotonic seconds, where what is kept is `Kept`: an old value is refreshed.
    """
    function, load = loading.function, partial(fly, loading)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        key = key_of(args, kwargs)
        try:
            found = get(key, MISSING)
        except TypeError as error:
            raise unhashable(error, function, args, kwargs) from None
        if found is MISSING:
            return load(key, args, kwargs)
        if now is None:
            return found
        return found.give() if now() < found.fresh_until else load(key, args, kwargs, found.value)

    return wrapper


def of_coroutine(
    loading: Loading, get: Get, key_of: KeyOf, now: Callable[[], float] | None
) -> Function:
    """For a coroutine function, as `of_calls`: a task of its own refreshes an old value."""
    function, load, refresh = loading.function, partial(fly_async, loading), Refreshes(loading)

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        key = key_of(args, kwargs)
        try:
            found = get(key, MISSING)
        except TypeError as error:
            raise unhashable(error, function, args, kwargs) from None
        if found is MISSING:
            return await load(key, args, kwargs)
        if now is None:
            return found
        if now() < found.fresh_until:
            return found.give()
        if refresh.has_begun(key, args, kwargs, found.value):
            return found.value
        return await load(key, args, kwargs, found.value)

    return wrapper


class Refreshes:
    """The tasks that refresh old values, one a key; kept until they are done."""

    __slots__ = ("_loading", "_tasks")

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    def has_begun(
        self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any], old: Any
    ) -> bool:
        """Whether a task refreshes a key, begun now if need be; not outside asyncio."""
        task = self._tasks.get(key)
        if task is not None and not task.done() and task.get_loop().is_running():
            return True
        loop = running_loop()
        if loop is None:
            return False
        task = loop.create_task(fly_async(self._loading, key, args, kwargs, old))
        self._tasks[key] = task
        task.add_done_callback(partial(self._end, key))
        return True

    def _end(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.exception()  # It was told where it was forgiven; asking keeps asyncio silent.
