"""Which value holds, and where it came from: argument over environment over file over default."""

from __future__ import annotations

import os

from membudget.core import MARK_NAMES, PART_MARKS, Marks, Record
from membudget.errors import ConfigError
from membudget.settings.table import (
    COMPONENTS,
    CONFIG_VARIABLE,
    LAUNCH_PREFIX,
    OF_COMPONENTS,
    PREFIX,
    PURE_VARIABLE,
    SETTINGS,
    advice_for,
    nearest,
    setting_of,
)
from membudget.units import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from membudget.settings.table import Setting

DEFAULT = "default"
_PARTS = ("", "rss.", "native.")


class Settings(Record):
    """Checked values by key, and where each came from."""

    values: Mapping[str, Any]  # Every setting's value, and those that were set for components.
    origins: Mapping[str, str]  # "argument", "environment MEMBUDGET_X", "file y.yaml:3", "default".

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def component(self, name: str) -> dict[str, Any]:
        """What was set for a component of the program, by word: {"max_items": 5000}."""
        keys = {word: f"{COMPONENTS}{name}.{word}" for word in OF_COMPONENTS}
        return {word: self.values[key] for word, key in keys.items() if key in self.values}

    def marks(self) -> Marks:
        """The thresholds as marks, or a ConfigError: they are out of order."""
        parts = {part[:-1]: own for part in _PARTS[1:] if (own := self._marks_of(part))}
        return Marks(**self._marks_of(""), parts=parts)

    def misplaced(self) -> Iterator[ConfigError]:
        """What is out of order among the thresholds, one error for each part of a reading."""
        for part in _PARTS:
            own = self._marks_of(part)
            try:
                Marks(parts={part[:-1]: own}) if part else Marks(**own)
            except ConfigError as error:
                named = [name for name in own if f" {part}{name}=" in str(error)]
                origins = [self.origins[f"thresholds.{part}{name}"] for name in named]
                told = [one for one in origins if one not in (DEFAULT, "argument")]
                places = ", ".join(one.removeprefix("file ") for one in told)
                yield ConfigError(f"{places}: {error}" if told else str(error))

    def changed_by(self, after: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The keys whose values differ: those a reload applies at once, and those that wait."""
        # Of what the program named, one may know what the other does not.
        known = dict.fromkeys([*SETTINGS, *self.values, *after.values])
        keys = [key for key in known if self.values.get(key) != after.values.get(key)]
        live = tuple(key for key in keys if (setting := setting_of(key)) and setting.is_live)
        return live, tuple(key for key in keys if key not in live)

    def _marks_of(self, part: str) -> dict[str, Any]:
        names = PART_MARKS if part else MARK_NAMES
        marks = {name: self[f"thresholds.{part}{name}"] for name in names}
        return {name: mark for name, mark in marks.items() if mark is not None}


def resolve(
    arguments: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: str | os.PathLike[str] | None = None,
) -> Settings:
    """The settings that hold: arguments over the environment over a file over defaults.

    Arguments come by key, nested by section or flat: `{"limit": "400MiB", "cleanup": {"settle":
    2}}`; None stands for not given. The environment is by default the process's own, the file (YAML
    or TOML, by its suffix) the one that MEMBUDGET_CONFIG names, if any. A ConfigError for an
    unknown key, a value that does not fit, or marks out of order tells where it came from.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {key: setting.default for key, setting in SETTINGS.items()}
    origins = dict.fromkeys(values, DEFAULT)
    path = file if file is not None else environ.get(CONFIG_VARIABLE) or None
    if path is not None:
        from membudget.settings.file import read_file  # most processes have none

        found = read_file(path, source="" if file is not None else CONFIG_VARIABLE)
        for error in found.errors:
            raise error
        values.update(found.values)
        origins.update(found.origins)
    for setting, text in _from_environment(environ):
        values[setting.key] = setting.read(text, name=setting.variable)
        origins[setting.key] = f"environment {setting.variable}"
    for key, value in _flat(arguments or {}).items():
        if (known := setting_of(key)) is None:
            if any(one.startswith(f"{key}.") for one in SETTINGS):
                raise ConfigError(
                    f"{key} is a section: give its settings by name, as in "
                    'thresholds={"warning": "80%"}'
                )
            raise ConfigError(f"setting {key!r:.120} is not known: {advice_for(key)}")
        values[key] = known.read(value, name=one_line(key))
        origins[key] = "argument"
    settings = Settings(values=values, origins=origins)
    for error in settings.misplaced():
        raise error
    return settings


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[Setting, str]]:
    ours = [one for one in environ if one.startswith(PREFIX) and not one.startswith(LAUNCH_PREFIX)]
    by_variable = {setting.variable: setting for setting in SETTINGS.values()} if ours else {}
    for variable in ours:
        if (setting := by_variable.get(variable)) is not None:
            yield setting, environ[variable]
        elif variable not in (CONFIG_VARIABLE, PURE_VARIABLE):
            from membudget.synonyms import setting_here  # only an error needs it

            known = [one.removeprefix(PREFIX) for one in (*by_variable, CONFIG_VARIABLE)]
            word = variable.removeprefix(PREFIX)
            advice = setting_here(word.replace("_", ".", 1)) or nearest(word, known, PREFIX)
            if variable.startswith(f"{PREFIX}COMPONENTS"):
                advice = (
                    "a variable cannot tell a component's name, so set it in a file or in "
                    "start(components=...)"
                )
            raise ConfigError(f"environment variable {variable} is not known: {advice}")


def _flat(arguments: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        elif value is not None:
            flat[prefix + name] = value
    return flat
