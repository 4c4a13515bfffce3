"""Settings: argument over environment over default, and errors that say what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from membudget.core import Marks
from membudget.errors import ConfigError
from membudget.settings.resolve import resolve
from membudget.settings.table import SETTINGS


def test_defaults_hold_where_nobody_says_otherwise() -> None:
    """Every key has a value and says that it is the default."""
    settings = resolve({}, {})
    assert settings["thresholds.warning"] == 0.8
    assert settings["limit"] is None
    assert set(settings.origins.values()) == {"default"}
    assert settings.marks() == Marks()


def test_an_argument_is_over_the_environment_is_over_the_default() -> None:
    """And each value knows where it came from."""
    environ = {"MEMBUDGET_LIMIT": "300MiB", "MEMBUDGET_CLEANUP_SETTLE": "2s", "PATH": "/bin"}
    settings = resolve({"limit": "400MiB"}, environ)
    assert settings["limit"] == 400 << 20
    assert settings["cleanup.settle"] == 2.0
    assert settings.origins["limit"] == "argument"
    assert settings.origins["cleanup.settle"] == "environment"
    assert settings.origins["cleanup.auto"] == "default"


def test_sections_may_be_nested_or_flat() -> None:
    """Both spellings mean the same key."""
    nested = resolve({"thresholds": {"rss": {"warning": "500MiB"}}}, {})
    flat = resolve({"thresholds.rss.warning": 500 << 20}, {})
    assert nested.marks() == flat.marks()
    assert nested.marks().parts == {"rss": {"warning": 500 << 20}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("limit", "400"),
        ("limit", "lots"),
        ("limit", "-5MiB"),
        ("limit", 0),
        ("thresholds.low", "120%"),
        ("thresholds.low", 1.5),
        ("thresholds.low", "0.7"),
        ("monitoring.history_size", "many"),
        ("monitoring.history_size", 0),
        ("monitoring.pressure_window", 1),
        ("monitoring.check_interval", "5"),
        ("cleanup.auto", "perhaps"),
        ("cleanup.gc_time_share", 5),
        ("cleanup.settle", -1),
        ("emergency.max_attempts", 2.5),
    ],
)
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


def test_an_unknown_key_is_refused_with_the_nearest_known() -> None:
    """A typing error does not pass for a setting."""
    with pytest.raises(ConfigError, match=r"did you mean thresholds\.warning"):
        resolve({"thresholds": {"warnig": 0.8}}, {})
    with pytest.raises(ConfigError, match="MEMBUDGET_THRESHOLDS_WARNING"):
        resolve({}, {"MEMBUDGET_THRESHOLDS_WARNIG": "80%"})


def test_marks_out_of_order_are_refused_whoever_set_them() -> None:
    """Two sources can be right by themselves and wrong together."""
    with pytest.raises(ConfigError, match=r"out of order: critical=75% is below warning=80%"):
        resolve({}, {"MEMBUDGET_THRESHOLDS_CRITICAL": "75%"})


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
