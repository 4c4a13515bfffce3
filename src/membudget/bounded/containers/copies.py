"""How a bounded container is made again, for a copy or from a pickle."""

from __future__ import annotations

from typing import Any


def remade(kind: type[Any], name: str, settings: dict[str, Any]) -> Any:
    """An empty container, made as the class of ours that its kind derives from is made.

    As with subclasses of the builtins, the kind's own constructor is not called: it may take
    anything.
    """
    made: Any = object.__new__(kind)
    ours: Any = next(one for one in kind.__mro__ if one.__module__.startswith(f"{__package__}."))
    ours.__init__(made, name, **settings)
    return made


def attributes_of(one: Any, empty: Any) -> dict[str, Any]:
    """The attributes that a subclass gave a container, which an empty one has not."""
    return {name: value for name, value in vars(one).items() if name not in vars(empty)}
