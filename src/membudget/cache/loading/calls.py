"""A call of a cached function: what it is kept under, and what stands in the function's place.

One argument that is exactly a str or an int is its own key (they hash fast and equal no tuple),
anything else a tuple of all; those given by name stand where they would by position. The closures
are written out, since each layer in between would cost as much as the lookup; all are plain
functions, which bind to an instance and are pickled by name.
"""

from __future__ import annotations

from functools import partial
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from membudget.cache.loading.keys import _NAMED
from membudget.cache.loading.load import MISSING, fly, fly_async, running_loop
from membudget.callables import ASYNC_GENERATOR, COROUTINE, GENERATOR, VARIABLE, called
from membudget.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable

    from membudget.cache.loading.load import Loading
    from membudget.cache.loading.owners import KeyOf, Owner, Owners, Parts

    Function = Callable[..., Any]


_OWN_NAMES = frozenset({"self", "cls", "mcs", "metacls"})


def is_coroutine_function(function: Any) -> bool:
    """Whether calling it gives something to await; a ConfigError where that is a generator."""
    inner, _ = called(function)
    flags = 0 if inner is None else inner.__code__.co_flags
    if flags & COROUTINE:
        return True
    if flags & (GENERATOR | ASYNC_GENERATOR):
        kind = "a generator" if flags & GENERATOR else "an async generator"
        raise ConfigError(
            f"{name_of(function)} is {kind} function: what it gives could be used only once, so "
            "cache a function that returns a list or a tuple of the items"
        )
    return False


def code_written(function: Any) -> CodeType | None:
    """The code of a function written in Python; None for anything else, a bound method too."""
    return function.__code__ if isinstance(function, FunctionType) else None


def has_self(function: Any) -> bool:
    """Whether its first parameter is called `self` or `cls`; decorators are looked through."""
    while isinstance(function, FunctionType) and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = code_written(function)
    return code is not None and code.co_argcount > 0 and code.co_varnames[0] in _OWN_NAMES


def name_of(function: Any) -> str:
    """Its module and qualified name."""
    while not hasattr(function, "__qualname__") and hasattr(function, "func"):
        function = function.func
    if not hasattr(function, "__qualname__"):
        function = type(function)
    return f"{function.__module__}.{function.__qualname__}"


def parts_by(function: Any, *, is_typed: bool) -> Parts:
    """A function that puts the arguments of a call into one tuple; if typed, with their types."""
    code = code_written(function)
    names: tuple[str, ...] = () if code is None else code.co_varnames[: code.co_argcount]
    only_by_position = 0 if code is None else code.co_posonlyargcount

    def parts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        if not kwargs:
            return args
        by_name = kwargs.copy()
        if len(args) >= only_by_position:
            for name in names[len(args) :]:
                if name not in by_name:
                    break
                args = (*args, by_name.pop(name))
        return (*args, _NAMED, *sorted(by_name.items())) if by_name else args

    def typed_parts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        key = parts(args, kwargs)
        named = key.index(_NAMED) + 1 if kwargs and _NAMED in key else len(key)
        return (*key, *map(type, key[:named]), *(type(value) for _, value in key[named:]))

    return typed_parts if is_typed else parts


def key_from(parts: Parts) -> KeyOf:
    """A function that makes the key of a call."""

    def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        key = parts(args, kwargs)
        return key[0] if len(key) == 1 and type(key[0]) in (str, int) else key

    return key_of


def unhashable(
    error: TypeError, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], skipped: int = 0
) -> TypeError:
    """The error of a call that has no key, naming the argument; the same where that was not it."""
    code = code_written(function)
    names = () if code is None else code.co_varnames[: code.co_argcount]
    named = [(names[i] if i < len(names) else f"number {i + 1}", one) for i, one in enumerate(args)]
    for name, value in [*named[skipped:], *kwargs.items()]:
        try:
            hash(value)
        except TypeError:
            kind = type(value).__name__
            return TypeError(
                f"unhashable type: {kind!r}: argument {name} of {name_of(function)} cannot be part "
                f"of a key: pass something hashable, such as a tuple, or cache with key=..."
            )
    return error


def of_one_argument(loading: Loading) -> Function | None:
    """For a function written in Python with a single parameter; None for any other."""
    function, get, load = loading.function, loading.get, partial(fly, loading)
    code = code_written(function)
    is_single = code is not None and code.co_argcount == 1 and not code.co_kwonlyargcount
    if code is None or not is_single or code.co_flags & VARIABLE:
        return None

    missing = MISSING

    def wrapper(_first):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if type(_first) is str or type(_first) is int:  # Faster than a look into a set of both.
            _value = get(_first, missing)
            return _value if _value is not missing else load(_first, (_first,), {})
        try:
            _value = get((_first,), missing)
        except TypeError as _error:
            raise unhashable(_error, function, (_first,), {}) from None
        return _value if _value is not missing else load((_first,), (_first,), {})

    # The parameter gets that name, so the interpreter sorts it out: this saves a third of a hit.
    own: Any = wrapper
    name, locals_ = code.co_varnames[0], own.__code__.co_varnames
    if name in locals_ or name in own.__code__.co_freevars:
        return None
    renamed = own.__code__.replace(
        co_varnames=(name, *locals_[1:]), co_posonlyargcount=code.co_posonlyargcount
    )
    defaults = getattr(function, "__defaults__", None)
    return FunctionType(renamed, own.__globals__, own.__name__, defaults, own.__closure__)


def of_arguments(loading: Loading, key_of: KeyOf) -> Function:
    """For a plain function of any signature."""
    function, get, load = loading.function, loading.get, partial(fly, loading)

    def wrapper(first: Any = MISSING, /, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            key = key_of(args if first is MISSING else (first, *args), kwargs)
        elif args or not (type(first) is str or type(first) is int):
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


def of_method(loading: Loading, parts: Parts, owners: Owners) -> Function:
    """For a method: its object is part of the key by number, and not kept."""
    function, get, load = loading.function, loading.get, partial(fly, loading)
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


def of_calls(loading: Loading, key_of: KeyOf, now: Callable[[], float] | None) -> Function:
    """For a function whose keys are made by another; or, with `now`, whose values are `Kept`."""
    function, get, load = loading.function, loading.get, partial(fly, loading)

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


def of_coroutine(loading: Loading, key_of: KeyOf, now: Callable[[], float] | None) -> Function:
    """For a coroutine function, as `of_calls`: a task of its own refreshes an old value."""
    function, get, load = loading.function, loading.get, partial(fly_async, loading)
    has_begun = _refreshing(load)

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
        if has_begun(key, args, kwargs, found.value):
            return found.value
        return await load(key, args, kwargs, found.value)

    return wrapper


def _refreshing(load: Callable[..., Any]) -> Callable[..., bool]:
    """A function that has a task refresh an old value, one a key; it is kept until it is done."""
    tasks: dict[Hashable, asyncio.Task[Any]] = {}

    def end(key: Hashable, task: asyncio.Task[Any]) -> None:
        if tasks.get(key) is task:
            del tasks[key]
        if not task.cancelled():
            task.exception()  # It was told where it was forgiven; asking keeps asyncio silent.

    def has_begun(key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any], old: Any) -> bool:
        """Whether a task refreshes a key, begun now if need be; not outside asyncio."""
        task = tasks.get(key)
        if task is not None and not task.done() and task.get_loop().is_running():
            return True
        loop = running_loop()
        if loop is None:
            return False
        tasks[key] = task = loop.create_task(load(key, args, kwargs, old))
        task.add_done_callback(partial(end, key))
        return True

    return has_begun
