"""Every setting: its key, how its text is read, its default, and what it is; all else follows.

Keys under `components` are named by the program (`components.order_book.max_items`): they have a
row for what comes after the name, and no environment names. In text a number without its unit is
refused; as a Python value it is bytes or seconds.
"""

from __future__ import annotations

from membudget.core import PART_MARKS, Marks, Record
from membudget.errors import ConfigError
from membudget.units import (
    MIB,
    as_bytes,
    as_seconds,
    format_bytes,
    format_fraction,
    format_mark,
    format_seconds,
    parse_fraction,
    parse_mark,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class Kind(Record):
    """One kind of value."""

    form: str  # What to write, in words: "a size such as 400MiB".
    read: Callable[..., Any]  # Checks a value and reads it from text; raises ConfigError.
    schema: dict[str, Any]  # JSON Schema's words of it; refuses no file that `read` accepts.
    write: Callable[[Any], Any] = lambda value: value  # A checked value as a file would hold it.
    longest: int = 64  # Characters of a text: the interpreter refuses numbers of thousands.
    absent: str | None = None  # The word that stands for None.


_BARE = r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)"
_BARE_SHARE = r"0?\.\d+|1\.0*"
_NUMBER = r"\s*\+?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)\s*"
_SIZE_TEXT = _NUMBER + r"([KkMmGgTt]([Ii][Bb]?|[Bb])|[Bb])\s*"
_TIME_TEXT = _NUMBER + r"([Mm][Ss]|[SsMmHhDd])\s*"
_SHARE_TEXT = _NUMBER + r"%\s*"
_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
# Files of YAML 1.1 say yes and on, which editors of today take for text.
_SWITCH_TEXT = "|".join(
    "".join(f"[{letter.upper()}{letter}]" for letter in word) for word in _SWITCH
)

LONGEST_TRACE = 900.0  # Seconds that a window of tracing may be open.


def _text_like(*patterns: str) -> dict[str, Any]:
    return {"type": ["string", "null"], "pattern": f"^({'|'.join(patterns)})$"}


def _refused(name: str, value: Any, why: str) -> ConfigError:
    return ConfigError(f"{name} {value!r:.80} {why}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _mark(value: Any, *, name: str) -> float | int:
    if isinstance(value, str):
        import re  # only for marks as text

        number = value.strip()
        if re.fullmatch(_BARE_SHARE, number):
            share = format_fraction(float(number))
            raise _refused(name, value, f'has no unit: write a share as "{share}"')
        if re.fullmatch(_BARE, number):
            raise _refused(name, value, 'has no unit: write "80%" of the limit, or "400MiB"')
        return parse_mark(value, name=name)
    if not _is_number(value):
        raise _refused(name, value, 'is neither a share nor a size: give "80%" or "400MiB"')
    if not value > 0 or (isinstance(value, float) and value > 1):
        rule = 'give a share above 0 and up to 1.0, bytes above 0, or write "80%"'
        raise _refused(name, value, f"is out of range: {rule}")
    found: float | int = value
    return found


def _limit(value: Any, *, name: str) -> int:
    size = as_bytes(value, name=name)
    if size < MIB:  # No interpreter fits into that: MiB were meant.
        raise _refused(
            name, value, f'is {size} bytes: write "{size if isinstance(value, int) else 400}MiB"'
        )
    return size


def _portion(value: Any, *, name: str) -> float | int | str:
    return value if value == "equal" else _mark(value, name=name)


def _share(value: Any, *, name: str) -> float:
    if isinstance(value, str):
        return parse_fraction(value, name=name)
    if not _is_number(value) or not 0 < value <= 1:
        raise _refused(name, value, 'is not a share: give 0.05 or "5%"')
    return float(value)


def _spell(value: Any, *, name: str) -> float | None:
    if value is False:
        return None
    try:
        seconds = as_seconds(value, name=name)
    except ConfigError as error:
        raise ConfigError(f"{error}, or off") from None
    if seconds > LONGEST_TRACE:
        why = f"give up to {format_seconds(LONGEST_TRACE)}, or off"
        raise _refused(name, value, f"is too long: the process is slower all that time; {why}")
    return seconds


def _switch(value: Any, *, name: str) -> bool:
    word = str(value).strip().lower()
    if word not in _SWITCH:
        raise _refused(name, value, "is not a switch: use true or false")
    return _SWITCH[word]


def _number(value: Any, *, name: str) -> float:
    number = value
    if isinstance(value, str):
        import re  # only for numbers as text

        if re.fullmatch(_NUMBER, value):
            number = float(value)
    if not _is_number(number) or not number >= 0:
        raise _refused(name, value, "is not a number: give one from 0 on, such as 10")
    return float(number)


def _rate(value: Any, *, name: str) -> int:
    if not isinstance(value, str):
        return as_bytes(value, name=name)
    size, slash, hour = value.partition("/")
    if not slash or hour.strip().lower() != "h":
        raise _refused(name, value, 'is not a rate: give bytes an hour as in "1MiB/h"')
    return as_bytes(size, name=name)


def _names(value: Any, *, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")] if value.strip() else []
    if not isinstance(value, (list, tuple)):
        raise _refused(name, value, 'is not a list: give names as in ["a", "b"] or "a, b"')
    for one in value:
        if not isinstance(one, str) or not one.strip():
            raise _refused(name, one, "is not a name: give text that is not empty")
    return tuple(value)


def _places(value: Any, *, name: str) -> tuple[str, ...]:
    found = _names(value, name=name)
    for one in found:
        module, colon, attribute = one.partition(":")
        if not colon or not all(map(str.isidentifier, f"{module}.{attribute}".split("."))):
            raise _refused(name, one, "is not a cache's place: write it as module:NAME")
    return found


def count(least: int, most: int | None = None) -> Kind:
    """Whole numbers from `least` on, up to `most` where there is one."""
    rule = f">= {least}" if most is None else f"from {least} to {most:,}"

    def read(value: Any, *, name: str) -> int:
        number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
        is_whole = isinstance(number, int) and not isinstance(number, bool)
        if not is_whole or number < least or (most is not None and number > most):
            raise _refused(name, value, f"is not a count: give a whole number {rule}")
        return int(number)

    return Kind(
        form=f"a whole number {f'from {least} on' if most is None else rule}",
        read=read,
        schema={
            "type": ["integer", "string", "null"],
            "minimum": least,
            "pattern": r"^\s*[0-9]+\s*$",
            **({} if most is None else {"maximum": most}),
        },
    )


def _path(what: str, *words: str, absent: str | None = None) -> Kind:
    """Absolute paths, or one of these words instead."""
    form = f"{', '.join(words)} or a path from"

    def read(value: Any, *, name: str) -> str:
        is_path = isinstance(value, str) and value.startswith("/") and "\0" not in value
        if is_path or value in words:
            return str(value)
        raise _refused(name, value, f'is not a {what}: use {form} "/" on')

    schema = _text_like(*words, r"/[^\0]*")
    return Kind(form=f"{form} / on", read=read, schema=schema, longest=_LONG_TEXT, absent=absent)


def _list(form: str, read: Callable[..., Any], pattern: str) -> Kind:
    items = {"type": "array", "items": {"type": "string", "pattern": pattern}}
    schema = {"anyOf": [{"type": ["string", "null"]}, items]}
    return Kind(form=form, read=read, schema=schema, write=list, longest=_LONG_TEXT)


def _text(form: str, read: Callable[..., Any], write: Callable[[Any], Any], *like: str) -> Kind:
    return Kind(form=form, read=read, schema=_text_like(*like), write=write)


_LONG_TEXT = 1 << 16

SIZE = _text("a size such as 400MiB", as_bytes, format_bytes, _SIZE_TEXT)
LIMIT = SIZE.replace(
    read=_limit,
    form="a size such as 400MiB, or auto",
    schema=_text_like("auto", _SIZE_TEXT),
    absent="auto",
)
MARK = _text(
    "a share such as 80%, or a size such as 400MiB", _mark, format_mark, _SHARE_TEXT, _SIZE_TEXT
)
PORTION = MARK.replace(
    form="auto, equal, a share such as 20%, or a size such as 100MiB",
    read=_portion,
    write=lambda value: value if value == "equal" else format_mark(value),
    schema=_text_like("auto", "equal", _SHARE_TEXT, _SIZE_TEXT),
    absent="auto",
)
SHARE = _text("a share such as 5%", _share, format_fraction, _SHARE_TEXT)
TIME = _text("a time such as 30s", as_seconds, format_seconds, _TIME_TEXT)
LIFETIME = TIME.replace(form="a time such as 5m, or null")
INTERVAL = TIME.replace(
    form="a time such as 30s, or adaptive",
    schema=_text_like("adaptive", _TIME_TEXT),
    absent="adaptive",
)
SPELL = TIME.replace(
    form=f"a time such as 60s, up to {format_seconds(LONGEST_TRACE)}, or off",
    read=_spell,
    schema=_text_like("off", _TIME_TEXT),
    absent="off",
)
RATE = _text(
    "a rate such as 1MiB/h",
    _rate,
    lambda value: f"{format_bytes(value)}/h",
    _SIZE_TEXT + r"/\s*[Hh]\s*",
)
SWITCH = Kind(
    form="true or false",
    read=_switch,
    schema={
        "anyOf": [
            {"type": ["boolean", "null"]},
            {"enum": [0, 1]},
            {"type": "string", "pattern": rf"^\s*({_SWITCH_TEXT})\s*$"},
        ]
    },
)
NUMBER = Kind(
    form="a number such as 10",
    read=_number,
    schema={"type": ["number", "string", "null"], "minimum": 0, "pattern": f"^({_NUMBER})$"},
)
DIRECTORY = _path("place", "auto", "none")
FOLDER = _path("folder", "none", absent="none")
FILE = _path("file", "none", absent="none")
PATTERNS = _list('names or patterns, as in ["prices", "tmp_*"]', _names, r"\S")
PLACES = _list('places of caches, as in ["app.views:cache"]', _places, r"^[^\s:]+:[^\s:]+$")

PREFIX = "MEMBUDGET_"
CONFIG_VARIABLE = PREFIX + "CONFIG"  # Names the settings file.
PURE_VARIABLE = PREFIX + "PURE"  # Asks for plain Python alone, before there are settings.
LAUNCH_PREFIX = PREFIX + "LAUNCH"  # Begins what the launcher tells the process it starts.

MOST_SAMPLES = 2880  # Ten days at five minutes: a file of them is below 64 MiB with 200 parts each.
COMPONENTS = "components."  # Keys with a name that the program gave: a watched container's.


class Setting(Record):
    """One setting."""

    key: str  # Its name with sections, as in "thresholds.low".
    default: Any  # The value where it is not set.
    kind: Kind  # What it may be.
    meaning: str  # What it is, in a few words.
    is_live: bool  # Whether a reload applies it to a budget that runs.

    @property
    def variable(self) -> str:
        """Its environment variable: MEMBUDGET_THRESHOLDS_LOW; empty for what the program names."""
        if self.key.startswith(COMPONENTS):
            return ""
        return PREFIX + self.key.replace(".", "_").upper()

    def read(self, value: Any, *, name: str) -> Any:
        """The checked value of an argument or a text, or a ConfigError that calls it `name`."""
        absent = self.kind.absent
        if absent is not None and (value is None or value == absent):
            return None
        if isinstance(value, str) and len(value) > self.kind.longest:
            told = f"{value[:20]!r}... of {len(value)} characters"
            raise ConfigError(f"{name} {told} is too long: give {self.kind.form}")
        return self.kind.read(value, name=name)

    def write(self, value: Any) -> Any:
        """A checked value as a file would hold it: "400MiB", true, a list of names."""
        return self.kind.absent if value is None else self.kind.write(value)


def nearest(
    word: str, known: Iterable[str], prefix: str = "", where: str = "membudget config explain"
) -> str:
    """Advice for a word that is not known: the nearest of those known, or where all are told."""
    import difflib  # only an error needs it

    near = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.5)
    if near:
        return f"did you mean {prefix}{near[0]}?"
    return f"`{where}` shows all there are"


def _row(key: str, default: Any, kind: Kind, meaning: str) -> tuple[str, Setting]:
    return key, Setting(key=key, default=default, kind=kind, meaning=meaning, is_live=False)


def _live(key: str, default: Any, kind: Kind, meaning: str) -> tuple[str, Setting]:
    return key, Setting(key=key, default=default, kind=kind, meaning=meaning, is_live=True)


_MARKS = Marks()

SETTINGS: dict[str, Setting] = dict(
    (
        _live("limit", None, LIMIT, "memory the process may use; auto finds the limit"),
        _row("strict", False, SWITCH, "start no budget where it cannot be kept as asked"),
        _live("thresholds.low", _MARKS.low, MARK, "where freeing stops and the level is NORMAL"),
        _live("thresholds.warning", _MARKS.warning, MARK, "use at which WARNING begins"),
        _live("thresholds.critical", _MARKS.critical, MARK, "use at which CRITICAL begins"),
        _live("thresholds.emergency", _MARKS.emergency, MARK, "use at which EMERGENCY begins"),
        _live("thresholds.shutdown", _MARKS.shutdown, MARK, "use at which the last attempts begin"),
        *(
            _live(f"thresholds.{part}.{mark}", None, MARK, f"{part} at which {mark.upper()} begins")
            for part in ("rss", "native")
            for mark in PART_MARKS
        ),
        _live("monitoring.check_interval", None, INTERVAL, "time between two readings"),
        _row("monitoring.snapshot_interval", 300.0, TIME, "time between two samples that are kept"),
        _row("monitoring.history_size", 288, count(1, MOST_SAMPLES), "how many samples are kept"),
        _row("monitoring.pressure_window", 10, count(2), "readings that growth is taken over"),
        _row("monitoring.history_file", None, FILE, "file that keeps the samples over a restart"),
        _row("leaks.enabled", True, SWITCH, "look for leaks in the samples"),
        _row("leaks.threshold_mb_per_hour", 10.0, NUMBER, "MiB an hour to hold growth against"),
        _row("leaks.min_duration", 7200.0, TIME, "time watched before a leak is told"),
        _row("leaks.min_samples", 24, count(2), "samples taken before a leak is told"),
        _row("leaks.minimum_rate", 1 << 20, RATE, "growth below which no leak is told"),
        _row("leaks.census_every", 3600.0, TIME, "time between looks at what grows in a leak"),
        _row("leaks.apply_proposals", False, SWITCH, "apply proposals that tighten a bound"),
        _row("leaks.trace", None, SPELL, "time traced for the line of a sure leak; slow"),
        _row("leaks.gc_efficiency", 0.10, SHARE, "share freed by collections that explains growth"),
        _row("caches.size_limit", None, MARK, "most of all caches together; unset: what is left"),
        _live("caches.share", None, PORTION, "most of this process's caches under a shared limit"),
        _row("caches.max_entries", None, count(1), "most entries of an unbounded budget.cache()"),
        _row("caches.ttl", None, LIFETIME, "lifetime where budget.cache() is given none"),
        _row("caches.cleanup_interval", 600.0, TIME, "between two removals of expired entries"),
        _row("caches.adopt", (), PLACES, "caches of the program to shrink as well"),
        _row("caches.spare", (), PATTERNS, "caches found in the program never to touch; * is all"),
        _row("cleanup.auto", True, SWITCH, "free memory, or only watch and tell"),
        _live("cleanup.settle", 5.0, TIME, "time in which freed memory has to show"),
        _row("cleanup.cooldown", 60.0, TIME, "least time between two full collections"),
        _row("cleanup.gc_time_share", 0.05, SHARE, "most of the time for full collections"),
        _row("cleanup.gc_above", 500 << 20, SIZE, "use to collect garbage from; set, however long"),
        _live("emergency.protection", True, SWITCH, "try everything at the shutdown threshold"),
        _live("emergency.max_attempts", 3, count(1), "attempts before the last resort"),
        _live("emergency.cooldown", 60.0, TIME, "least time between two attempts"),
        _live("emergency.restart_after", 300.0, TIME, "time at NORMAL until attempts count anew"),
        _live("emergency.dump", True, SWITCH, "write the state to standard error at last"),
        _live("emergency.exit", False, SWITCH, "end the process in good order at the last resort"),
        _row("brake", False, SWITCH, "refuse memory by a MemoryError before the kernel kills"),
        _row("report.directory", None, FOLDER, "folder where a report is written every 24 hours"),
        _row("agent.directory", "auto", DIRECTORY, "folder where a host's processes meet"),
    )
)

OF_COMPONENTS: dict[str, Setting] = dict(
    (
        _live("max_items", None, count(1), "the most items of a watched container"),
        _live("max_bytes", None, SIZE, "the most bytes of a watched container"),
    )
)
"""What may be set for each component, by the word after its name."""


def setting_of(key: str) -> Setting | None:
    """The setting of this key, also of a component's; None where there is none."""
    name, _, word = key.removeprefix(COMPONENTS).rpartition(".")
    is_name = bool(name.strip()) and name.isprintable()
    if key.startswith(COMPONENTS) and is_name and word in OF_COMPONENTS:
        return OF_COMPONENTS[word].replace(key=key)
    return SETTINGS.get(key)


def known_setting(key: str) -> Setting:
    """The setting of a key that was resolved."""
    return setting_of(key) or SETTINGS[key]


def advice_for(key: str, known: Iterable[str] = ()) -> str:
    """What would be right in the place of a key that `setting_of` does not know."""
    if f"{key}.".startswith(COMPONENTS):
        return f"write {COMPONENTS}NAME with {' and '.join(OF_COMPONENTS)} under it"
    from membudget.synonyms import setting_here  # only an error needs it

    return setting_here(key) or nearest(key, [*SETTINGS, *known])
