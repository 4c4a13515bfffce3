"""The table as a JSON Schema, by which editors check and complete a settings file."""

from __future__ import annotations

from typing import Any

from membudget.settings.file import SECTION
from membudget.settings.table import SETTINGS, Setting

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema of a file, YAML or TOML: what `memory` may hold; the rest is the program's."""
    section = _section("How much memory the process may use, and what it does about it.")
    for key, setting in SETTINGS.items():
        place = section
        *parents, name = key.split(".")
        for depth, parent in enumerate(parents):
            title = f"{'.'.join(parents[: depth + 1])}: settings, or null for the defaults."
            place = place["properties"].setdefault(parent, _section(title))
        place["properties"][name] = _property(setting)
    return {
        "$schema": DIALECT,
        "title": "Settings of membudget",
        "type": "object",
        "properties": {SECTION: section},
        "required": [SECTION],
    }


def _section(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "type": ["object", "null"],
        "properties": {},
        "additionalProperties": False,
    }


def _property(setting: Setting) -> dict[str, Any]:
    again = "applied while running" if setting.is_live else "applied at the next start"
    return {
        "description": f"{setting.meaning}: {setting.form}; null for the default; {again}.",
        "default": setting.write(setting.default),
        **setting.kind.schema,
    }
