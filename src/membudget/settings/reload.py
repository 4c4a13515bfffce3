"""What a reload means for a budget that runs: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.settings.table import SETTINGS

if TYPE_CHECKING:
    from membudget.settings.resolve import Settings


def changed(before: Settings, after: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys whose values differ: those that apply while running, those that need a restart.

    Where a value came from makes no difference.
    """
    keys = [key for key in SETTINGS if before[key] != after[key]]
    live = tuple(key for key in keys if SETTINGS[key].is_live)
    return live, tuple(key for key in keys if not SETTINGS[key].is_live)
