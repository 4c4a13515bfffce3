"""What bounded containers are given, checked."""

from __future__ import annotations

from membudget.errors import ConfigError
from membudget.units import as_bytes, checked_name

POLICIES = ("gdsf", "s3fifo", "lru")
"""The orders of eviction; the first is that of a cache that names none."""


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


def entries_bound(bound: object) -> int | None:
    """A bound in entries, or None.

    Raises:
        ConfigError: It is not an int above zero.
    """
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, int) or bound <= 0:
        raise ConfigError(f"max_entries {bound!r} is not a number above zero: give one, or None")
    return bound


def checked_policy(policy: object) -> str:
    """The name of an order of eviction; None is the one by worth.

    Raises:
        ConfigError: It is none of `POLICIES`.
    """
    if policy is None:
        return POLICIES[0]
    if policy not in POLICIES:
        raise ConfigError(f"policy {policy!r} is not known: use one of {', '.join(POLICIES)}")
    return str(policy)
