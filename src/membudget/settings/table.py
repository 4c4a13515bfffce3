"""Every setting: its key, how its text is read, its default, and what it is.

One row a setting; everything else (environment names, checks, explanations) follows from it. What
stands under `components` is named by the program: `components.order_book.max_items`. These keys
have a row for what comes after the name, and no environment names, which could not tell it.
"""

from __future__ import annotations

from membudget.core import PART_MARKS, Marks, Record
from membudget.errors import ConfigError
from membudget.settings.kinds import (
    DIRECTORY,
    FILE,
    FOLDER,
    INTERVAL,
    LIFETIME,
    LIMIT,
    MARK,
    NUMBER,
    PATTERNS,
    PLACES,
    RATE,
    SHARE,
    SIZE,
    SPELL,
    SWITCH,
    TIME,
    Kind,
    count,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

PREFIX = "MEMBUDGET_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
"""Names the settings file."""
PURE_VARIABLE = PREFIX + "PURE"
"""Asks for plain Python alone; no setting: it is read before there are any."""
LAUNCH_PREFIX = PREFIX + "LAUNCH"
"""Variables that start so are the launcher's own messages to the process it starts."""

MOST_SAMPLES = 2880
"""Ten days at five minutes: what is judged of them is as many as of three days, and a history
file with 200 parts a sample stays below the 64 MiB that are read back."""

COMPONENTS = "components."
"""The section whose keys begin with a name that the program gave: a watched container's."""


class Setting(Record):
    """One setting.

    Attributes:
        key: Its name with sections, as in "thresholds.low".
        default: The value where it is not set.
        kind: What it may be.
        meaning: What it is, in a few words.
        is_live: Whether a reload applies it to a budget that runs.
    """

    key: str
    default: Any
    kind: Kind
    meaning: str
    is_live: bool

    @property
    def variable(self) -> str:
        """Its environment variable: MEMBUDGET_THRESHOLDS_LOW; empty for what the program names."""
        if self.key.startswith(COMPONENTS):
            return ""
        return PREFIX + self.key.replace(".", "_").upper()

    @property
    def form(self) -> str:
        """What to write, in words: "a size such as 400MiB"."""
        return self.kind.form

    @property
    def is_list(self) -> bool:
        """Whether it holds several names."""
        return isinstance(self.default, tuple)

    def read(self, value: Any, *, name: str) -> Any:
        """The checked value of an argument, or of text from the environment or a file.

        Raises:
            ConfigError: It does not fit; the message calls it `name`.
        """
        absent = self.kind.absent
        if absent is not None and (value is None or value == absent):
            return None
        if isinstance(value, str) and len(value) > self.kind.longest:
            told = f"{value[:20]!r}... of {len(value)} characters"
            raise ConfigError(f"{name} {told} is too long: give {self.form}")
        return self.kind.read(value, name=name)

    def write(self, value: Any) -> Any:
        """A checked value as a file would hold it: "400MiB", true, a list of names."""
        return self.kind.absent if value is None else self.kind.write(value)


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Advice for a word that is not known: the nearest one that is, or where all are told.

    Args:
        word: Without the prefix, which would make all look alike.
        known: Likewise.
        prefix: Shown before the nearest.
    """
    import difflib  # only an error needs it

    near = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.5)
    if near:
        return f"did you mean {prefix}{near[0]}?"
    return "`membudget config explain` shows all there are"


def _row(key: str, default: Any, kind: Kind, meaning: str) -> tuple[str, Setting]:
    return key, Setting(key=key, default=default, kind=kind, meaning=meaning, is_live=False)


def _live(key: str, default: Any, kind: Kind, meaning: str) -> tuple[str, Setting]:
    return key, Setting(key=key, default=default, kind=kind, meaning=meaning, is_live=True)


_PARTS = ("rss", "native")
_MARKS = Marks()

SETTINGS: dict[str, Setting] = dict(
    (
        _live("limit", None, LIMIT, "bytes to keep within; auto finds them"),
        _row("strict", False, SWITCH, "no budget at all where it cannot be kept as asked"),
        _live("thresholds.low", _MARKS.low, MARK, "where a cleanup is content"),
        _live("thresholds.warning", _MARKS.warning, MARK, "WARNING begins"),
        _live("thresholds.critical", _MARKS.critical, MARK, "CRITICAL begins"),
        _live("thresholds.emergency", _MARKS.emergency, MARK, "EMERGENCY begins"),
        _live("thresholds.shutdown", _MARKS.shutdown, MARK, "protection attempts begin"),
        *(
            _live(f"thresholds.{part}.{mark}", None, MARK, f"{mark.upper()} by {part} alone")
            for part in _PARTS
            for mark in PART_MARKS
        ),
        _live("monitoring.check_interval", None, INTERVAL, "between two readings; adaptive"),
        _row("monitoring.snapshot_interval", 300.0, TIME, "between two samples kept"),
        _row("monitoring.history_size", 288, count(1, MOST_SAMPLES), "samples kept"),
        _row("monitoring.pressure_window", 10, count(2), "readings over which growth is taken"),
        _row("monitoring.history_file", None, FILE, "keeps the samples over a restart"),
        _row("leaks.enabled", True, SWITCH, "look for leaks in the samples"),
        _row("leaks.threshold_mb_per_hour", 10.0, NUMBER, "MiB an hour of the simple rule"),
        _row("leaks.min_duration", 7200.0, TIME, "watched before anything is said"),
        _row("leaks.min_samples", 24, count(2), "samples before anything is said"),
        _row("leaks.minimum_rate", 1 << 20, RATE, "growth not worth a word below it"),
        _row("leaks.census_every", 3600.0, TIME, "between looks at what grows, if one leaks"),
        _row("leaks.apply_proposals", False, SWITCH, "put proposals that tighten a bound in force"),
        _row("leaks.trace", None, SPELL, "traced for the line once a leak is sure; slow"),
        _row("leaks.gc_efficiency", 0.10, SHARE, "freed by collections: garbage explains growth"),
        _row("caches.size_limit", None, MARK, "all caches together; else what is left"),
        _row("caches.max_entries", None, count(1), "of a budget.cache() that is given no bound"),
        _row("caches.ttl", None, LIFETIME, "of a budget.cache() that is given none"),
        _row("caches.cleanup_interval", 600.0, TIME, "between two sweeps of the expired"),
        _row("caches.adopt", (), PLACES, "caches of the program to shrink as well"),
        _row("caches.spare", (), PATTERNS, "caches found in the program never to touch; * is all"),
        _row("cleanup.auto", True, SWITCH, "reclaim, or only watch and tell"),
        _live("cleanup.settle", 5.0, TIME, "for freed memory to show"),
        _row("cleanup.cooldown", 60.0, TIME, "between two full collections"),
        _row("cleanup.gc_time_share", 0.05, SHARE, "of the time for full collections"),
        _row("cleanup.gc_above", 500 << 20, SIZE, "to collect unasked from; if set, however long"),
        _live("emergency.protection", True, SWITCH, "try everything at the shutdown mark"),
        _live("emergency.max_attempts", 3, count(1), "attempts before the last resort"),
        _live("emergency.cooldown", 60.0, TIME, "between two attempts"),
        _live("emergency.restart_after", 300.0, TIME, "at NORMAL until attempts count anew"),
        _live("emergency.dump", True, SWITCH, "write down the state at the last resort"),
        _live("emergency.exit", False, SWITCH, "end the process in good order at the last resort"),
        _row("brake", False, SWITCH, "arm the brake: a MemoryError instead of being killed"),
        _row("report.directory", None, FOLDER, "where a report is written every 24 hours"),
        _row("agent.directory", "auto", DIRECTORY, "where the processes of one host meet"),
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
    """The setting of a key that was resolved.

    Raises:
        KeyError: There is none.
    """
    return setting_of(key) or SETTINGS[key]


def advice_for(key: str, known: Iterable[str] = ()) -> str:
    """What would be right in the place of a key that `setting_of` does not know.

    Args:
        key: As it was given.
        known: What may stand there beside the settings.
    """
    if f"{key}.".startswith(COMPONENTS):
        return f"write {COMPONENTS}NAME with {' and '.join(OF_COMPONENTS)} under it"
    return nearest(key, [*SETTINGS, *known])
