"""What a reload means for a budget that runs: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.settings.table import SETTINGS, setting_of

if TYPE_CHECKING:
    from membudget.settings.resolve import Settings


def changed(before: Settings, after: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys whose values differ: those that apply while running, those that need a restart.

    Where a value came from makes no difference.
    """
    # Of what the program named, one may know what the other does not.
    known = dict.fromkeys([*SETTINGS, *before.values, *after.values])
    keys = [key for key in known if before.values.get(key) != after.values.get(key)]
    live = tuple(key for key in keys if (setting := setting_of(key)) and setting.is_live)
    return live, tuple(key for key in keys if key not in live)
