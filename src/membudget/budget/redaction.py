"""What a program lets be told of its own texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.governor.telling import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Callable


def fenced(
    redact: Callable[[str], object], failed: Callable[[str, BaseException], object]
) -> Callable[[str], str]:
    """The program's own redaction, which may fail: then nothing of the text is told.

    Args:
        redact: Takes a text and returns what may be told of it.
        failed: Takes what it raised.
    """

    def redacted(text: str) -> str:
        try:
            told = redact(text)
            if isinstance(told, str):
                return told
            raise TypeError(f"redact returned a {type(told).__name__}: return the text to tell")
        except FOREIGN as error:  # foreign code
            failed("redact", error)
            return f"<{len(text)} characters>"

    return redacted
