"""Which value holds, and where it came from: argument over environment over default."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from membudget.core import PART_MARKS, Marks, Record
from membudget.errors import ConfigError
from membudget.settings.table import PREFIX, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

# The launcher's own messages to the process it starts; not settings.
LAUNCH_VARIABLES = frozenset({PREFIX + "LAUNCH"})


class Settings(Record):
    """Checked values by key, and where each came from.

    Attributes:
        values: Every setting's value.
        origins: "argument", "environment" or "default", by key.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def marks(self) -> Marks:
        """The thresholds as marks.

        Raises:
            ConfigError: They are out of order.
        """
        named = {name: self[f"thresholds.{name}"] for name in _NAMES}
        parts = {
            part: own
            for part in ("rss", "native")
            if (
                own := {
                    mark: value
                    for mark in PART_MARKS
                    if (value := self[f"thresholds.{part}.{mark}"]) is not None
                }
            )
        }
        return Marks(**named, parts=parts)


_NAMES = ("low", "warning", "critical", "emergency", "shutdown")


def resolve(
    arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """The settings that hold.

    Args:
        arguments: By key, nested by section or flat: `{"limit": "400MiB", "cleanup": {"settle":
            2}}`; None stands for not given.
        environ: The environment; by default the process's own.

    Raises:
        ConfigError: An unknown key, a value that does not fit, or marks out of order.
    """
    values: dict[str, Any] = {key: setting.default for key, setting in SETTINGS.items()}
    origins = dict.fromkeys(values, "default")
    for key, text in _from_environment(os.environ if environ is None else environ).items():
        values[key] = SETTINGS[key].read(text, name=SETTINGS[key].variable)
        origins[key] = "environment"
    for key, value in _flat(arguments or {}).items():
        if key not in SETTINGS:
            raise ConfigError(f"setting {key!r} is not known: {_nearest(key)}")
        values[key] = SETTINGS[key].read(value, name=key)
        origins[key] = "argument"
    settings = Settings(values=values, origins=origins)
    settings.marks()
    return settings


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    by_variable = {setting.variable: key for key, setting in SETTINGS.items()}
    found = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in LAUNCH_VARIABLES:
            continue
        key = by_variable.get(variable)
        if key is None:
            wanted = variable.removeprefix(PREFIX).lower().replace("_", ".")
            raise ConfigError(f"environment variable {variable} is not known: {_nearest(wanted)}")
        found[key] = text
    return found


def _flat(arguments: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        elif value is not None:
            flat[prefix + name] = value
    return flat


def _nearest(key: str) -> str:
    import difflib  # only an error needs it

    near = difflib.get_close_matches(key, SETTINGS, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]} ({SETTINGS[near[0]].variable})?"
    return f"known are {', '.join(SETTINGS)}"
