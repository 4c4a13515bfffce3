"""The table as a JSON Schema, by which editors check and complete a settings file."""

from __future__ import annotations

from typing import Any

from membudget.settings.file import SECTION
from membudget.settings.table import COMPONENTS, OF_COMPONENTS, SETTINGS, Setting

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
    section["properties"][COMPONENTS[:-1]] = _components()
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


def _components() -> dict[str, Any]:
    """A section whose keys the program names."""
    one = _section("Limits of the watched container of this name, or null for none.")
    one["properties"] = {word: _property(setting) for word, setting in OF_COMPONENTS.items()}
    return {
        "description": "Watched containers by the names that the program gave them.",
        "type": ["object", "null"],
        "additionalProperties": one,
    }


def _property(setting: Setting) -> dict[str, Any]:
    again = "applied while running" if setting.is_live else "applied at the next start"
    return {
        "description": f"{setting.meaning}: {setting.form}; null for the default; {again}.",
        "default": setting.write(setting.default),
        **setting.kind.schema,
    }
