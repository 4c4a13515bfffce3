"""A settings file: found, read and checked against the table, with all that is wrong in it.

Settings stand under `memory`; what else a file holds belongs to the program.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.errors import ConfigError
from membudget.settings.located import Findings, Located
from membudget.settings.table import COMPONENTS, SETTINGS, advice_for, setting_of
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTION = "memory"
LARGEST = 256 << 10
"""Bytes of a file. Settings take two thousand; what is larger is another file."""

_AT_ONCE: int = getattr(os, "O_NONBLOCK", 0)
_YAML = (".yaml", ".yml")
_TOML = (".toml",)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

SECTIONS: frozenset[str] = frozenset(
    ".".join(parts[:depth])
    for parts in (key.split(".") for key in SETTINGS)
    for depth in range(1, len(parts))
) | {COMPONENTS[:-1]}
"""What settings stand under: "thresholds", "thresholds.rss" and so on."""


class SettingsFile(Record):
    """What a file sets.

    Attributes:
        name: The path as it was given.
        values: The checked values by key.
        origins: By key, the file and the line: "file membudget.yaml:3".
        refused: The keys whose values do not fit.
        errors: All that is wrong with it, by line.
    """

    name: str
    values: Mapping[str, Any]
    origins: Mapping[str, str]
    refused: tuple[str, ...]
    errors: tuple[ConfigError, ...]


def read_file(path: str | os.PathLike[str], source: str = "") -> SettingsFile:
    """Read and check a file; whatever is wrong with it is in its `errors`.

    Args:
        path: YAML or TOML, by its suffix.
        source: Who named the file, as "MEMBUDGET_CONFIG", for the advice where there is none.
    """
    given = os.fsdecode(path)
    findings = Findings(given if given.isprintable() and given else ascii(given))
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    refused: list[str] = []
    for key, (value, line) in _settings(given, source, findings).items():
        setting = setting_of(key)
        try:
            values[key] = setting.read(value, name=one_line(key)) if setting else value
        except ConfigError as error:
            findings.add(line, str(error))
            refused.append(key)
        else:
            origins[key] = f"file {findings.place(line)}"
    return SettingsFile(
        name=findings.name,
        values=values,
        origins=origins,
        refused=tuple(refused),
        errors=findings.in_order(),
    )


def _settings(given: str, source: str, findings: Findings) -> dict[str, tuple[Any, int | None]]:
    """The file's values by key with their lines, not yet checked."""
    text = _text(given, source, findings)
    if text is None:
        return {}
    # Imported here: a parser costs a process milliseconds, and most have no file.
    if given.endswith(_YAML):
        from membudget.settings.yaml_file import read_yaml as read
    else:
        from membudget.settings.toml_file import read_toml as read
    top = read(text, SECTION, findings)
    if top is None:
        return {}
    header = f"{SECTION}:" if given.endswith(_YAML) else f"[{SECTION}]"
    found: dict[str, tuple[Any, int | None]] = {}
    section = top.get(SECTION)
    if section is None:
        _tell_missing(top, header, findings)
    elif isinstance(section.value, dict):
        _flatten(section.value, "", found, findings)
    elif section.value is not None:
        findings.add(section.line, f"{SECTION} is no section: put keys and values under {header}")
    return found


def _text(given: str, source: str, findings: Findings) -> str | None:
    """The text of a file that is one, or None."""
    try:
        raw = _bytes(given, findings)
    except FileNotFoundError:
        looked = "" if os.path.isabs(given) else " from the working directory on"
        findings.add(None, f"there is no such file{looked}: check {source or 'the path'}")
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        advice = f"check its rights, or {source or 'the path'}"
        findings.add(None, f"cannot be read ({one_line(reason)}): {advice}")
        return None
    if raw is None:
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        findings.add(raw.count(b"\n", 0, error.start) + 1, "is not UTF-8: save it as UTF-8 text")
        return None
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        findings.add(line, f"has the control character {control[0]!a}: save it as plain text")
        return None
    return text


def _bytes(given: str, findings: Findings) -> bytes | None:
    mode = os.stat(given).st_mode  # Before it is opened: opening a device may move it.
    if stat.S_ISDIR(mode):
        findings.add(None, "is a directory: give the file in it")
    elif not stat.S_ISREG(mode):
        findings.add(None, "is a pipe or a device: give a plain file")
    elif not given.endswith(_YAML + _TOML):
        findings.add(None, "has an unknown suffix: name it .yaml (or .yml) or .toml")
    else:
        # Another user's settings are read as well, and a pipe may have come there meanwhile.
        with open(given, "rb", opener=lambda path, flags: os.open(path, flags | _AT_ONCE)) as file:
            raw = file.read(LARGEST + 1) or b""
        if len(raw) <= LARGEST:
            return raw
        findings.add(None, f"is larger than {LARGEST >> 10} KiB: give a file of settings only")
    return None


def _tell_missing(top: Mapping[str, Located], header: str, findings: Findings) -> None:
    for key, located in top.items():
        if key in SETTINGS or key in SECTIONS:
            findings.add(located.line, f"{key} stands at the top: put settings under {header}")
            return
    findings.add(None, f"has no {SECTION} section: put settings under {header}")


def _flatten(
    section: Mapping[str, Located],
    prefix: str,
    found: dict[str, tuple[Any, int | None]],
    findings: Findings,
) -> None:
    """Gather a section's settings; null stands for not set."""
    for name, located in section.items():
        key, value = prefix + name, located.value
        setting = setting_of(key)
        # A component may have dots in its name.
        is_named = prefix == COMPONENTS
        if is_named or (key in SECTIONS and "." not in name):
            if isinstance(value, dict):
                _flatten(value, f"{key}.", found, findings)
            elif value is not None:
                told = one_line(key)
                findings.add(located.line, f"{told} is a section: put keys and values under it")
        elif setting is None or "." in name:
            findings.add(located.line, _unknown(key))
        elif isinstance(value, dict) or (isinstance(value, list) and not setting.is_list):
            what = "keys under it" if isinstance(value, dict) else "list"
            findings.add(located.line, f"{one_line(key)} takes no {what}: give {setting.form}")
        elif isinstance(value, list):
            found[key] = [_name(one.value) for one in value], located.line
        elif value is not None:
            found[key] = value, located.line


def _unknown(key: str) -> str:
    if setting_of(key) is not None or key in SECTIONS:
        return f"{key} is one key with a dot: write it nested, each part under the one before"
    return f"{one_line(key)} is not known: {advice_for(key, sorted(SECTIONS))}"


def _name(value: Any) -> Any:
    """An element of a list, in words where it is more than a name."""
    return value if value is None or isinstance(value, str) else {}
