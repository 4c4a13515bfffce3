"""A settings file: found, read and checked against the table, and its JSON Schema (ADR 10).

Both formats are read to nodes, pairs of a value and its line: text as it was written, None for
null, or a list or dict of more nodes. So 400 and "400" are the same setting.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any, TypeAlias

from membudget.core import Record
from membudget.errors import ConfigError
from membudget.settings.table import COMPONENTS, OF_COMPONENTS, SETTINGS, advice_for, setting_of
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from membudget.settings.table import Setting

SECTION = "memory"
LARGEST = 256 << 10  # Bytes of a file. Settings take two thousand; what is larger is another file.
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Node: TypeAlias = "tuple[Any, int | None]"
_Findings: TypeAlias = "list[tuple[int | None, str]]"
"""A value and its line, from 1 on, or None where it is not known; what is wrong with lines."""

_AT_ONCE: int = getattr(os, "O_NONBLOCK", 0)
_YAML = (".yaml", ".yml")
_TOML = (".toml",)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DEEPEST = 64
_NULL = frozenset({"", "~", "null", "Null", "NULL"})

_SECTIONS: frozenset[str] = frozenset(
    ".".join(parts[:depth])
    for parts in (key.split(".") for key in SETTINGS)
    for depth in range(1, len(parts))
) | {COMPONENTS[:-1]}


class SettingsFile(Record):
    """What a file sets."""

    name: str  # The path as it was given.
    values: Mapping[str, Any]  # The checked values by key.
    origins: Mapping[str, str]  # By key, the file and the line: "file membudget.yaml:3".
    refused: tuple[str, ...]  # The keys whose values do not fit.
    errors: tuple[ConfigError, ...]  # All that is wrong with it, by line.


class Unreadable(Exception):  # noqa: N818  # leaves the reading, not this module
    """Why nothing can be read of a file, or nothing further."""

    def __init__(self, line: int | None, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_file(path: str | os.PathLike[str], source: str = "") -> SettingsFile:
    """Read and check a file, YAML or TOML by its suffix; what is wrong with it is in its `errors`.

    `source` is who named the file, as "MEMBUDGET_CONFIG", for the advice where there is none.
    """
    given = os.fsdecode(path)
    name = given if given.isprintable() and given else ascii(given)
    findings: _Findings = []
    found: dict[str, Node] = {}
    try:
        _gather(given, text_of(given, source or "the path"), found, findings)
    except Unreadable as error:
        findings.append((error.line, str(error)))
    values, origins, refused = {}, {}, []
    for key, (value, line) in found.items():
        setting = setting_of(key)
        try:
            values[key] = setting.read(value, name=one_line(key)) if setting else value
        except ConfigError as error:
            findings.append((line, str(error)))
            refused.append(key)
        else:
            origins[key] = f"file {_place(name, line)}"
    findings.sort(key=lambda one: one[0] or 0)
    return SettingsFile(
        name=name,
        values=values,
        origins=origins,
        refused=tuple(refused),
        errors=tuple(ConfigError(f"{_place(name, line)}: {what}") for line, what in findings),
    )


def _place(name: str, line: int | None) -> str:
    return name if line is None else f"{name}:{line}"


def text_of(given: str, source: str, suffixes: tuple[str, ...] = _YAML + _TOML) -> str:
    """The text of a file that is one, by its suffix one of these, or `Unreadable`."""
    try:
        mode = os.stat(given).st_mode  # Before it is opened: opening a device may move it.
        if stat.S_ISDIR(mode):
            raise Unreadable(None, "is a directory: give the file in it")
        if not stat.S_ISREG(mode):
            raise Unreadable(None, "is a pipe or a device: give a plain file")
        if not given.endswith(suffixes):
            known = ", ".join(suffixes)
            raise Unreadable(None, f"has an unknown suffix: name it as one of {known}")
        # Another user's settings are read as well, and a pipe may have come there meanwhile.
        with open(given, "rb", opener=lambda path, flags: os.open(path, flags | _AT_ONCE)) as file:
            raw = file.read(LARGEST + 1) or b""
    except FileNotFoundError:
        looked = "" if os.path.isabs(given) else " from the working directory on"
        raise Unreadable(None, f"there is no such file{looked}: check {source}") from None
    except (OSError, ValueError) as error:
        reason = one_line(error.strerror if isinstance(error, OSError) else error)
        advice = f"check its rights, or {source}"
        raise Unreadable(None, f"cannot be read ({reason}): {advice}") from None
    if len(raw) > LARGEST:
        told = f"is larger than {LARGEST >> 10} KiB: give a file of settings only"
        raise Unreadable(None, told)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Unreadable(line, "is not UTF-8: save it as UTF-8 text") from None
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        told = f"has the control character {control[0]!a}: save it as plain text"
        raise Unreadable(line, told)
    return text


def _gather(given: str, text: str, found: dict[str, Node], findings: _Findings) -> None:
    """Gather the settings of a file's section, by key."""
    if given.endswith(_YAML):
        header, top = f"{SECTION}:", _yaml_top(text, findings)
    else:
        header, top = f"[{SECTION}]", _toml_top(text)
    if SECTION not in top:
        at_top = [key for key in top if key in SETTINGS or key in _SECTIONS]
        for key in at_top[:1]:
            findings.append((top[key][1], f"{key} stands at the top: put settings under {header}"))
        if not at_top:
            advice = f"put settings under {header}"
            if top:
                advice += "; `membudget config convert` makes them of other settings"
            findings.append((None, f"has no {SECTION} section: {advice}"))
        return
    section, line = top[SECTION]
    if isinstance(section, dict):
        _flatten(section, "", found, findings)
    elif section is not None:
        findings.append((line, f"{SECTION} is no section: put keys and values under {header}"))


def _flatten(
    section: dict[str, Node], prefix: str, found: dict[str, Node], findings: _Findings
) -> None:
    """Gather a section's settings; null stands for not set."""
    for name, (value, line) in section.items():
        key = prefix + name
        setting = setting_of(key)
        # A component may have dots in its name.
        if prefix == COMPONENTS or (key in _SECTIONS and "." not in name):
            if isinstance(value, dict):
                _flatten(value, f"{key}.", found, findings)
            elif value is not None:
                findings.append(
                    (line, f"{one_line(key)} is a section: put keys and values under it")
                )
        elif setting is None or "." in name:
            if setting is not None or key in _SECTIONS:
                told = "is one key with a dot: write it nested, each part under the one before"
            else:
                told = f"is not known: {advice_for(key, sorted(_SECTIONS))}"
            findings.append((line, f"{one_line(key)} {told}"))
        elif isinstance(value, list) and isinstance(setting.default, tuple):
            # What is more than a name is told as {}.
            found[key] = [{} if isinstance(one, (dict, list)) else one for one, _ in value], line
        elif isinstance(value, (dict, list)):
            what = "keys under it" if isinstance(value, dict) else "list"
            findings.append((line, f"{one_line(key)} takes no {what}: give {setting.kind.form}"))
        elif value is not None:
            found[key] = value, line


def _yaml_top(text: str, findings: _Findings) -> dict[str, Node]:
    import yaml  # a parser costs a process milliseconds, and most have no file of its kind

    try:
        return _YamlWalk(text, findings).top()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        problem = one_line(error.problem or error)
        told = f"is not YAML: {problem}; check indentation, colons and quotes there"
        line = min(mark.line + 1, _last_line(text)) if mark else None
        raise Unreadable(line, told) from None
    except yaml.YAMLError as error:
        told = f"is not YAML: {one_line(error)}; save it as plain text"
        raise Unreadable(None, told) from None


class _YamlWalk:
    """One walk over a YAML parser's events: no tag can make an object there, no alias multiply."""

    def __init__(self, text: str, findings: _Findings) -> None:
        import yaml

        self._yaml = yaml
        self._findings = findings
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._next: Callable[[], Any] = iter(yaml.parse(text, Loader=loader)).__next__

    def top(self) -> dict[str, Node]:
        """The keys at the top, by name."""
        yaml = self._yaml
        self._next()  # the stream begins
        if isinstance(self._next(), yaml.StreamEndEvent):
            return {}
        value, line = self._node(self._next(), [], 0)
        self._next()  # the document ends
        if value is not None and not isinstance(value, dict):
            raise Unreadable(line, f"holds no keys: put settings under {SECTION}:")
        if not isinstance(event := self._next(), yaml.StreamEndEvent):
            another = "begins a second document: keep to one in a file"
            raise Unreadable(event.start_mark.line + 1, another)
        return value or {}

    def _node(self, event: Any, told: _Findings, depth: int) -> Node:
        """The node that begins with this event."""
        yaml, line = self._yaml, event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            told.append((line, "has an alias (*): write the value out"))
            return None, line
        if event.anchor is not None:
            told.append((line, "has an anchor (&): leave it out"))
        if event.tag is not None:
            told.append((line, f"has a tag ({one_line(event.tag)}): write the plain value"))
        if isinstance(event, yaml.ScalarEvent):
            return None if event.implicit[0] and event.value in _NULL else event.value, line
        if depth == _DEEPEST:
            raise Unreadable(line, f"is nested more than {_DEEPEST} deep: flatten it")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(told, depth), line
        items = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, told, depth + 1))
        return items, line

    def _mapping(self, told: _Findings, depth: int) -> dict[str, Node]:
        yaml = self._yaml
        found: dict[str, Node] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            word = event.value if isinstance(event, yaml.ScalarEvent) else None
            inner = self._findings if depth == 0 and word == SECTION else told
            _, line = self._node(event, inner, depth + 1)
            value, _ = self._node(self._next(), inner, depth + 1)
            if word is None:
                inner.append((line, "has a key that is no word: write it as key: value"))
            elif word == "<<":
                inner.append((line, "has a merge key (<<): write the settings out"))
            elif word in found:
                before = found[word][1]
                inner.append((line, f"{one_line(word)} stands here and in line {before}: keep one"))
            else:
                found[word] = value, line
        return found


_WORD = r"""(?:[\w-]+|"[^"\\]*"|'[^']*')"""
_WORDS = rf"({_WORD}(?:\s*\.\s*{_WORD})*)"
_HEADER = re.compile(rf"\s*\[\[?\s*{_WORDS}\s*\]")
_KEY = re.compile(rf"\s*{_WORDS}\s*=")
_QUOTES = re.compile(r'"""|' + r"'''")
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def _toml_top(text: str) -> dict[str, Node]:
    """The keys at the top of a TOML file, with lines: of a key, or of what it stands in."""
    import tomllib

    try:
        top = tomllib.loads(text)
        lines = _toml_lines(text)
        return {key: _toml_node(value, (key,), lines) for key, value in top.items()}
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        problem = one_line(_PLACE.sub("", str(error)))
        line = int(place[1]) if place and place[1] else _last_line(text) if place else None
        told = f"is not TOML: {problem}; check quotes, brackets and = there"
        raise Unreadable(line, told) from None
    except ValueError as error:  # A number of thousands of digits.
        told = f"is not TOML: {one_line(error)}; write a smaller number"
        raise Unreadable(None, told) from None
    except RecursionError:
        raise Unreadable(None, "is nested too deep: flatten it") from None


def _toml_node(value: Any, path: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> Node:
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
    if path[0] != SECTION:  # Whatever it is, it is the program's.
        return None, line
    if isinstance(value, dict):
        return {key: _toml_node(one, (*path, key), lines) for key, one in value.items()}, line
    if isinstance(value, list):
        return [_toml_node(one, path, lines) for one in value], line
    return str(value).lower() if isinstance(value, bool) else str(value), line


def _toml_lines(text: str) -> dict[tuple[str, ...], int]:
    """The first line of each header and key by its path, outside texts of several lines."""
    found: dict[tuple[str, ...], int] = {}
    header: tuple[str, ...] = ()
    is_inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if not is_inside and (match := _HEADER.match(line)):
            header = _path(match[1])
            found.setdefault(header, number)
        elif not is_inside and (match := _KEY.match(line)):
            path = (*header, *_path(match[1]))
            for end in range(len(header) + 1, len(path) + 1):
                found.setdefault(path[:end], number)
        if len(_QUOTES.findall(line)) % 2:
            is_inside = not is_inside
    return found


def _path(words: str) -> tuple[str, ...]:
    return tuple(word.strip("\"'") for word in re.findall(_WORD, words))


def _last_line(text: str) -> int:
    return text.count("\n", 0, len(text) - 1) + 1


def schema() -> dict[str, Any]:
    """The JSON Schema of a file: what `memory` may hold; the rest is the program's."""
    section = _section("How much memory the process may use, and what it does about it.")
    for key, setting in SETTINGS.items():
        place = section
        *parents, name = key.split(".")
        for depth, parent in enumerate(parents):
            title = f"{'.'.join(parents[: depth + 1])}: settings, or null for the defaults."
            place = place["properties"].setdefault(parent, _section(title))
        place["properties"][name] = _property(setting)
    one = _section("Limits of the watched container of this name, or null for none.")
    one["properties"] = {word: _property(setting) for word, setting in OF_COMPONENTS.items()}
    named = "Watched containers by the names that the program gave them."
    section["properties"][COMPONENTS[:-1]] = {
        "description": named,
        "type": ["object", "null"],
        "additionalProperties": one,
    }
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
        "description": f"{setting.meaning}: {setting.kind.form}; null for the default; {again}.",
        "default": setting.write(setting.default),
        **setting.kind.schema,
    }
