"""Names from anywhere, made harmless in HTML."""

from __future__ import annotations

_HARMLESS = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "`": "&#96;"}
)


def escaped(text: object) -> str:
    """The text for an element or an attribute in quotes; what HTML cannot hold becomes "?"."""
    words = "".join(
        letter if letter.isprintable() or letter in "\n\t" else "?" for letter in str(text)
    )
    return words.translate(_HARMLESS)
