"""No test of this folder looks through all that the runner holds."""

from __future__ import annotations

import pytest

from heap_scenes import small_heap

__all__ = ["small_heap"]


@pytest.fixture(autouse=True)
def _small_heap(small_heap: None) -> None:
    """For every test."""
