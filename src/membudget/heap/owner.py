"""The steps of a path in words, and the name of what a path ends in.

A path is the root's name and the objects from there on, each referred to by the one before.
"""

from __future__ import annotations

import sys
from itertools import chain, islice
from types import CellType, CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from membudget.heap import raw
from membudget.heap.items import short
from membudget.heap.roots import MODULE, RESTING, frame_name, locals_of, module_of, resting_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MOST, _DEEP = 500, 4
"""Names of one class or module that are tried: 0.3 ms; functions within functions searched."""

_CLASSES = 2000  # Classes whose names are remembered
_TRIES = 3  # Times that a module is searched in vain for one class
_DOUBTS = 20  # Keys of a dict that are read back before it is taken for one that an attribute holds


def is_own_dict(holder: Any, value: dict[Any, Any]) -> bool:
    """Whether a dict that an object refers to is its `__dict__`: its keys read back."""
    try:
        # No more than these are listed: it may be the program's largest dict.
        first = list(islice(dict.items(value), _DOUBTS))
    except RuntimeError:  # It was changed meanwhile.
        return False
    return any(
        type(key) is str and item is not None and raw.read(holder, key) is item
        for key, item in first
    )


class AttributeNames:
    """The attribute by which an object refers to another. One thread at a time; keeps only texts.

    Values that live in the object have no names that could be listed without making its
    `__dict__`. So the names are guessed from the code of its class: each method's `co_names` holds
    those it stores, and reading back tells which it is. Where that fails the functions of its
    module are searched.
    """

    def __init__(self) -> None:
        self._by_class: dict[str, list[str]] = {}
        self._by_module: dict[str, list[str]] = {}
        self._vain: dict[str, int] = {}

    def of(self, holder: Any, value: Any) -> str | None:
        """The attribute of `holder` that is this very value, or None. Cost: 0.3 µs a name."""
        if (slot := raw.slot_of(holder, value)) is not None:
            return slot
        kind = type(holder)
        name_of_class = raw.type_name(kind)
        names = self._by_class.get(name_of_class)
        if names is None:
            if len(self._by_class) >= _CLASSES:
                self._by_class.clear()
            names = self._by_class[name_of_class] = list(_of_class(kind))
        found = _tried(holder, value, names)
        if found is None and self._vain.get(name_of_class, 0) < _TRIES:
            module = raw.module_of(kind)
            if module not in self._by_module:
                self._by_module[module] = list(_of_module(module))
            found = _tried(holder, value, self._by_module[module])
            if found is None:
                self._vain[name_of_class] = self._vain.get(name_of_class, 0) + 1
        if found is not None and (not names or names[0] != found):
            if found in names:
                names.remove(found)
            names.insert(0, found)  # The next object of this class is asked for it first.
        return found


def _tried(holder: Any, value: Any, names: Iterable[str]) -> str | None:
    return next((name for name in names if raw.read(holder, name) is value), None)


def _of_class(kind: type) -> Iterator[str]:
    seen: set[str] = set()
    for base in raw.bases_of(kind):
        for member in list(raw.namespace_of(base).values()):
            yield from _of_member(member, seen)
        noted = raw.namespace_of(base).get("__annotations__")
        if type(noted) is dict:
            yield from (key for key in list(noted) if type(key) is str and key not in seen)


def _of_module(name: str) -> Iterator[str]:
    seen: set[str] = set()
    for value in list(raw.globals_of(sys.modules.get(name)).values()):
        if len(seen) >= _MOST:
            return
        yield from _of_member(value, seen)
        if issubclass(type(value), type) and raw.module_of(value) == name:
            for member in list(raw.namespace_of(value).values()):
                yield from _of_member(member, seen)


def _of_member(member: object, seen: set[str]) -> Iterator[str]:
    if raw.is_one_of(type(member), (staticmethod, classmethod)):
        member = member.__func__  # type: ignore[attr-defined]
    elif type(member) is property:
        member = member.fget
    codes = [(member.__code__, _DEEP)] if type(member) is FunctionType else []
    while codes:
        code, deep = codes.pop()
        for name in code.co_names:
            if name not in seen and len(seen) < _MOST:
                seen.add(name)
                yield name
        if deep:
            inner = [(one, deep - 1) for one in code.co_consts if type(one) is CodeType]
            codes += inner[::-1]


_LOOKED_AT = 2000  # Items of a container that are looked at for the place of one
_LONGEST = 100  # Letters of a name that is shown
_ROOT_AND_ONE = 2

_ANCHORS = (FunctionType, FrameType, *RESTING)  # Whose own name is enough, whatever holds them


class Step(NamedTuple):
    """One step of a path."""

    text: str  # As the chain shows it: ".name", "[3]"
    taken: int = 1  # Objects of the path that it passes
    anchor: str | None = None  # A name that stands for all before it
    is_own: bool = False  # Whether it is a variable or an attribute, not an item

    @property
    def general(self) -> str:
        """As the owner's name has it: without a key or an index."""
        return "[…]" if self.text.startswith("[") else self.text


class Steps:
    """Puts paths into words, keys redacted. One thread at a time; keeps only texts."""

    def __init__(self, redact: Callable[[str], str] | None = None) -> None:
        self._names = AttributeNames()
        self._redact = redact

    def owner(self, path: list[Any]) -> tuple[str, bool]:
        """The name of the last object of a path, and whether a variable or attribute holds it.

        Cost: 5 to 20 µs.
        """
        # Where to begin: the last object whose own name is enough.
        name, is_own, at = "", False, len(path) - 2
        while at > 0 and not _is_anchor(type(path[at])):
            at -= 1
        if at <= 0:
            at_root = len(path) <= _ROOT_AND_ONE
            name, is_own, at = path[0].removeprefix(MODULE), at_root, 1
        while at < len(path) - 1:
            step = self._step(path, at)
            name = (step.anchor if step.anchor is not None else name) + step.general
            is_own = step.is_own
            at += step.taken
        return name.replace("[…][…]", "[…]"), is_own

    def held_by(self, path: list[Any]) -> str:
        """The nearest variable or attribute of the program's own, as "app.Timer._event", or ""."""
        for at in range(len(path) - 2, 0, -1):
            if issubclass(type(path[at]), type) or not _is_programs(path[at]):
                continue
            step = self._step(path, at)
            if step.is_own and step.anchor is not None:
                return f"{step.anchor}{step.general}"
        if len(path) > _ROOT_AND_ONE and path[0].startswith(MODULE):
            module = path[0].removeprefix(MODULE)
            if not raw.is_standard_module(module):
                return f"{module}{self._step(path, 1).general}"
        return ""

    def chain(self, path: list[Any]) -> tuple[str, ...]:
        """All steps of a path in words: ("module app.store", "._by_id", "[1203]")."""
        said, at = [path[0]], 1
        while at < len(path) - 1:
            step = self._step(path, at, is_shown=True)
            if step.text:
                said.append(step.text)
            at += step.taken
        return tuple(said)

    def _step(  # noqa: PLR0911  # one a kind of holder
        self, path: list[Any], at: int, *, is_shown: bool = False
    ) -> Step:
        holder, value = path[at], path[at + 1]
        kind = type(holder)
        if kind is dict and at == 1 and path[0].startswith(MODULE):
            return Step(f".{_key(holder, value)}", is_own=True)
        if issubclass(kind, type):
            return self._of_class(path, at)
        if kind is FunctionType:
            return _of_function(path, at)
        if kind is FrameType or raw.is_one_of(kind, RESTING):
            return _of_frame(holder, value)
        if kind is CellType:
            return Step("")
        if kind is MethodType:
            return Step(".__self__" if holder.__self__ is value else ".__func__")
        if kind is ModuleType and at + 2 < len(path) and type(value) is dict:
            name = value.get("__name__")
            return Step(f".{_key(value, path[at + 2])}", 2, anchor=f"{name}", is_own=True)
        builtin = raw.container_of(kind)
        if builtin is not None:
            step = self._item(holder, value, builtin, is_shown=is_shown)
            if step is not None or kind is builtin:
                return step or Step("[…]")
        return self._attribute(path, at)

    def _of_class(self, path: list[Any], at: int) -> Step:
        name, value = raw.type_name(path[at]), path[at + 1]
        if type(value) is dict and at + 2 < len(path):
            return Step(f".{_key(value, path[at + 2])}", 2, anchor=name, is_own=True)
        return Step(".__dict__" if type(value) is dict else ".…", anchor=name)

    def _attribute(self, path: list[Any], at: int) -> Step:
        holder, value = path[at], path[at + 1]
        kind, taken = type(holder), 1
        anchor = None if raw.is_standard(kind) else raw.type_name(kind)
        name = self._names.of(holder, value)
        if name is None and type(value) is dict and is_own_dict(holder, value):
            if at + 2 >= len(path):
                return Step(".__dict__", anchor=anchor)
            name, taken = _key(value, path[at + 2]), 2
        if name is None:
            return Step(f".<{raw.type_name(type(value))}>", anchor=anchor)
        return Step(f".{name}", taken, anchor=anchor, is_own=True)

    def _item(self, holder: Any, value: Any, builtin: type, *, is_shown: bool) -> Step | None:
        if not is_shown and type(holder) is builtin:
            return Step("[…]")
        place = _place(holder, value, builtin)
        if place is None:
            return None
        return Step(f"[{short(place, self._redact) if builtin is dict else place}]")


def _is_anchor(kind: type) -> bool:
    """Whether an object of this type has a name that is enough."""
    return (
        raw.is_one_of(kind, _ANCHORS)
        or issubclass(kind, type)
        or (raw.container_of(kind) is None and not raw.is_standard(kind))
    )


def _is_programs(one: Any) -> bool:
    """Whether it can anchor a name that is not the interpreter's or its library's own."""
    kind = type(one)
    if kind is FunctionType:
        return not raw.is_standard_module(one.__module__)
    if raw.is_one_of(kind, _ANCHORS):
        return not raw.is_standard_module(module_of(one))
    return _is_anchor(kind)


def _place(holder: Any, value: Any, builtin: type) -> Any:
    """The key or index of an item among the first ones; a set's by its turn; None for no item."""
    try:
        if builtin is dict:
            for key, item in islice(dict.items(holder), _LOOKED_AT):
                if item is value or key is value:
                    return key
        else:
            first = islice(builtin.__iter__(holder), _LOOKED_AT)  # type: ignore[attr-defined]
            return next((place for place, item in enumerate(first) if item is value), None)
    except RuntimeError:  # It was changed meanwhile.
        pass
    return None


def _key(namespace: dict[Any, Any], value: Any) -> str:
    """The name of a value among the first and the newest ones of a namespace."""
    items = dict.items(namespace)
    try:
        for key, item in chain(islice(items, _LOOKED_AT), islice(reversed(items), _LOOKED_AT)):
            if item is value and type(key) is str:
                # What no code can spell is data, which may be anybody's.
                return key if len(key) <= _LONGEST and key.isidentifier() else "…"
    except RuntimeError:  # It was changed meanwhile.
        pass
    return "…"


def _of_function(path: list[Any], at: int) -> Step:
    function, value = path[at], path[at + 1]
    anchor, below = raw.function_name(function), path[at + 2 :]
    if value is function.__globals__ and below:
        module = function.__globals__.get("__name__")
        return Step(f".{_key(value, below[0])}", 2, anchor=f"{module}", is_own=True)
    if value is function.__closure__ and below:
        for name, cell in zip(function.__code__.co_freevars, value, strict=False):
            if cell is below[0]:
                taken = 3 if len(below) > 1 else 2
                return Step(f".<closure>.{name}", taken, anchor=anchor, is_own=True)
    if value is function.__defaults__ and below:
        code = function.__code__
        names = code.co_varnames[code.co_argcount - len(value) : code.co_argcount]
        for name, default in zip(names, value, strict=False):
            if default is below[0]:
                return Step(f".<default>.{name}", 2, anchor=anchor, is_own=True)
    if type(value) is dict and below:
        return Step(f".{_key(value, below[0])}", 2, anchor=anchor, is_own=True)
    return Step("", anchor=anchor)


def _of_frame(holder: Any, value: Any) -> Step:
    frame = holder if type(holder) is FrameType else resting_frame(holder)
    if frame is None:
        return Step(".<local>")
    names = (name for name, one in locals_of(frame).items() if one is value)
    return Step(f".{next(names, '<local>')}", anchor=frame_name(frame), is_own=True)
