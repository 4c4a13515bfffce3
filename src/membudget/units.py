"""Text with units to plain numbers and back: "400MiB" ↔ bytes, "30s" ↔ seconds, "80%" ↔ 0.8.

A bare number is refused in text: whether "400" means bytes or megabytes cannot be guessed.
"""

from __future__ import annotations

import sys
from binascii import crc32

from membudget.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Any, TypeAlias

    Duration: TypeAlias = float | str | timedelta  # Seconds, or text such as "30s".

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

MOST_BYTES = (1 << 63) - 1  # The largest size: what the kernel and a slot can write down.
MOST_SECONDS = 1000 * 365.25 * 86400  # The longest time: a thousand years.
LONGEST_NAME = 200  # Characters of a name.
_LONGEST_TEXT = 100
_LONGEST_SHOWN = 60

_BINARY = {"KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": 1 << 40}
_SHOWN = {**_BINARY, "PiB": 1 << 50, "EiB": 1 << 60}  # What a figure for people may come to.
_DECIMAL = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
# Kubernetes writes Ki, Mi, Gi; a lone M is decimal there and binary in Docker, hence refused.
_SHORT = {name.removesuffix("B"): size for name, size in _BINARY.items()}
_BYTES = {name.lower(): size for name, size in {"B": 1, **_BINARY, **_DECIMAL, **_SHORT}.items()}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz%"


def parse_bytes(text: str, *, name: str = "size") -> int:
    """The bytes that a text such as "400MiB", "1.5 GB" or "64Mi" stands for.

    B, KiB to TiB (powers of 1024) or KB to TB (of 1000), above zero and below 8 EiB; anything else
    is a ConfigError, which calls it `name`, as for all that follow.
    """
    number, unit = _split(text, name, "400MiB")
    scale = _BYTES.get(unit.lower())
    if scale is None:
        rule = f"has an unknown unit {unit!r}: use B, KiB, MiB, GiB, TiB, KB, MB, GB or TB"
        if not unit:
            rule = f"has no unit: write {number:g}MiB (or KiB, GiB, MB, GB)"
        raise ConfigError(f"{name} {_shown(text)} {rule}")
    size = round(number * scale)
    if size <= 0:
        raise ConfigError(f'{name} {_shown(text)} is not above zero: write a size such as "400MiB"')
    if size > MOST_BYTES:
        raise ConfigError(f'{name} {_shown(text)} is not below 8 EiB: write one such as "400MiB"')
    return size


def parse_seconds(text: str, *, name: str = "time") -> float:
    """The seconds that a text such as "250ms", "30s", "5m", "1h" or "2d" stands for."""
    number, unit = _split(text, name, "30s")
    scale = _SECONDS.get(unit.lower())
    if scale is None:
        what = f"has an unknown unit {unit!r}" if unit else "has no unit"
        raise ConfigError(f'{name} {_shown(text)} {what}: use ms, s, m, h or d, as in "30s"')
    seconds = number * scale
    if seconds <= 0:
        raise ConfigError(f'{name} {_shown(text)} is not above zero: write a time such as "30s"')
    if seconds > MOST_SECONDS:
        raise ConfigError(f'{name} {_shown(text)} is over 1000 years: write a time such as "30s"')
    return seconds


def parse_fraction(text: str, *, name: str = "share") -> float:
    """The fraction, above 0 and at most 1, that a text such as "80%" stands for."""
    number, unit = _split(text, name, "80%")
    if unit != "%":
        raise ConfigError(f'{name} {_shown(text)} has no percent sign: write it as "80%"')
    if not 0 < number <= 100:  # noqa: PLR2004  # a percentage's own bounds
        raise ConfigError(f"{name} {_shown(text)} is not a share: give one above 0% and up to 100%")
    return number / 100


def parse_mark(text: str, *, name: str = "threshold") -> float | int:
    """A mark from text: a share ("80%", a float) or a size ("500MiB", an int)."""
    return parse_fraction(text, name=name) if "%" in text else parse_bytes(text, name=name)


def as_bytes(value: int | str, *, name: str = "size") -> int:
    """The bytes of an argument: an int is bytes already, a text needs its unit."""
    if isinstance(value, str):
        return parse_bytes(value, name=name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(
            f'{name} {_shown(value)} is not a size: give bytes as an int, or "400MiB"'
        )
    if 0 < value <= MOST_BYTES:
        return value
    rule = "above zero" if value <= 0 else "below 8 EiB"
    raise ConfigError(f'{name} {_shown(value)} is not {rule}: give bytes as an int, or "400MiB"')


def as_seconds(value: Duration, *, name: str = "time") -> float:
    """The seconds of an argument: a number or a timedelta has them, a text needs its unit."""
    if isinstance(value, str):
        return parse_seconds(value, name=name)
    if (datetime := sys.modules.get("datetime")) and isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f'{name} {_shown(value)} is not a time: give seconds, or "30s"')
    if not 0 < value <= MOST_SECONDS:
        rule = "is over 1000 years" if value > 0 else "is not above zero"
        raise ConfigError(f'{name} {_shown(value)} {rule}: give seconds, or "30s"')
    return float(value)


def format_bytes(size: int) -> str:
    """A size as exact text: `parse_bytes(format_bytes(n)) == n` for every n it can read."""
    size = max(-MOST_BYTES, min(size, MOST_BYTES))
    found = [
        f"{size // scale}{unit}"
        for units in (_BINARY, _DECIMAL)
        for unit, scale in reversed(units.items())
        if size and size % scale == 0
    ]
    # The one of fewest digits; of two alike the larger unit, and a binary one.
    return min(found, key=lambda text: len(text.rstrip("iB")), default=f"{size}B")


def human_bytes(size: float) -> str:
    """A size for people, rounded to about three figures: "381 MiB", "1.21 GiB"."""
    if not abs(size) <= MOST_BYTES:  # No number, or none that a size can be.
        return "? B"
    size = round(size)
    for unit, scale in reversed(_SHOWN.items()):
        if abs(size) >= scale:
            number = size / scale
            digits = 0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2  # noqa: PLR2004
            return f"{number:.{digits}f} {unit}"
    return f"{size} B"


def signed(size: float) -> str:
    """A change of a size with its sign: "+12.0 MiB"."""
    return f"{'-' if size < -0.5 else '+'}{human_bytes(abs(size))}"  # noqa: PLR2004  # a byte


def format_seconds(seconds: float) -> str:
    """A time as exact text: `parse_seconds(format_seconds(t)) == t` for every t it can read."""
    seconds = max(-MOST_SECONDS, min(seconds, MOST_SECONDS))
    return f"{seconds!r}s" if seconds % 1 else f"{int(seconds)}s"


def human_span(low: float, high: float) -> str:
    """Two sizes with their unit: "11.0 to 12.9 MiB"."""
    first, last = (human_bytes(one).split() for one in (low, high))
    if first[1] == last[1]:
        return f"{first[0]} to {last[0]} {last[1]}"
    return f"{' '.join(first)} to {' '.join(last)}"


def human_seconds(seconds: float) -> str:
    """A time for people: "0.4 ms", "12 s", "19 min", "5.2 h", "3.1 d"; no time is below 0."""
    if not seconds <= MOST_SECONDS:  # No number, or none that a time can be.
        return "? s"
    for unit, scale in (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= scale:
            number = seconds / scale
            return f"{number:.{0 if number >= 10 else 1}f} {unit}"  # noqa: PLR2004
    if seconds < 0.00005:  # noqa: PLR2004  # what would be shown as 0.0 ms
        return "0 s"
    return f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms"  # noqa: PLR2004


def until_limit(seconds: float, over: int = 0) -> str:
    """When the limit is met, or that use is `over` it: "limit in 6.3 s", "over the limit"."""
    if seconds <= 0:
        return "over the limit" if over > 0 else "at the limit"
    if seconds < 1:
        return "reaches the limit within a second"
    return f"limit in {human_seconds(seconds)}"


def wrapped(text: str, width: int, **how: Any) -> list[str]:
    """What `textwrap.wrap` makes of it, with no figure on another line than its unit."""
    import re  # only for what people read
    from textwrap import wrap

    whole = re.sub(r"(?<=\d) (?=(?:[KMGTPE]?i?B|ms|s|min|h|d|%)(?![\w%]))", "\xa0", text)
    return [line.replace("\xa0", " ") for line in wrap(whole, width, **how)]


def printable(line: str) -> str:
    """A line with what is not printable in it written as Python would write it in a string."""
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


def one_line(text: object, most: int = 80) -> str:
    """Text from anywhere fit for a line: printable, its blanks single, and not long.

    Names, errors and what other processes answer go through this once, where they leave the
    process.
    """
    try:
        whole = str(text)
    except Exception:  # noqa: BLE001  # an error's own method, which is not ours
        whole = f"a {type(text).__name__} without words"
    part = whole[: 4 * most]  # It may be a gigabyte.
    words = printable(" ".join(part.split()))
    is_whole = len(words) <= most and len(part) == len(whole)
    return words if is_whole else f"{words[: most - 3]}..."


def checked_name(name: object, what: str) -> str:
    """A name as a program gives it: printable, and at most 200 characters; else a ConfigError.

    `what` tells what is named, and after what: "a container after what it holds".
    """
    if not isinstance(name, str) or not name:
        rule = f"is not a text: name {what}"
    elif len(name) > LONGEST_NAME:
        rule = f"has {len(name):,} characters, and {LONGEST_NAME} are the most: name {what}"
        name = name[:LONGEST_NAME]
    elif not name.isprintable():
        odd = next(one for one in name if not one.isprintable())
        rule = f"has the character {odd!a}, which no line can show: leave it out"
    else:
        return name
    raise ConfigError(f"the name {_shown(name)} {rule}")


def found_name(name: str) -> str:
    """A name that was found and not given, as `checked_name` takes it."""
    if len(name) <= LONGEST_NAME and name.isprintable():
        return name
    # What tells it from others may lie in the part that is left out.
    code = crc32(name.encode("utf-8", "surrogatepass"))
    return f"{one_line(name, LONGEST_NAME - 9)} {code:08x}"


def how_many(count: int, what: str = "sample") -> str:
    """A number of things in words: "1 sample", "1,200 samples"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def format_fraction(share: float) -> str:
    """A share as text: 0.8 is "80%"."""
    return f"{share * 100:.12g}%"


def format_mark(mark: float) -> str:
    """A mark as text: bytes are an int, a share is a float."""
    return format_bytes(mark) if isinstance(mark, int) else format_fraction(mark)


def _split(text: str, name: str, example: str) -> tuple[float, str]:
    words = text.strip() if len(text) <= _LONGEST_TEXT else ""
    number = words.rstrip(_UNIT_LETTERS)
    unit, number = words[len(number) :], number.rstrip()
    if not _is_number(number):
        raise ConfigError(
            f'{name} {_shown(text)} is not a number with a unit: write it as "{example}"'
        )
    digits = number.replace("_", "")
    # Whole numbers stay whole: a float loses bytes from 8 PiB on.
    return float(digits) if "." in digits else int(digits), unit


def _is_number(text: str) -> bool:
    """Whether it is digits, with underscores between them, a point and a sign, and nothing else."""
    whole, _, part = (text[1:] if text[:1] in ("+", "-") else text).partition(".")
    if not whole:
        return part.isdecimal()
    is_whole = whole[0].isdecimal() and whole.replace("_", "").isdecimal()
    return is_whole and (not part or part.isdecimal())


def _shown(value: object) -> str:
    """A value as it stands in an error: one line, and not long."""
    try:
        words = repr(value).replace("\n", " ")
    except ValueError:  # An int of more digits than Python writes.
        return f"of type {type(value).__name__} with thousands of digits"
    return words if len(words) <= _LONGEST_SHOWN else f"{words[:_LONGEST_SHOWN]}..."
