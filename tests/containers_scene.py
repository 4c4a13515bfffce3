"""Bounded lists, deques, dicts and sets, made and filled alike whatever their kind."""

from typing import Any

from membudget.containers.list import BoundedDeque, BoundedList
from membudget.containers.ordered import BoundedDict, BoundedSet
from membudget.registry import Registry

FOREVER = float("inf")
KINDS = [BoundedList, BoundedDeque, BoundedDict, BoundedSet]


def made(kind: Any, name: str = "some", *, registry: Registry | None = None, **more: Any) -> Any:
    """A container with a register of its own; `max_items` whatever it is called."""
    if kind is BoundedDeque and "max_items" in more:
        more["maxlen"] = more.pop("max_items")
    return kind(name, registry=Registry() if registry is None else registry, **more)


def put(container: Any, item: Any) -> None:
    if isinstance(container, BoundedDict):
        container[item] = item
    elif isinstance(container, BoundedSet):
        container.add(item)
    else:
        container.append(item)


def put_many(container: Any, items: Any) -> None:
    if isinstance(container, BoundedDict):
        container.update((item, item) for item in items)
    elif isinstance(container, BoundedSet):
        container.update(items)
    else:
        container.extend(items)


def weights(container: Any) -> int:
    """The sum of all weights, added up anew."""
    if isinstance(container, (BoundedDict, BoundedSet)):
        return int(container.copy().held_bytes())  # It weighs all again.
    assert len(container._items) == len(container._weights)
    return sum(container._weights)
