"""The top of a TOML file, with lines.

The standard parser gives no lines, so keys are looked for in the text: exact where a key stands
plainly under its header, else the line of what it stands in.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from membudget.settings.located import Located
from membudget.units import one_line

if TYPE_CHECKING:
    from membudget.settings.located import Findings

_WORD = r"""(?:[\w-]+|"[^"\\]*"|'[^']*')"""
_WORDS = rf"({_WORD}(?:\s*\.\s*{_WORD})*)"
_HEADER = re.compile(rf"\s*\[\[?\s*{_WORDS}\s*\]")
_KEY = re.compile(rf"\s*{_WORDS}\s*=")
_QUOTES = re.compile(r'"""|' + r"'''")
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def read_toml(text: str, section: str, findings: Findings) -> dict[str, Located] | None:
    """The keys at the top of a file; None where it is no TOML, which is noted.

    Args:
        text: Of the whole file.
        section: The one whose content is read; of the others, which belong to the program,
            only the line is kept.
        findings: Takes what is wrong.
    """
    try:
        top = tomllib.loads(text)
        lines = _lines(text)
        return {
            key: _located(value, (key,), lines)
            if key == section
            else Located(value=None, line=lines.get((key,)))
            for key, value in top.items()
        }
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        problem = one_line(_PLACE.sub("", str(error)))
        last = text.count("\n", 0, len(text) - 1) + 1
        line = int(place[1]) if place and place[1] else last if place else None
        findings.add(line, f"is not TOML: {problem}; check quotes, brackets and = there")
    except ValueError as error:  # A number of thousands of digits.
        findings.add(None, f"is not TOML: {one_line(error)}; write a smaller number")
    except RecursionError:
        findings.add(None, "is nested too deep: flatten it")
    return None


def _located(value: Any, path: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> Located:
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
    if isinstance(value, dict):
        inner = {key: _located(one, (*path, key), lines) for key, one in value.items()}
        return Located(value=inner, line=line)
    if isinstance(value, list):
        return Located(value=[_located(one, path, lines) for one in value], line=line)
    if isinstance(value, bool):
        return Located(value="true" if value else "false", line=line)
    return Located(value=str(value), line=line)


def _lines(text: str) -> dict[tuple[str, ...], int]:
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
