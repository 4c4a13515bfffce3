"""Records: frozen values that compare, print, copy and travel."""

import pickle
from typing import get_type_hints

import pytest

from membudget.core import Level, Marks, Pressure, PressureChanged, Reading, Record
from membudget.profiling import MemoryProfile


class Point(Record):
    """A record with a default and a rule."""

    x: int
    y: int = 2

    def check(self) -> None:
        if self.x < 0:
            raise ValueError(f"x {self.x} is below zero")


def test_fields_are_given_by_keyword_and_defaults_hold() -> None:
    """A record is what it was given, and its defaults."""
    assert (Point(x=1).x, Point(x=1).y, Point(x=1, y=5).y) == (1, 2, 5)


@pytest.mark.parametrize("fields", [{}, {"y": 1}, {"x": 1, "z": 2}])
def test_missing_and_unknown_fields_are_refused(fields: dict[str, int]) -> None:
    """A constructor's own error, the first time as any other."""
    for _ in range(80):
        with pytest.raises(TypeError):
            Point(**fields)


def test_a_rule_is_checked_at_every_construction() -> None:
    """A record that breaks its rule is never made, and replacing checks again."""
    for _ in range(80):
        with pytest.raises(ValueError, match="below zero"):
            Point(x=-1)
    with pytest.raises(ValueError, match="below zero"):
        Point(x=1).replace(x=-1)


def test_a_record_cannot_be_changed() -> None:
    """What was told stays as it was told."""
    point = Point(x=1)
    with pytest.raises(AttributeError, match="frozen"):
        point.x = 2  # type: ignore[misc]  # that is the case under test
    with pytest.raises(AttributeError):
        del point.x
    with pytest.raises(AttributeError):
        point.other = 1


def test_records_are_equal_by_value_and_type() -> None:
    """Two readings of the same figures are the same; a pressure is none of them."""
    assert Reading(at=1.0, used=2) == Reading(at=1.0, used=2)
    assert Reading(at=1.0, used=2) != Reading(at=1.0, used=3)
    assert Pressure() != Reading(at=1.0, used=2)
    assert len({Pressure(), Pressure(), Pressure(level=Level.WARNING)}) == 2


def test_a_record_prints_its_fields_and_survives_pickling() -> None:
    """What a person sees in a log, and what another process gets."""
    reading = Reading(at=1.0, used=2, parts={"rss": 3})
    assert repr(Point(x=1)) == "Point(x=1, y=2)"
    assert pickle.loads(pickle.dumps(reading)) == reading  # noqa: S301  # our own bytes
    assert pickle.loads(pickle.dumps(Reading(at=1.0, used=2))) == Reading(at=1.0, used=2)  # noqa: S301


def test_a_subclass_has_its_own_fields() -> None:
    """The constructor written out for a parent does not serve its children."""
    Point(x=1)

    class Place(Point):
        z: int = 3

    assert Place(x=1).as_dict() == {"x": 1, "y": 2, "z": 3}


@pytest.mark.parametrize("kind", [Reading, Marks, Pressure, MemoryProfile, PressureChanged])
def test_the_types_of_its_fields_can_be_asked_for(kind: type[Record]) -> None:
    assert get_type_hints(kind).keys() == set(kind.field_names())
