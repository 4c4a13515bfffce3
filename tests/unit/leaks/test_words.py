"""The one sentence of a verdict."""

from typing import Any

import pytest

from leak_scene import MIB, last, series
from membudget.leaks import Filling, Kind
from membudget.leaks.verdict import reason


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"full_in": 10_800.0, "full_at": 410 * MIB}, ", full in 3.0 h at 410 MiB"),
        ({"full_in": 10_800.0, "full_at": None}, ", full in 3.0 h"),
        ({"full_in": None, "full_at": 410 * MIB}, ", until 410 MiB"),
        ({"full_in": None, "full_at": None}, ""),
    ],
)
def test_a_part_that_fills_up_is_told_with_what_is_known(known: dict[str, Any], told: str) -> None:
    """When it will be full, and at what size; others are counted."""
    one = Filling(name="prices", fill=0.5, rate=1.0, **known)
    quiet = last(series(lambda _hour: 100.0))
    verdict = quiet.replace(kind=Kind.FILLING, filling=(one,))
    assert reason(verdict, "") == f"prices is filling up{told}."
    both = verdict.replace(filling=(one, one.replace(name="users")))
    assert reason(both, "") == f"prices is filling up{told}, and 1 more."
