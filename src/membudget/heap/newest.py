"""The newest items of a container, in words that give little away.

Nothing foreign is asked for its `repr`: builtins of few bytes are shown shortened, all else by its
type. Values can be anybody's data, so texts are shown with their digits hidden, and what looks like
an address or a long token only by its length. `redact` replaces that.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from membudget.heap import raw

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 60
"""Characters of one item's text."""

_PLAIN = 24
"""Characters of a str that are shown."""

_TOKEN = 20
"""Letters and digits in a row that make a token."""

_FEW = 4
"""Items of a container that are told."""


def hidden(text: str) -> str:
    """A text with digits as #; one that looks like an address or a token only by its length."""
    run = longest = 0
    for letter in text:
        run = run + 1 if letter.isalnum() else 0
        longest = max(longest, run)
    if "@" in text or longest >= _TOKEN:
        return f"<{len(text)} characters>"
    return "".join("#" if letter.isdigit() else letter for letter in text)


def short(value: object, redact: Callable[[str], str] | None = None, deep: int = 1) -> str:
    """A value in at most 60 characters, without running foreign code. Cost: some microseconds.

    Args:
        value: Anything.
        redact: What each text of the program's is passed through; by default `hidden`.
        deep: How many containers are opened.
    """
    told = _short(value, redact or hidden, deep)
    return told if len(told) <= LONGEST else told[: LONGEST - 1] + "…"


def _short(value: object, redact: Callable[[str], str], deep: int) -> str:  # noqa: PLR0911  # one a kind
    kind = type(value)
    if kind is str:
        return _text(value, redact)  # type: ignore[arg-type]
    if raw.is_one_of(kind, (int, float, complex)):
        return _number(value, redact)
    if value is None or kind is bool:
        return str(value)
    if raw.is_one_of(kind, (bytes, bytearray)):
        return f"<{kind.__name__} of {len(value)}>"  # type: ignore[arg-type]
    builtin = raw.container_of(kind)
    if builtin is None:
        return f"<{raw.type_name(kind)}>"
    length = raw.LENGTHS[builtin](value)
    name = raw.type_name(kind)
    if not deep or kind is not builtin or length == 0:
        return f"<{name} of {length}>"
    inner = [_short(one, redact, deep - 1) for one in _first(value, builtin)]
    more = ", …" if length > len(inner) else ""
    return f"{name}({', '.join(inner)}{more})"


def _text(value: str, redact: Callable[[str], str]) -> str:
    if len(value) > _PLAIN:
        return f"<str of {len(value)}: {redact(value[:_PLAIN])}…>"
    return repr(redact(value))


def _number(value: object, redact: Callable[[str], str]) -> str:
    if type(value) is int and value.bit_length() > 64:  # noqa: PLR2004  # a long one may take long
        return f"<int of {value.bit_length()} bits>"
    return str(value) if redact is hidden else redact(str(value))


def _first(value: Any, builtin: type) -> list[Any]:
    found: list[Any] = []
    try:
        for one in builtin.__iter__(value):  # type: ignore[attr-defined]
            if len(found) == _FEW:
                break
            found.append(one)
    except RuntimeError:  # Changed meanwhile by another thread.
        pass
    return found


def newest_items(container: Any, most: int = 1) -> list[Any]:
    """The items put into a container last; a set has no order, so any. Cost: 1 µs.

    Args:
        container: One of the builtin containers, or of a type that derives from one.
        most: How many at most; a dict's values.
    """
    builtin = raw.container_of(type(container))
    found: list[Any] = []
    if builtin is None:
        return found
    if builtin in (list, tuple):
        return list(builtin.__getitem__(container, slice(-most, None)))[::-1]
    try:
        if builtin is dict:
            # Not by key: a look-up would call the key's own hash and comparison.
            newest_first: Any = reversed(dict.values(container))
        elif builtin is deque:
            newest_first = deque.__reversed__(container)
        else:
            newest_first = builtin.__iter__(container)  # type: ignore[attr-defined]
        found = list(islice(newest_first, most))
    except RuntimeError:  # Changed meanwhile.
        pass
    return found


def newest(container: Any, redact: Callable[[str], str] | None = None) -> str:
    """The type and shortened text of a container's newest item; a dict's with its key."""
    items = newest_items(container)
    if not items:
        return ""
    if raw.container_of(type(container)) is dict:
        key = next(reversed(dict.keys(container)), None)
        return f"{short(key, redact)}: {short(items[0], redact)}"
    return short(items[0], redact)
