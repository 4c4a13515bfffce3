"""The table that caches are built on: the compiled one where there is one, else its plain twin.

Both give the same answers in the same order. MEMBUDGET_PURE=1 asks for the plain one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.bounded.plain.entry import K, V
from membudget.bounded.plain.steps import DEFAULT_ENTRIES, Cause, Gone, Step

if TYPE_CHECKING:
    from membudget.bounded.plain.table import Table

    IS_COMPILED: bool
else:
    from membudget._native import core

    IS_COMPILED = core is not None
    if IS_COMPILED:
        Table = core.Table
    else:
        from membudget.bounded.plain.table import Table

__all__ = ["DEFAULT_ENTRIES", "IS_COMPILED", "Cause", "Gone", "K", "Step", "Table", "V"]
