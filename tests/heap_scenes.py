"""What the tests of the heap share: objects that must never be asked, and a walk of their own."""

from collections.abc import Iterable
from typing import Any, NoReturn

from membudget.heap.walk import Kind, Kinds, Walk

CALLS: list[str] = []
"""The names of foreign methods that were called, to stay empty."""


def _called(name: str) -> Any:
    def method(*_args: object, **_settings: object) -> NoReturn:
        CALLS.append(name)
        raise AssertionError(name)

    return method


class HostileType(type):
    """A metaclass that answers nothing."""

    __getattribute__ = _called("metaclass.__getattribute__")
    __hash__ = _called("metaclass.__hash__")
    __eq__ = _called("metaclass.__eq__")
    __instancecheck__ = _called("metaclass.__instancecheck__")
    __subclasscheck__ = _called("metaclass.__subclasscheck__")


HOSTILE = (
    "__len__",
    "__iter__",
    "__reversed__",
    "__getitem__",
    "__contains__",
    "__repr__",
    "__str__",
    "__eq__",
    "__hash__",
    "__bool__",
    "__sizeof__",
    "__getattr__",
    "__getattribute__",
    "__dir__",
    "__call__",
)


def hostile_class(*bases: type) -> Any:
    """A class whose every method that could be asked records the call and raises."""
    namespace: dict[str, Any] = {name: _called(name) for name in HOSTILE}
    namespace["__class__"] = property(_called("__class__"))
    namespace["asked"] = property(_called("property"))
    return HostileType("Hostile", bases, namespace)


class AllMet(Kinds):
    """Kinds of which every object is met."""

    def of(self, kind: type) -> Kind:
        one = super().of(kind)
        one.special = True
        return one


class Met(Walk):
    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.met: list[int] = []

    def meet(self, obj: object, *_: object) -> None:
        self.met.append(id(obj))


def walked(*roots: object, passed: Iterable[object] = ()) -> list[int]:
    """The ids of all objects that a walk from these roots meets, in order, but for those passed."""
    walk = Met([("root", root) for root in roots], AllMet({}), passed=map(id, passed))
    assert walk.go_on(float("inf"))
    return walk.met
