"""What letting go is made of: causes, steps and their size."""

from __future__ import annotations

from typing import Literal, TypeAlias

from membudget.bounded.plain.entry import K, V

Cause: TypeAlias = Literal["bytes", "entries", "share", "pressure", "expired"]
"""Why an entry was let go: its own bounds, its share of the budget, the budget, its time."""

Gone: TypeAlias = tuple[K, V, int, Cause]
"""What was let go: key, value, weight and why."""

Step: TypeAlias = tuple[int, list[Gone[K, V]] | None]
"""What one step let go: bytes, and each entry where somebody listens."""

DEFAULT_ENTRIES = 1000
"""The bound of a table that was given none, where no budget runs."""

BATCH = 64
BATCH_BYTES = 1 << 20
"""Entries and bytes let go at a stretch: well below a millisecond."""
