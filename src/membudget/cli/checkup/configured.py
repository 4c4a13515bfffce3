"""The settings that hold, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.cli.checkup.finding import Finding, ok, warning
from membudget.settings.resolve import DEFAULT
from membudget.settings.table import known_setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.cli.checkup.surroundings import Surroundings

SUBJECT = "settings"


def check_settings(around: Surroundings) -> Iterator[Finding]:
    """Each that is not the default, and where it came from."""
    if around.error is not None:
        yield warning(
            SUBJECT,
            f"{around.error}; no budget starts with these",
            "mend it; `membudget config check` tells all that is wrong with a file",
        )
        return
    changed = [key for key, origin in around.settings.origins.items() if origin != DEFAULT]
    for key in changed:
        value = known_setting(key).write(around.settings[key])
        text = ", ".join(value) if isinstance(value, list) else str(value)
        told = text.lower() if isinstance(value, bool) else text
        yield ok(SUBJECT, f"{key} {told} ({around.settings.origins[key]})")
    if not changed:
        yield ok(SUBJECT, "all are the defaults")
