"""Settings of a hand-written manager, monitor or cache, as a file of ours.

One table tells by the words of a path which setting is meant; what it leaves out is asked of
`synonyms`. A suffix tells the unit of a number; where there is none, the number itself does. What
has no equivalent is told with what to do instead: nothing is lost in silence.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from membudget.core import MARK_NAMES, PART_MARKS, Record
from membudget.errors import ConfigError
from membudget.settings.foreign import leaves, read_foreign
from membudget.settings.table import (
    COMPONENTS,
    INTERVAL,
    LIFETIME,
    LIMIT,
    MARK,
    NUMBER,
    SETTINGS,
    SIZE,
    SWITCH,
    TIME,
    known_setting,
    setting_of,
)
from membudget.synonyms import OF_SETTINGS
from membudget.units import GIB, KIB, MIB, format_bytes, format_seconds, one_line, parse_bytes

if TYPE_CHECKING:
    from membudget.settings.table import Setting

Unit: TypeAlias = "tuple[str, float]"
"""What a number measures ("size", "time", "share"), and how many bytes, seconds or ones it is."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SINK = "a sink decides what is told, whom and how often: start(sinks=[...])"
_RESTART = "`membudget run --restart -- CMD` starts it again, --restart-delay says after what time"
_ALWAYS = "a running budget does so anyway: leave out start() where it should not"
_LOOKED = "a budget looks 1 to 50 times a second, as the situation asks"
_WATCH = 'budget.watch("NAME", it, max_items=N) tells of it, a BoundedDict or BoundedDeque keeps it'
_NONE = "no setting is like it; `membudget config explain` shows all there are"
_LEVEL = r"( (threshold|level|limit|memory|usage|mark|ratio))*$"
_EVERY = r"(interval|every|period|frequency)$"

_RULES = (
    (r"\b(alerts?|alerting|notif\w*|webhooks?|slack|channels?)\b", _SINK),
    (r"\bmodels?\b.*\b(cleanup|idle|timeout|ttl|unload)\b", OF_SETTINGS["model_cleanup_interval"]),
    (r"\b(log|logging)\b", OF_SETTINGS["logging"]),
    (r"\b(restart|shutdown) threshold$", "thresholds.shutdown"),
    (r"\bcooldowns? emergency$|\bemergency cooldown$", "emergency.cooldown"),
    (r"\bcooldowns? (cleanup|gc)$|\b(cleanup|gc)\b.*\bcooldown$", "cleanup.cooldown"),
    (r"\brestarts\b|\brestart (delay|cooldown|backoff|window|interval|attempts)", _RESTART),
    (r"\b(auto restart|restart|restart enabled|emergency (exit|shutdown|kill))$", "emergency.exit"),
    (r"\bemergency (attempts|retries|max retries)$", "emergency.max_attempts"),
    (r"\bemergency (enabled?|cleanup|protection)( enabled)?$", "emergency.protection"),
    *(
        (rf"\b({words})\b.*\b{mark}{_LEVEL}", f"thresholds.{part}.{ours}")
        for part, words in (("rss", "rss|heap|process"), ("native", "external|native|off heap"))
        for mark, ours in (
            ("(warn|warning|high)", "warning"),
            ("(critical|crit)", "critical"),
            ("(emergency|danger)", "emergency"),
        )
    ),
    (r"\bgc\b.*\binterval$", "cleanup.cooldown"),
    (rf"\b(warn|warning|high|soft){_LEVEL}", "thresholds.warning"),
    (rf"\b(critical|crit|hard){_LEVEL}", "thresholds.critical"),
    (rf"\b(emergency|danger|severe|panic){_LEVEL}", "thresholds.emergency"),
    (rf"\b(thresholds?|levels?|memory)\b.*\b(low|target|safe){_LEVEL}", "thresholds.low"),
    (r"\bleaks?\b.*\b(detection|detect|enabled)$", "leaks.enabled"),
    (r"\b(leaks?|growth)\b.*\b(threshold|rate)$", "leaks.threshold_mb_per_hour"),
    (r"\bleaks?\b.*\b(duration|window|period)$", "leaks.min_duration"),
    (r"\bleaks?\b.*\bsamples$", "leaks.min_samples"),
    (rf"\b(snapshots?|samples?|history) {_EVERY}", "monitoring.snapshot_interval"),
    (
        r"\b(history|retention|snapshots|samples)( (retention|length|size|limit|count|max))*$",
        "monitoring.history_size",
    ),
    (r"\bauto cleanup\b|\bcleanup (enabled?|auto|automatic)$", "cleanup.auto"),
    (rf"\b(caches?|cleanup|sweep|background)\b.*\b{_EVERY}", "caches.cleanup_interval"),
    (r"\bbackground cleanup$|^cleanup$", "caches.cleanup_interval"),
    (rf"\b(monitor\w*|check|poll\w*)\b.*\b{_EVERY}", "monitoring.check_interval"),
    (r"(?<!\bgc )\bthreshold$", "thresholds.warning"),
    (r"\bmax (memory|mem|ram|rss)( (usage|limit))?$|\b(memory|mem|rss) (limit|max)$", "limit"),
    (r"\b(monitor\w*|memory|manager|budget|gc) (enabled?|active)$", _ALWAYS),
    (r"\bmax (size|items|length|len|entries|count)$", _WATCH),
)
"""A pattern of a path's words (units left out; the first that fits): a setting, or advice."""

_UNITS: dict[str, Unit] = {
    unit: (kind, size)
    for kind, size, units in (
        ("size", 1.0, "b byte bytes"),
        ("size", float(KIB), "k kb kib"),
        ("size", float(MIB), "mb mib megabytes"),
        ("size", float(GIB), "g gb gib gigabytes"),
        ("time", 0.001, "ms msec millis milliseconds"),
        ("time", 1.0, "s sec secs second seconds"),
        ("time", 60.0, "m min mins minute minutes"),
        ("time", 3600.0, "h hr hrs hour hours"),
        ("time", 86400.0, "d day days"),
        ("share", 0.01, "% percent pct percentage"),
    )
    for unit in units.split()
}
_NO_SUFFIX = _words("b byte k m g min h d %")  # In a name they stand for other things.
_PER_HOUR = {"hour": 1.0, "h": 1.0, "minute": 60.0, "min": 60.0, "day": 1 / 24}
_RATE = re.compile(rf"(.*?)_?mb_per_({'|'.join(_PER_HOUR)})")
_DOCKERS = {"k": (KIB, "KiB"), "m": (MIB, "MiB"), "g": (GIB, "GiB")}  # Binary, unlike elsewhere.
_NUMBER = re.compile(r"\s*(\d[\d_]{0,30}(?:\.\d{0,30})?|\.\d{1,30})\s*([A-Za-z]{0,12}|%)\s*")

_LONGEST = {"monitoring.check_interval": 600.0, "caches.ttl": 30 * 86400.0}
_LONGEST_OTHER = 6 * 3600.0
"""Seconds: a number without a unit that is larger was meant in milliseconds."""

_MOST_GIB, _MOST_PERCENT = 16, 100  # Larger sizes without a unit are MiB, and so are larger marks.
_APART = "monitoring.snapshot_interval"
_BELOW = 0.875  # Of the mark above, where the default does not fit below it: as 70 % of 80 %.
_LIFETIMES = _words("ttl ttls expiry expire timeout age")
_SIZED = _words("size sizes maxsize entries items limit limits")
_OF_CACHES = (
    _LIFETIMES | _SIZED | _words("cache caches lru memory max min default global config settings")
)
_HOLDERS = _words("component components container containers collection collections")
_BOUNDS = _words("max items size length limit entries maxlen count warning critical")


class Word(Record):
    """One value of a foreign file: its path as it stands there and in words, and its unit."""

    path: tuple[str, ...]
    names: tuple[str, ...]  # The path in lower case, words parted by "_", the unit left out.
    last: str  # The last name with its unit.
    shown: str  # Its value as it stands there.
    value: Any
    unit: Unit | None

    @property
    def place(self) -> str:
        """The path for people."""
        return ".".join(self.path)

    @property
    def words(self) -> str:
        """All words of the path, parted by blanks."""
        return " ".join("_".join(self.names).replace("_", " ").split())

    @property
    def is_number(self) -> bool:
        """Whether its value is a number."""
        return isinstance(self.value, (int, float)) and not isinstance(self.value, bool)


class Lost(Record):
    """What has no equivalent, and what to do instead."""

    place: str
    value: str
    advice: str

    def __str__(self) -> str:
        return f"{self.place}: {self.value} -- {self.advice}"


class Converted(Record):
    """A file of ours, in YAML, and what of the other has no place there."""

    text: str
    lost: tuple[Lost, ...]


def convert(path: str) -> Converted:
    """A foreign file (YAML, JSON, TOML, Python) as one of ours; a ConfigError if it is unread."""
    return _Conversion([word_of(names, value) for names, value in leaves(read_foreign(path))]).all()


def word_of(path: tuple[str, ...], value: Any) -> Word:
    """A path and a value, with what they say of the unit."""
    names = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", one).lower() for one in path] or [""]
    names = [re.sub(r"[\s.-]+", "_", one) for one in names]
    last, shown = names[-1], one_line(value)
    unit: Unit | None = None
    stem, _, suffix = last.rpartition("_")
    if (rate := _RATE.fullmatch(last)) is not None:
        names[-1], unit = rate[1], ("rate", _PER_HOUR[rate[2]])
    elif suffix in _UNITS and suffix not in _NO_SUFFIX:
        names[-1], unit = stem, _UNITS[suffix]
    if isinstance(value, str) and (number := _NUMBER.fullmatch(value)) is not None:
        own = _UNITS.get(number[2].lower())
        if own is not None or not number[2]:
            whole = number[1].replace("_", "")
            text, value = value, float(whole) if "." in whole else int(whole)
            unit = own or unit
            if own is not None and own[0] == "size" and number[2].lower() not in _DOCKERS:
                with suppress(ConfigError):  # MB are of 1000, where it is the value that says so.
                    value, unit = parse_bytes(text), ("size", 1.0)
    return Word(path=path, names=tuple(names), last=last, shown=shown, value=value, unit=unit)


def meant(word: Word) -> str:
    """The key of the setting of ours that is meant, else advice."""
    names = word.names
    for start in range(len(names)):
        for end in (word.last, names[-1]):
            if (key := ".".join((*names[start:-1], end))) in SETTINGS:
                return key
    found = _component(word) or _of_caches(word)
    if found:
        return found
    words = word.words
    for pattern, key in _RULES:
        if re.search(pattern, words):
            return key
    for start in range(len(names)):
        for end in (word.last, names[-1]):
            here = OF_SETTINGS.get("_".join((*names[start:-1], end)), "")
            key = re.split(r"[ ,]", here)[0]
            if here:
                return key if key in SETTINGS else here
    return _NONE


def _component(word: Word) -> str:
    """The key of a bound of something that the program gave a name, or ""."""
    for place, name in enumerate(word.names[:-1]):
        rest = "_".join(word.names[place + 2 :]).split("_")
        if _HOLDERS & {*name.split("_")} and {*rest} <= {*_BOUNDS, ""}:
            is_size = word.unit is not None and word.unit[0] == "size"
            given = word.path[place + 1] if place + 2 < len(word.names) else word.names[-1]
            key = f"{COMPONENTS}{given}.max_{'bytes' if is_size else 'items'}"
            return key if setting_of(key) is not None else ""
    return ""


def _of_caches(word: Word) -> str:
    """The key of a bound of all caches, advice for that of one, or ""."""
    words = word.words.split()
    if not {"cache", "caches", "lru"} & {*words} or not (_LIFETIMES | _SIZED) & {*words}:
        return ""
    names = [one for one in words if one not in _OF_CACHES]
    is_time, is_size = bool(_LIFETIMES & {*words}), word.unit is not None and word.unit[0] == "size"
    if not names:
        return f"caches.{'ttl' if is_time else 'size_limit' if is_size else 'max_entries'}"
    name = "_".join(names)
    number = word.value if word.is_number else 0
    if word.unit is not None:
        number *= word.unit[1]
    if is_time:
        given = f'ttl="{format_seconds(number)}"'
    else:
        given = f'max_bytes="{format_bytes(int(number))}"' if is_size else f"max_entries={number}"
    return f'each cache has its own: Cache("{name}", {given})'


class _Conversion:
    """What was found so far: values by key, with where they come from, and what is lost."""

    def __init__(self, words: list[Word]) -> None:
        self._words = [(word, meant(word)) for word in words]
        self._values: dict[str, Any] = {}
        self._notes: dict[str, str] = {}
        self._needless: list[str] = []
        self._lost: list[Lost] = []
        # A file has one habit: where one time can only be in milliseconds, all are.
        self._is_ms = any(
            word.unit == _UNITS["ms"]
            or (_measure(key) == "time" and _is_beyond(word, _LONGEST.get(key, _LONGEST_OTHER)))
            for word, key in self._words
        )
        # So has a table of marks: where one can be no percent, none is.
        self._sized = {
            _table_of(word, key)
            for word, key in self._words
            if _measure(key) == "mark" and _is_beyond(word, _MOST_PERCENT)
        }

    def all(self) -> Converted:
        """The file, once every word was taken."""
        # A history in hours last: by then it is known how far its samples are apart.
        for word, key in sorted(self._words, key=lambda one: one[1] == "monitoring.history_size"):
            self._take(word, key)
        self._order("thresholds.", MARK_NAMES)
        for part in ("rss", "native"):
            self._order(f"thresholds.{part}.", PART_MARKS)
        return Converted(text=self._text(), lost=tuple(self._lost))

    def _lose(self, word: Word, advice: str) -> None:
        lost = Lost(place=one_line(word.place), value=word.shown, advice=advice)
        self._lost.append(lost)

    def _take(self, word: Word, key: str) -> None:
        is_look = key == "monitoring.check_interval"  # As slow as theirs, it would be too late.
        if word.value is None or is_look or (key == _ALWAYS and word.value is True):
            why = "not set there" if word.value is None else _LOOKED if is_look else _ALWAYS
            self._needless.append(f"{one_line(word.place)}: {word.shown} -- {why}")
            return
        setting = setting_of(key)
        if setting is None:
            self._lose(word, key)
            return
        try:
            given, told = self._given(setting, word)
            if isinstance(given, int) and key.startswith("thresholds.") and key.count(".") == 1:
                # A mark in bytes is one of what this process uses, whatever its limit is.
                key = key.replace(".", ".rss.", 1)
                setting = _part_mark(key)
            value = setting.read(given, name=key)
            written = setting.write(value)
            if not isinstance(written, list):  # As a file has it, a number may be none of ours.
                setting.read(str(written).lower() if value is not None else None, name=key)
        except (ConfigError, OverflowError, ValueError) as error:
            self._lose(word, one_line(error, 300))
            return
        if self._values.setdefault(key, value) != value:
            earlier = self._notes[key].partition(":")[0]
            self._lose(word, f"{key} is {setting.write(self._values[key])} by {earlier} already")
            return
        earlier = f"{self._notes[key]}; " if key in self._notes else ""
        if key == "emergency.exit" and "restart" in word.words:
            told = f"; {_RESTART}"
        self._notes[key] = f"{earlier}{one_line(word.place)}: {word.shown}{told}"

    def _given(self, setting: Setting, word: Word) -> tuple[Any, str]:
        """A value in the measure of a setting, and how a number without a unit was read."""
        if not word.is_number:
            return word.value, ""
        value, key = word.value, setting.key
        measure, factor = word.unit or ("", 1.0)
        wanted = _measure_of(setting)
        docker = _DOCKERS.get(word.shown[-1:].lower())
        if docker is not None and wanted in ("size", "mark"):
            return int(value * docker[0]), f", read as {docker[1]}, as Docker does"
        if measure == "" and wanted == "time":
            said = "milliseconds" if self._is_ms else "seconds"
            return value * (0.001 if self._is_ms else 1.0), f", read as {said}"
        if measure == "" and wanted in ("size", "mark"):
            may_be_percent = _table_of(word, key) not in self._sized
            is_size = wanted == "size"
            return _sized(value) if is_size else _marked(value, may_be_percent=may_be_percent)
        if key == "monitoring.history_size" and measure == "time":
            apart = self._values.get(_APART, SETTINGS[_APART].default)
            return round(value * factor / apart), f", with a sample each {format_seconds(apart)}"
        if wanted == "rate":  # Bare, or per something, it is MiB already.
            said = "" if measure == "rate" else ", read as MiB an hour"
            measure, factor = "rate", factor / MIB if measure == "size" else factor
        else:
            said = ""
        fits = measure in ("share", "size") if wanted == "mark" else measure == wanted
        if setting.kind is SWITCH or not fits:
            raise ConfigError(f"{key} takes {setting.kind.form}: set it by hand")
        number = value * factor
        is_whole = measure in ("size", "") and number == int(number)
        return (int(number) if is_whole or measure == "size" else number), said

    def _order(self, prefix: str, names: tuple[str, ...]) -> None:
        """Lose what stands below a mark before it; move defaults out of the way of what is set."""
        marks: dict[str, Any] = {}
        for name in names:
            mark = self._values.get(prefix + name)
            alike: list[Any] = [one for one in marks.values() if type(one) is type(mark)]
            least = max([0, *alike])
            if mark is not None and mark < least:
                place, _, value = self._notes.pop(prefix + name).partition(": ")
                advice = f"{prefix}{name} would be below the threshold before it: raise it"
                self._lost.append(Lost(place=place, value=value, advice=advice))
                del self._values[prefix + name]
            elif mark is not None:
                marks[name] = mark
        if not marks or prefix.count(".") > 1:
            return
        defaults = {name: SETTINGS[prefix + name].default for name in names}
        above: float | None = None
        for name in reversed(names):
            if name not in marks and above is not None and defaults[name] > above:
                defaults[name] = _short(above * _BELOW)
            above = marks.get(name, defaults[name])
        below = 0.0
        for index, name in enumerate(names):
            if name not in marks and defaults[name] < below:
                most = next((marks[one] for one in names[index:] if one in marks), 1.0)
                defaults[name] = max(below, _short(below + (most - below) / 2))
            below = marks.get(name, defaults[name])
            if name not in marks and defaults[name] != SETTINGS[prefix + name].default:
                self._values[prefix + name] = defaults[name]
                self._notes[prefix + name] = "in order with those that are set"

    def _text(self) -> str:
        lines = ["memory:"] if self._values else ["memory: {}"]
        before: list[str] = []
        for key in sorted(self._values, key=_place_of):
            setting = known_setting(key)
            sections = _sections_of(key)
            shared = 0
            while sections[shared:] and before[: shared + 1] == sections[: shared + 1]:
                shared += 1
            for depth, section in list(enumerate(sections))[shared:]:
                lines.append(f"{'  ' * (depth + 1)}{_plain(section)}:")
            before = sections
            name = key.rpartition(".")[2]
            value = _plain(setting.write(self._values[key]))
            lines.append(f"{'  ' * (len(sections) + 1)}{name}: {value}  # {self._notes[key]}")
        for title, told in (
            ("Needs no setting", self._needless),
            ("No equivalent", [str(one) for one in self._lost]),
        ):
            if told:
                lines += ["", f"# {title}:", *(f"#   {one}" for one in told)]
        return "\n".join(lines) + "\n"


def _short(share: float) -> float:
    return float(f"{share:.3g}")


def _part_mark(key: str) -> Setting:
    setting = setting_of(key)
    if setting is None:
        raise ConfigError('give a limit, and this as a share of it, such as "70%"')
    return setting


def _measure(key: str) -> str:
    setting = setting_of(key)
    return "" if setting is None else _measure_of(setting)


def _table_of(word: Word, key: str) -> tuple[str, ...]:
    """Where a mark stands, and of what it is one."""
    return (*word.path[:-1], key.rpartition(".")[0])


def _is_beyond(word: Word, most: float) -> bool:
    """Whether it is a number without a unit above this."""
    return word.unit is None and word.is_number and word.value > most


def _measure_of(setting: Setting) -> str:
    """What numbers of a setting measure: "time", "size", "mark", "rate", or "" for a count."""
    kinds = {"time": (TIME, INTERVAL, LIFETIME), "size": (SIZE, LIMIT), "mark": (MARK,)}
    kinds["rate"] = (NUMBER,)
    return next((one for one, own in kinds.items() if any(setting.kind is k for k in own)), "")


def _sized(value: float) -> tuple[int, str]:
    """A size without a unit by its range: a few GiB, MiB, or bytes."""
    unit, name = (1, "bytes") if value >= MIB else (MIB, "MiB")
    if 0 < value < 1:
        raise ConfigError("a share is no size: set it by hand")
    if 0 < value <= _MOST_GIB:
        unit, name = GIB, "GiB"
    return int(value * unit), f", read as {name}"


def _marked(value: float, *, may_be_percent: bool) -> tuple[float, str]:
    """A mark without a unit by its range: a share, percent, MiB, or bytes."""
    if value <= 1:
        return float(value), ""
    if value <= _MOST_PERCENT and may_be_percent:
        return value / 100, ", read as percent"
    unit, name = (1, "bytes") if value >= MIB else (MIB, "MiB")
    return int(value * unit), f", read as {name}"


def _sections_of(key: str) -> list[str]:
    if key.startswith(COMPONENTS):  # A component may have dots in its name.
        return [COMPONENTS[:-1], key.removeprefix(COMPONENTS).rpartition(".")[0]]
    return key.split(".")[:-1]


def _place_of(key: str) -> tuple[int, str]:
    """Where a key stands in a file: as in the table, components last."""
    known = list(SETTINGS)
    return (known.index(key) if key in SETTINGS else len(known), key)


def _plain(value: Any) -> str:
    """A value as YAML has it, quoted where it could be taken for something else."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][\w.%/-]*", value, re.ASCII):
        return value
    return json.dumps(value, ensure_ascii=False)
