"""Settings of hand-written managers as a file of ours: read rightly, nothing lost in silence."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from membudget.errors import ConfigError
from membudget.settings import Settings, resolve
from membudget.settings.convert import Converted, convert
from membudget.settings.file import read_file
from membudget.units import one_line

TRADING = """
from datetime import timedelta

class MemoryConfig:
    memory_threshold = 80
    max_memory_mb: int = 2 * 1024
    cleanup_interval = 5 * 60
    model_cleanup_interval = timedelta(minutes=30)
    CACHES = {"prices": {"max_size": 1000, "ttl": 60}, "cleanup_interval": 300}
    cache_ttl = 3600
"""
MONITOR = """
monitoring: {enabled: true, checkIntervalMs: 5000, snapshot_interval: 60000, history_hours: 24}
thresholds:
  warning: 80
  critical: 0.9
  heap: {warning: 0.7, critical: 85%}
  external: {warning: 200 MB}
cleanup: {enabled: yes, interval: 600000, cooldown_ms: 30000}
alerts: {cooldown: 300000, channels: [slack, email]}
"""
TABLES = """
[memory]
warning_mb = 500
critical_mb = 800
[history]
hours = 24
[leaks]
threshold_mb_per_minute = 0.5
min_duration_hours = 4
"""
SERVICE = """{
  "cache": {"max_size": 1000, "ttl_seconds": 300},
  "responseCacheSizeMb": 50,
  "background_cleanup_seconds": 60
}"""
CHAT = """
memory:
  limit: 512
  levels: {warning: 80, critical: 90, emergency: 95}
  cooldowns: {cleanup: 60, emergency: 30}
  emergency: {max_attempts: 2, auto_restart: true}
  restart: {threshold: 97, max_restarts: 5}
  component_limits: {conversations: 500, "a.b: c": {max_items: 10}}
"""

FILES: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "trading.py": (
        TRADING,
        {
            "thresholds.warning": 0.8,
            "limit": 2 << 30,
            "caches.cleanup_interval": 300.0,
            "caches.ttl": 3600.0,
        },
        {
            "MemoryConfig.model_cleanup_interval": "of a Cache that holds the models",
            "MemoryConfig.CACHES.prices.max_size": 'Cache("prices", max_entries=1000)',
            "MemoryConfig.CACHES.prices.ttl": 'Cache("prices", ttl="60s")',
        },
    ),
    "monitor.yaml": (
        MONITOR,
        {
            "monitoring.snapshot_interval": 60.0,
            "monitoring.history_size": 1440,
            "thresholds.warning": 0.8,
            "thresholds.critical": 0.9,
            "thresholds.rss.warning": 0.7,
            "thresholds.rss.critical": 0.85,
            "thresholds.native.warning": 200_000_000,
            "cleanup.auto": True,
            "caches.cleanup_interval": 600.0,
            "cleanup.cooldown": 30.0,
        },
        {"alerts.cooldown": "start(sinks=[...])", "alerts.channels": "start(sinks=[...])"},
    ),
    "tables.toml": (
        TABLES,
        {
            "thresholds.rss.warning": 500 << 20,
            "thresholds.rss.critical": 800 << 20,
            "monitoring.history_size": 288,
            "leaks.threshold_mb_per_hour": 30.0,
            "leaks.min_duration": 14400.0,
        },
        {},
    ),
    "service.json": (
        SERVICE,
        {"caches.max_entries": 1000, "caches.ttl": 300.0, "caches.cleanup_interval": 60.0},
        {"responseCacheSizeMb": 'Cache("response", max_bytes="50MiB")'},
    ),
    "chat.yml": (
        CHAT,
        {
            "limit": 512 << 20,
            "thresholds.warning": 0.8,
            "thresholds.critical": 0.9,
            "thresholds.emergency": 0.95,
            "thresholds.shutdown": 0.97,
            "cleanup.cooldown": 60.0,
            "emergency.cooldown": 30.0,
            "emergency.max_attempts": 2,
            "emergency.exit": True,
            "components.conversations.max_items": 500,
            "components.a.b: c.max_items": 10,
        },
        {"memory.restart.max_restarts": "membudget run --restart"},
    ),
}


def converted(folder: Path, name: str, text: str) -> Converted:
    (folder / name).write_text(text)
    return convert(str(folder / name))


def values_of(folder: Path, found: Converted) -> dict[str, Any]:
    """What our own reading makes of it: no error, and marks in order."""
    file = folder / "ours.yaml"
    file.write_text(found.text)
    read = read_file(file)
    assert read.errors == ()
    others = resolve({}, {})
    whole = Settings(
        values={**others.values, **read.values}, origins={**others.origins, **read.origins}
    )
    assert list(whole.misplaced()) == []
    whole.marks().check_for(whole["limit"])
    return dict(read.values)


@pytest.mark.parametrize("name", FILES)
def test_the_usual_kinds_of_files_are_read_rightly(tmp_path: Path, name: str) -> None:
    """Each value in its unit, each path beside what came of it, the rest with what to do."""
    text, expected, lost = FILES[name]
    found = converted(tmp_path, name, text)
    assert values_of(tmp_path, found) == pytest.approx(expected)
    assert {one.place for one in found.lost} == set(lost)
    for one in found.lost:
        assert lost[one.place] in one.advice
        assert f"#   {one}" in found.text


@pytest.mark.parametrize(
    ("given", "key", "value", "told"),
    [
        ({"memory_threshold": 0.8}, "thresholds.warning", 0.8, ""),
        ({"memory_threshold": 80}, "thresholds.warning", 0.8, "read as percent"),
        ({"memory_threshold": "80"}, "thresholds.warning", 0.8, "read as percent"),
        ({"memory_threshold": "80 %"}, "thresholds.warning", 0.8, ""),
        ({"memory_threshold": 800}, "thresholds.rss.warning", 800 << 20, "read as MiB"),
        ({"memory_threshold": 1 << 30}, "thresholds.rss.warning", 1 << 30, "read as bytes"),
        ({"max_memory": 2}, "limit", 2 << 30, "read as GiB"),
        ({"max_memory": 512}, "limit", 512 << 20, "read as MiB"),
        ({"max_memory": 536870912}, "limit", 512 << 20, "read as bytes"),
        ({"max_memory_gb": 1.5}, "limit", 1536 << 20, ""),
        ({"max_memory": "400MiB"}, "limit", 400 << 20, ""),
        ({"max_memory": "400MB"}, "limit", 400_000_000, ""),
        ({"max_memory": "400M"}, "limit", 400 << 20, "read as MiB, as Docker does"),
        ({"max_memory": "400m"}, "limit", 400 << 20, "read as MiB, as Docker does"),
        ({"max_memory": "2g"}, "limit", 2 << 30, "read as GiB, as Docker does"),
        ({"gc_threshold": 400}, "cleanup.gc_above", 400 << 20, "read as MiB"),
        ({"snapshot_interval": 5}, "monitoring.snapshot_interval", 5.0, "read as seconds"),
        (
            {"snapshot_interval": 50000},
            "monitoring.snapshot_interval",
            50.0,
            "read as milliseconds",
        ),
        ({"snapshot_interval_minutes": 2}, "monitoring.snapshot_interval", 120.0, ""),
        ({"cache_ttl": 86400}, "caches.ttl", 86400.0, "read as seconds"),
        ({"cache_ttl": "2 hours"}, "caches.ttl", 7200.0, ""),
    ],
)
def test_a_number_is_read_by_its_unit_or_its_range(
    tmp_path: Path, given: dict[str, Any], key: str, value: Any, told: str
) -> None:
    found = converted(tmp_path, "a.json", json.dumps(given))
    assert values_of(tmp_path, found)[key] == value
    (line,) = [one for one in found.text.splitlines() if next(iter(given)) in one]
    assert line.endswith(told)
    assert ("read as" in line) == bool(told)


def test_one_time_in_milliseconds_tells_of_the_others(tmp_path: Path) -> None:
    """Half a second is no 500 s, in a file whose other times can only be milliseconds."""
    text = json.dumps({"snapshot_interval": 500, "cleanup": {"interval": 600_000}})
    values = values_of(tmp_path, converted(tmp_path, "a.json", text))
    assert values["monitoring.snapshot_interval"] == 0.5


@pytest.mark.parametrize("name", ["check_interval", "monitor_interval_seconds", "interval_seconds"])
def test_a_check_interval_of_theirs_does_not_slow_ours(tmp_path: Path, name: str) -> None:
    found = converted(tmp_path, "a.json", json.dumps({"memory": {name: 30}}))
    assert values_of(tmp_path, found) == {}
    assert f"{name}: 30 -- a budget looks 1 to 50 times a second" in found.text


def test_a_size_in_mb_stays_one(tmp_path: Path) -> None:
    found = converted(tmp_path, "a.json", '{"memory_limit": "400MB"}')
    assert "limit: 400MB" in found.text


def test_a_share_is_no_size(tmp_path: Path) -> None:
    (lost,) = converted(tmp_path, "a.json", '{"gc_threshold": 0.7}').lost
    assert lost.advice == "a share is no size: set it by hand"


def test_the_bare_marks_of_one_table_have_one_unit(tmp_path: Path) -> None:
    """100 beside 150 is no percent; another table may be in percent all the same."""
    tables = {"external": {"warning": 100, "critical": 150}, "warning": 80, "critical": 90}
    found = converted(tmp_path, "a.json", json.dumps({"thresholds": tables}))
    values = values_of(tmp_path, found)
    assert values["thresholds.native.warning"] == 100 << 20
    assert values["thresholds.native.critical"] == 150 << 20
    assert (values["thresholds.warning"], values["thresholds.critical"]) == (0.8, 0.9)
    assert found.lost == ()


def test_marks_that_were_never_set_make_way(tmp_path: Path) -> None:
    """A warning at 60 % is below where a cleanup is content by default; 97 % above EMERGENCY."""
    text = json.dumps({"thresholds": {"warning": 60, "critical": 97}})
    values = values_of(tmp_path, converted(tmp_path, "a.json", text))
    assert values["thresholds.low"] < values["thresholds.warning"] == 0.6
    assert values["thresholds.critical"] == 0.97 < values["thresholds.emergency"]


def test_of_two_that_say_something_else_the_first_holds_and_the_other_is_told(
    tmp_path: Path,
) -> None:
    text = '{"cache_ttl": 60, "caches": {"ttl": 120}, "default_ttl": 60}'
    found = converted(tmp_path, "a.json", text)
    assert values_of(tmp_path, found) == {"caches.ttl": 60.0}
    (lost,) = found.lost
    assert str(lost) == "caches.ttl: 120 -- caches.ttl is 60s by cache_ttl already"
    assert "default_ttl: 60" in found.text


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.yaml", "a: [", "is not YAML"),
        ("a.yaml", "a: !!python/object:os.system {}", "is not YAML"),
        ("a.json", "{", "is not JSON"),
        ("a.toml", "=", "is not TOML"),
        ("a.py", "def", "is not PY"),
        ("a.py", "a = " + "-" * 5000 + "1", "is not PY"),
        ("a.yaml", "a: &a [*a]", "nested too deep"),
        ("a.ini", "a = 1", "unknown suffix"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        converted(tmp_path, name, text)


def test_python_is_read_and_never_run(tmp_path: Path) -> None:
    """Calls stay text; sums of numbers are worked out, unless they would take for ever."""
    ran = tmp_path / "ran"
    text = f"cache_ttl = 60 * 60\nlimit = open({str(ran)!r}, 'w')\nmax_size = 9**9**9**9\nx = 1 / 0"
    found = converted(tmp_path, "a.py", text)
    assert values_of(tmp_path, found) == {"caches.ttl": 3600.0}
    assert not ran.exists()
    assert {one.place for one in found.lost} == {"limit", "max_size", "x"}


NAMES = """
memory monitoring thresholds cleanup alerts history cache caches prices leak leaks emergency restart
components heap external levels warning critical low shutdown limit max_memory ttl interval cooldown
enabled max_size check_interval memory_threshold snapshots gc_threshold adopt spare brake share
trace restart_after rss native auto
"""
names = st.sampled_from(NAMES.split())
SUFFIXES = ["", "", "_mb", "_ms", "_seconds", "_hours", "_percent", "_mb_per_hour"]
suffixes = st.sampled_from(SUFFIXES)
words = st.builds(lambda name, suffix: name + suffix, names, suffixes) | st.text(max_size=8)
plain = (
    st.booleans()
    | st.none()
    | st.integers(-10, 10**12)
    | st.floats(width=32)
    | st.sampled_from(["80%", "5m", "500MB", "auto", "off", "a:b", "1e9", "80", ""])
    | st.text(max_size=8)
    | st.lists(st.text(max_size=4), max_size=2)
)
trees = st.recursive(plain, lambda inner: st.dictionaries(words, inner, max_size=4), max_leaves=25)


def paths_of(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict):
        return [one for key in value for one in paths_of(value[key], (*path, key))]
    return [path]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(words, trees, max_size=6))
def test_whatever_stands_there_what_comes_out_is_good_and_whole(
    tmp_path: Path, tree: dict[str, Any]
) -> None:
    """Our own reading takes it, and each path is told of, as a setting or as lost."""
    found = converted(tmp_path, "a.yaml", yaml.safe_dump(tree, allow_unicode=False))
    values_of(tmp_path, found)
    for path in paths_of(tree):
        told = one_line(".".join(one_line(name) for name in path))
        assert told in found.text
