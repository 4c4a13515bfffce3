"""Work in slices, done in one go: for callers on a thread of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")


def in_one_go(steps: Generator[Any, None, T]) -> T:
    """Run a generator that yields between slices to its end; returns what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
