"""Caches of functools met on the way: their entries, and whether they keep instances alive."""

from __future__ import annotations

import functools
from collections import OrderedDict
from gc import get_referents
from types import FunctionType
from typing import Any

from membudget.heap import raw
from membudget.heap.newest import newest_items
from membudget.heap.weigh import mean_bytes

WRAPPER = functools._lru_cache_wrapper  # noqa: SLF001  # the type that lru_cache makes

_MANY = 10_000
"""Entries of a bounded cache up to which it is entered: `gc.get_referents` lists them all."""

_SAMPLED = 8

KEEPS_INSTANCES = "a cache bound to a method keeps its instances"


def entries_of(wrapper: Any) -> int:
    """The entries a cache has; asking changes none of its figures."""
    return int(WRAPPER.cache_info(wrapper).currsize)


def most_of(wrapper: Any) -> int | None:
    """The entries it may have, or None."""
    most: int | None = WRAPPER.cache_info(wrapper).maxsize
    return most


def is_heavy(wrapper: Any) -> bool:
    """Whether listing what a cache refers to would hold the GIL for long."""
    return most_of(wrapper) is not None and entries_of(wrapper) > _MANY


def name_of(wrapper: Any) -> str:
    """The cached function as module.qualname."""
    return raw.function_name(raw.read(wrapper, "__wrapped__"))


def keeps_instances(wrapper: Any) -> bool:
    """Whether it caches a method, so that each key holds the instance it was called on."""
    function = raw.read(wrapper, "__wrapped__")
    if type(function) is not FunctionType:
        return False
    return function.__code__.co_varnames[:1] == ("self",)


def entry_bytes(wrapper: Any) -> float | None:
    """Bytes of one entry, its key and what that keeps included; None where it cannot be told."""
    if is_heavy(wrapper):
        return None
    found: list[Any] = []
    for one in get_referents(wrapper):
        if raw.is_one_of(type(one), (dict, OrderedDict)) and dict.__len__(one) == entries_of(
            wrapper
        ):
            values = newest_items(one, _SAMPLED)
            keys = [key for key, _ in zip(reversed(dict.keys(one)), values, strict=False)]
            found = list(zip(keys, values, strict=False))
    return mean_bytes(found) if found else None
