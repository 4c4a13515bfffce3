"""Taking in what comes one by one: weighed as it is drawn, and put in piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

PIECE = 1024
"""Items put in under one lock."""

PIECE_BYTES = 1 << 16
"""Bytes after which fewer are put in: so much and one item more waits outside every bound."""


def take_in(
    values: Iterable[T],
    weigh: Callable[[T], int],
    put: Callable[[list[T], list[int]], object],
) -> None:
    """Put in values of any number, so that hardly any are held that no bound has seen yet.

    Where drawing or weighing one raises, what came before it is in.

    Args:
        values: What is put in; may be endless.
        weigh: Gives a value's bytes.
        put: Takes values and their weights.

    Raises:
        BaseException: What one of these raised.
    """
    items: list[T] = []
    weights: list[int] = []
    held = 0
    try:
        for value in values:
            weight = weigh(value)
            items.append(value)
            weights.append(weight)
            held += weight
            if held >= PIECE_BYTES or len(items) >= PIECE:
                full: tuple[Any, Any] = items, weights
                items, weights, held = [], [], 0
                put(*full)
                del full
            del value
    finally:
        if items:
            put(items, weights)
