"""Bounds from a file, laid over samples that have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from membudget.core import PartSample
from membudget.errors import ConfigError
from membudget.report.bounds import Bound, read_bounds, with_bounds
from report_scene import sample

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = (
    PartSample(name="users", kind="component", items=400),
    PartSample(name="by_id", kind="component", items=9),
)


def bounds(folder: Path, text: str) -> dict[str, Bound]:
    """The bounds of a file with this text."""
    path = folder / "bounds"
    path.write_text(text, encoding="utf-8")
    return read_bounds(str(path))


@pytest.mark.parametrize(
    "text",
    [
        '{"users": {"max_items": 500, "bytes_per_item": 60}}',
        '{"bounded": {"users": {"max_items": 500, "bytes_per_item": 60}}, "id": "p003"}',
        "components:\n  users:\n    max_items: 500\n    bytes_per_item: 60\n",
    ],
)
def test_json_yaml_and_labels_say_the_same(tmp_path: Path, text: str) -> None:
    """However it is written down."""
    assert bounds(tmp_path, text) == {"users": Bound(max_items=500, bytes_per_item=60.0)}


def test_bytes_and_time_have_units(tmp_path: Path) -> None:
    """Or the unit is in the key."""
    found = bounds(tmp_path, "a: {max_bytes: 20MiB, ttl: 2h}\nb: {ttl_h: 2}\n")
    assert found == {"a": Bound(max_bytes=20 << 20, ttl=7200.0), "b": Bound(ttl=7200.0)}


def test_a_bound_explains_what_its_part_holds() -> None:
    """Items times the mean size of one; parts without a bound explain nothing."""
    (held,) = with_bounds(
        [sample(0, 90, parts=ITEMS)], {"users": Bound(max_items=500, bytes_per_item=60.0)}
    )
    assert held.explained == 24_000
    assert [one.is_bounded for one in held.parts] == [True, False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1, 2]", "is no mapping"),
        ("users: 5", "is no mapping"),
        ("users: {max_item: 5}", "'max_item' is not known: use max_items"),
        ("users: {max_items: 2.5}", "max_items 2.5 is a count"),
        ("users: {max_items: true}", "max_items True must be a number above zero"),
        ("users: {max_bytes: 20}", "max_bytes 20 has no unit"),
        ("users: {ttl: 5 apples}", "has an unknown unit"),
        ("a: b: c", "neither JSON nor YAML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, says: str) -> None:
    """Value, rule, and what to write."""
    with pytest.raises(ConfigError) as caught:
        bounds(tmp_path, text)
    assert says in str(caught.value)


def test_a_bound_on_no_part_is_an_error() -> None:
    """A slip in a name would otherwise explain nothing in silence."""
    with pytest.raises(ConfigError, match="known: by_id, users"):
        with_bounds([sample(0, 90, parts=ITEMS)], {"user": Bound(max_items=5)})
