"""What files say, with the lines where they say it, and what is wrong there."""

from __future__ import annotations

from membudget.core import Record
from membudget.errors import ConfigError


class Located(Record):
    """A value of a file and its line.

    Attributes:
        value: Text as it was written, None for null, a list or a section of more of these.
        line: From 1 on; None where it is not known.
    """

    value: str | list[Located] | dict[str, Located] | None
    line: int | None


class Findings:
    """What is wrong with one file.

    Args:
        name: What the file is called in messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._found: list[tuple[int, ConfigError]] = []

    def add(self, line: int | None, message: str) -> None:
        """Note what is wrong in this line, or with the whole file."""
        error = ConfigError(f"{self.place(line)}: {message}")
        self._found.append((line or 0, error))

    def place(self, line: int | None) -> str:
        """The file and the line, as compilers write it."""
        return self.name if line is None else f"{self.name}:{line}"

    def in_order(self) -> tuple[ConfigError, ...]:
        """All that was found, by line."""
        return tuple(error for _, error in sorted(self._found, key=lambda found: found[0]))
