"""What a table is given, checked, and what it tells; whether a compiled one does the work."""

from __future__ import annotations

from membudget._native import core
from membudget.errors import ConfigError
from membudget.units import as_bytes, checked_name

IS_COMPILED = core is not None
"""Whether tables are compiled; else `fallback` has them."""

TYPE_CHECKING = False
if TYPE_CHECKING or not IS_COMPILED:
    from typing import Literal, TypeAlias, TypeVar

    K = TypeVar("K")
    V = TypeVar("V")

    Cause: TypeAlias = Literal["bytes", "entries", "share", "pressure", "expired"]
    """Why an entry was let go: its own bounds, its share of the budget, the budget, its time."""

    Gone: TypeAlias = tuple[K, V, int, Cause]
    """What was let go: key, value, weight and why."""

    Step: TypeAlias = tuple[int, list[Gone[K, V]] | None]
    """What one step let go: bytes, and each entry where somebody listens."""
else:
    K = V = object  # The compiled table takes whatever stands between the brackets.

POLICIES = ("gdsf", "s3fifo", "lru")
"""The orders of eviction; the first is that of a cache that names none. In plain Python all are the
last."""

DEFAULT_ENTRIES = 1000
"""The bound of a table that was given none, where no budget runs."""


def container_name(name: object) -> str:
    """The name of a container.

    Raises:
        ConfigError: It is none.
    """
    return checked_name(name, "a container after what it holds")


def bytes_bound(bound: int | str | None) -> int | None:
    """A bound in bytes, or None.

    Raises:
        ConfigError: It is neither bytes nor a text such as "50MiB", or not above zero.
    """
    return None if bound is None else as_bytes(bound, name="max_bytes")


def entries_bound(bound: object, name: str = "max_entries") -> int | None:
    """A bound in entries, or None.

    Raises:
        ConfigError: It is not an int above zero.
    """
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, int) or bound <= 0:
        raise ConfigError(f"{name} {bound!r} is not a number above zero: give one, or None")
    return bound


def checked_policy(policy: object) -> str:
    """The name of an order of eviction; None is the first.

    Raises:
        ConfigError: It is none of `POLICIES`.
    """
    if policy is not None and policy not in POLICIES:
        raise ConfigError(f"policy {policy!r} is not known: use one of {', '.join(POLICIES)}")
    return POLICIES[-1] if not IS_COMPILED else POLICIES[0] if policy is None else str(policy)
