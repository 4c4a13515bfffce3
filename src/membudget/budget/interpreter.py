"""What an interpreter's own command line does to a budget that starts before its program."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES = ("python", "pypy")
_VERSION = frozenset("0123456789.tdw")
"""What may follow: "python3.13t", "pythonw"."""

_CLOSING = {
    "-I": "ignores PYTHONPATH and the rest of the environment",
    "-E": "ignores PYTHONPATH and the rest of the environment",
    "-S": "leaves out what starts before the program (site)",
}
_WITH_ARGUMENT = "WX"
_ENDING = "cm"
_MATTERING = "EISPs"


def is_python(path: str) -> bool:
    """Whether a path's name, or what it leads to, is an interpreter's."""
    names = (os.path.basename(path), os.path.basename(os.path.realpath(path)))
    return any(_is_name(name.removesuffix(".exe")) for name in names)


def _is_name(name: str) -> bool:
    return any(name.startswith(one) and set(name[len(one) :]) <= _VERSION for one in _NAMES)


def flags_of(words: Sequence[str]) -> tuple[str, ...]:
    """Python's own flags that matter to us, from the words behind its name.

    Those behind the script, `-c` or `-m` are the program's.
    """
    return _parsed(words)[0]


def script_of(words: Sequence[str]) -> str | None:
    """The file that an interpreter is to run, from the words behind its name; None for others."""
    rest = _parsed(words)[1]
    return rest[0] if rest and rest[0] != "-" else None


def closed_by(flags: Sequence[str]) -> str | None:
    """The flag that keeps a budget out, and what it does; None where there is none."""
    flag = next((one for one in flags if one in _CLOSING), None)
    return None if flag is None else f"{flag}, which {_CLOSING[flag]}"


def _parsed(words: Sequence[str]) -> tuple[tuple[str, ...], Sequence[str]]:
    """The flags that matter, and what comes behind all flags; nothing behind `-c` and `-m`."""
    letters: list[str] = []
    position = 0
    while position < len(words) and words[position].startswith("-") and words[position] != "-":
        word = words[position]
        position += 1
        if word.startswith("--"):
            # The only one that takes a word of its own.
            position += word == "--check-hash-based-pycs"
            continue
        for index, letter in enumerate(word[1:], start=1):
            if letter in _ENDING:
                return tuple(letters), ()
            if letter in _WITH_ARGUMENT:
                position += index == len(word) - 1
                break
            if letter in _MATTERING:
                letters.append(f"-{letter}")
    return tuple(letters), words[position:]
