"""The bounds of a container, and what it tells about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from membudget.core import PartSample, Record
from membudget.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.core import Holder

Cause: TypeAlias = Literal["items", "bytes", "pressure"]
"""Why an item was dropped: the container's own bounds, or the budget."""

DEFAULT_ITEMS = 10_000
"""The bound of a container that was given none, where no budget runs."""

KEEP: Any = object()
"""For a bound that stays as it is."""


class ContainerStats(Record):
    """A bounded container's figures since it was made.

    Attributes:
        name: The container's name.
        items: Items held.
        bytes: What they weigh, each with its place in the container.
        max_items: The bound in items, or None.
        max_bytes: The bound in bytes, or None.
        added: Items ever taken in.
        dropped: Items ever dropped, by what they made room for: "items" and "bytes" are the
            container's own bounds, "pressure" is the budget.
        refused: Items not taken in, as heavier than `max_bytes`.
    """

    name: str
    items: int
    bytes: int
    max_items: int | None
    max_bytes: int | None
    added: int
    dropped: Mapping[str, int]
    refused: int


def part_of(
    holder: Holder,
    items: int,
    most_items: int | None,
    most_bytes: int | None,
    ttl: float | None = None,
) -> PartSample:
    """How a container stands, for a sample."""
    return PartSample(
        name=holder.name,
        kind=type(holder).__name__,
        items=items,
        bytes=holder.held_bytes(),
        most_items=most_items,
        most_bytes=most_bytes,
        ttl=ttl,
    )


def items_bound(bound: object, name: str = "max_items") -> int | None:
    """A bound in items, or None.

    Raises:
        ConfigError: It is not an int above zero.
    """
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, int) or bound <= 0:
        raise ConfigError(f"{name} {bound!r} is not a number above zero: give one, or None")
    return bound
