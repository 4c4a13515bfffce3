"""Settings: argument over environment over file over default, and errors that say what is right."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from membudget.core import Marks
from membudget.errors import ConfigError
from membudget.settings import resolve
from membudget.settings.table import SETTINGS


def test_defaults_hold_where_nobody_says_otherwise() -> None:
    """Every key has a value and says that it is the default."""
    settings = resolve({}, {})
    assert settings["thresholds.warning"] == 0.8
    assert settings["limit"] is None
    assert set(settings.origins.values()) == {"default"}
    assert settings.marks() == Marks()


def test_an_argument_is_over_the_environment_is_over_the_file_is_over_the_default(
    tmp_path: Path,
) -> None:
    """And each value knows where it came from."""
    file = tmp_path / "membudget.yaml"
    file.write_text("memory:\n  limit: 200MiB\n  cleanup:\n    settle: 3s\n    cooldown: 1m\n")
    environ = {"MEMBUDGET_LIMIT": "300MiB", "MEMBUDGET_CLEANUP_SETTLE": "2s", "PATH": "/bin"}
    settings = resolve({"limit": "400MiB"}, environ, file)
    assert settings["limit"] == 400 << 20
    assert settings["cleanup.settle"] == 2.0
    assert settings["cleanup.cooldown"] == 60.0
    assert settings.origins["limit"] == "argument"
    assert settings.origins["cleanup.settle"] == "environment MEMBUDGET_CLEANUP_SETTLE"
    assert settings.origins["cleanup.cooldown"] == f"file {file}:5"
    assert settings.origins["cleanup.auto"] == "default"


def test_the_environment_names_the_file_and_the_caller_another(tmp_path: Path) -> None:
    """A file that the caller gives is the only one read."""
    named, given = tmp_path / "named.yaml", tmp_path / "given.toml"
    named.write_text("memory: {limit: 200MiB}")
    given.write_text('[memory]\ncleanup.settle = "2s"\n')
    environ = {"MEMBUDGET_CONFIG": str(named)}
    assert resolve({}, environ)["limit"] == 200 << 20
    assert resolve({}, environ, given)["limit"] is None
    assert resolve({}, environ, given)["cleanup.settle"] == 2.0
    assert resolve({}, {"MEMBUDGET_CONFIG": ""})["limit"] is None


def test_a_file_that_the_environment_names_and_is_not_there_names_the_variable() -> None:
    """Whoever reads the line knows which of the two to mend."""
    with pytest.raises(ConfigError, match=r"^nowhere\.yaml: .*check MEMBUDGET_CONFIG$"):
        resolve({}, {"MEMBUDGET_CONFIG": "nowhere.yaml"})


def test_variables_of_the_launcher_are_no_settings() -> None:
    """It talks to the process that it starts by whatever begins so."""
    environ = {"MEMBUDGET_LAUNCH": "lines", "MEMBUDGET_LAUNCH_DATA_LIMIT": "-1"}
    assert set(resolve({}, environ).origins.values()) == {"default"}


def test_without_a_file_no_parser_is_imported() -> None:
    """A process under a budget pays for what it uses."""
    program = (
        "import sys; from membudget.settings import resolve; resolve({'limit': '1GiB'});"
        "print({'yaml', 'tomllib', 'difflib', 'json', 'membudget.settings.file'} & {*sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert told.stdout.strip() == b"set()"


def test_sections_may_be_nested_or_flat() -> None:
    """Both spellings mean the same key."""
    nested = resolve({"thresholds": {"rss": {"warning": "500MiB"}}}, {})
    flat = resolve({"thresholds.rss.warning": 500 << 20}, {})
    assert nested.marks() == flat.marks()
    assert nested.marks().parts == {"rss": {"warning": 500 << 20}}


UNFIT: dict[str, list[Any]] = {
    "limit": ["400", "lots", "-5MiB", 0],
    "thresholds.low": ["120%", 1.5, "0.7", "80"],
    "monitoring.history_size": ["many", 0, 2881, "20000"],
    "monitoring.pressure_window": [1],
    "monitoring.check_interval": ["5"],
    "cleanup.auto": ["perhaps"],
    "cleanup.gc_time_share": [5],
    "cleanup.settle": [-1],
    "emergency.max_attempts": [2.5, "9" * 60 + "."],
    "agent.directory": ["here"],
    "monitoring.history_file": ["samples.jsonl", 5],
    "leaks.threshold_mb_per_hour": ["10MB", -1, True],
    "leaks.minimum_rate": ["1MiB", "1MiB/s", 0],
    "leaks.min_samples": [1],
    "leaks.min_duration": ["2"],
    "leaks.trace": [True, "yes", 0, "16m"],
    "caches.adopt": ["cache", "app:1", 5],
}


@pytest.mark.parametrize(("key", "value"), [(key, one) for key in UNFIT for one in UNFIT[key]])
def test_a_value_that_does_not_fit_is_refused_by_name(key: str, value: Any) -> None:
    """As an argument the key is named, as a variable the variable; always in one line."""
    with pytest.raises(ConfigError) as caught:
        resolve({key: value}, {})
    assert key in str(caught.value)
    assert repr(value) in str(caught.value)
    assert "\n" not in str(caught.value)
    if isinstance(value, str):
        variable = SETTINGS[key].variable
        with pytest.raises(ConfigError, match=variable):
            resolve({}, {variable: value})


@pytest.mark.parametrize("value", [None, False, "off"])
def test_what_may_be_off_is_off_by_any_word_for_it(value: object) -> None:
    assert resolve({"leaks.trace": value}, {})["leaks.trace"] is None
    with pytest.raises(ConfigError, match=r'"30s", or off$'):
        resolve({"leaks.trace": "maybe"}, {})


@pytest.mark.parametrize(
    "key", [key for key, one in SETTINGS.items() if not isinstance(one.default, tuple)]
)
def test_text_of_any_length_is_read_or_refused(key: str) -> None:
    """Also where the interpreter refuses to read so long a number."""
    for text in ("9" * 5000, "9" * 5000 + "MiB", "9" * 400 + ".5s", "9" * 400 + "m"):
        with pytest.raises(ConfigError) as caught:
            resolve({}, {SETTINGS[key].variable: text})
        assert len(str(caught.value)) < 300


def test_names_are_read_from_lists_and_from_text_with_commas() -> None:
    """Environment variables have no lists."""
    environ = {"MEMBUDGET_CACHES_ADOPT": "app:cache, app.views:Page.cache"}
    settings = resolve({"caches": {"spare": ["tmp_*", "prices"]}}, environ)
    assert settings["caches.adopt"] == ("app:cache", "app.views:Page.cache")
    assert settings["caches.spare"] == ("tmp_*", "prices")
    assert resolve({}, {"MEMBUDGET_CACHES_SPARE": " "})["caches.spare"] == ()
    with pytest.raises(ConfigError, match=r"CACHES_SPARE '' is not a name"):
        resolve({}, {"MEMBUDGET_CACHES_SPARE": "a,,b"})


def test_an_unknown_key_is_refused_with_the_nearest_known() -> None:
    """A typing error does not pass for a setting."""
    with pytest.raises(ConfigError, match=r"did you mean thresholds\.warning"):
        resolve({"thresholds": {"warnig": 0.8}}, {})
    with pytest.raises(ConfigError, match="MEMBUDGET_THRESHOLDS_WARNING"):
        resolve({}, {"MEMBUDGET_THRESHOLDS_WARNIG": "80%"})
    with pytest.raises(ConfigError, match=r"did you mean MEMBUDGET_CONFIG\?"):
        resolve({}, {"MEMBUDGET_CONFG": "membudget.yaml"})


def test_marks_out_of_order_are_refused_whoever_set_them(tmp_path: Path) -> None:
    """Two sources can be right by themselves and wrong together; each is named."""
    environ = {"MEMBUDGET_THRESHOLDS_CRITICAL": "75%"}
    wrong = (
        r"^environment MEMBUDGET_THRESHOLDS_CRITICAL: thresholds .*: critical=75% is below warning="
    )
    with pytest.raises(ConfigError, match=wrong + "80%"):
        resolve({}, environ)
    file = tmp_path / "one.yaml"
    file.write_text("memory:\n  thresholds:\n    low: 60%\n    warning: 85%\n")
    with pytest.raises(ConfigError, match=r"^\S*one\.yaml:4, environment MEMBUDGET_THRESHOLDS_C"):
        resolve({}, environ, file)
    with pytest.raises(ConfigError, match=r"^thresholds are out of order: rss\.critical"):
        resolve({"thresholds": {"rss": {"warning": "2GiB", "critical": "1GiB"}}}, {})


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("ON", True), ("1", True), ("no", False), ("0", False)]
)
def test_switches_are_read_from_words(text: str, value: bool) -> None:  # noqa: FBT001  # a case
    """Environment variables are text."""
    assert resolve({}, {"MEMBUDGET_CLEANUP_AUTO": text})["cleanup.auto"] is value


def test_every_default_fits_its_own_rule() -> None:
    """Reading a default back gives the default."""
    for key, setting in SETTINGS.items():
        if setting.default is not None:
            assert setting.read(setting.default, name=key) == setting.default


def test_every_value_can_be_written_and_read_back() -> None:
    """What is shown of a setting may be put into a file."""
    values = {"limit": 300 << 20, "monitoring.check_interval": 0.25, "caches.adopt": ("a:b",)}
    for key, setting in SETTINGS.items():
        for value in (setting.default, values.get(key, setting.default)):
            written = setting.write(value)
            assert written is None or setting.read(written, name=key) == value


def test_a_reload_tells_what_applies_at_once_from_what_needs_a_restart() -> None:
    """Where a value comes from is no change."""
    before = resolve({"limit": "300MiB", "cleanup": {"gc_above": "1GiB"}}, {})
    after = resolve({"limit": "400MiB", "brake": True}, {"MEMBUDGET_CLEANUP_SETTLE": "5s"})
    assert before.changed_by(after) == (("limit",), ("cleanup.gc_above", "brake"))
    assert before.changed_by(before) == ((), ())


@pytest.mark.parametrize(
    ("components", "why"),
    [
        ({"book": 5}, "components.book' is not known: write components.NAME with max_items and"),
        ({"book": {"size": 5}}, "components.book.size' is not known: write components.NAME"),
        ({"book": {"max_items": 0}}, "components.book.max_items 0 is not a count"),
        ({"book": {"max_bytes": "20"}}, "components.book.max_bytes '20' has no unit"),
    ],
)
def test_what_is_no_limit_of_a_component_is_refused(components: Any, why: str) -> None:
    """By its whole key, with what may stand there."""
    with pytest.raises(ConfigError) as caught:
        resolve({"components": components}, {})
    assert why in str(caught.value)


def test_a_variable_cannot_name_a_component() -> None:
    """It could not tell an upper from a lower letter, nor a dot from a line."""
    with pytest.raises(ConfigError, match=r"set it in a file or in start\(components=...\)"):
        resolve({}, {"MEMBUDGET_COMPONENTS_BOOK_MAX_ITEMS": "5"})


def test_a_components_limit_that_changes_applies_at_once() -> None:
    """Also one that was not there, and one that is no more."""
    before = resolve({"components": {"a": {"max_items": 1}, "b": {"max_items": 1}}}, {})
    after = resolve({"components": {"a": {"max_items": 2}, "c": {"max_bytes": 9}}}, {})
    applied, waiting = before.changed_by(after)
    keys = {"components.a.max_items", "components.b.max_items", "components.c.max_bytes"}
    assert set(applied) == keys
    assert waiting == ()


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        ({"limit": 400}, {}, 'limit 400 is 400 bytes: write "400MiB"'),
        ({}, {"MEMBUDGET_LIMIT": "400B"}, "MEMBUDGET_LIMIT '400B' is 400 bytes: write \"400MiB\""),
        ({"thresholds": 0.8}, {}, 'thresholds is a section: .* thresholds={"warning": "80%"}'),
    ],
)
def test_likely_mistakes_are_told_how_they_are_written(
    arguments: dict[str, Any], environ: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        resolve(arguments, environ)
