"""What type checkers know of the settings is what the table has."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from membudget.settings.table import OF_COMPONENTS, SETTINGS
from membudget.settings.types import Component, SettingsGiven


def keys_of(section: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for word, hint in get_type_hints(section).items():
        if is_typeddict(hint):
            yield from keys_of(hint, f"{prefix}{word}.")
        else:
            yield prefix + word, hint


def test_checkers_know_each_setting_and_no_other() -> None:
    """The limit is an argument of its own."""
    known = dict(keys_of(SettingsGiven))
    assert get_args(known.pop("components")) == (str, Component)
    assert known.keys() | {"limit"} == SETTINGS.keys()
    assert get_type_hints(Component).keys() == OF_COMPONENTS.keys()


def test_what_a_setting_holds_by_default_may_be_given() -> None:
    for key, hint in keys_of(SettingsGiven):
        if key in SETTINGS:
            kinds = tuple(get_origin(one) or one for one in get_args(hint))
            default = SETTINGS[key].default
            assert isinstance(default, kinds), f"{key}: {default!r} is none of {hint}"
            assert str in kinds, f"{key} can be written as text"
