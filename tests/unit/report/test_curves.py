"""Curves that keep their peaks and break where nobody looked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.report.figures import report
from membudget.report.page import page_data
from report_scene import BEGAN, MIB, leaking, part, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.core import Sample


def curves(samples: Sequence[Sample]) -> Any:
    """What the page draws of them."""
    return page_data(report(samples))["curves"]


def test_lines_break_at_a_restart_and_where_nobody_looked() -> None:
    """A row of nulls stands between, at a moment of its own."""
    samples = [sample(place, 90) for place in (0, 1, 2, 30, 31)]
    samples += [sample(place, 90, began=BEGAN + 9) for place in (32, 33)]
    found = curves(samples)
    for values in found["columns"].values():
        assert [place for place, value in enumerate(values) if value is None] == [3, 6]
    assert found["t"] == sorted(set(found["t"]))
    assert found["restarts"] == [samples[4].wall]


def test_of_many_samples_the_peaks_and_the_breaks_are_kept() -> None:
    """Each column is as long as the others, and short."""
    samples = [
        sample(place, 90 + place % 7, every=10.0, began=BEGAN + place // 4000)
        for place in range(8000)
    ]
    samples[5001] = samples[5001].replace(rss=900 * MIB)
    samples[6001] = samples[6001].replace(children=5 * MIB)
    found = curves(samples)
    assert max(one or 0 for one in found["columns"]["rss"]) == 900 * MIB
    assert max(one or 0 for one in found["columns"]["children"]) == 5 * MIB
    assert found["columns"]["rss"].count(None) == 1
    assert {len(values) for values in found["columns"].values()} == {len(found["t"])}
    assert len(found["t"]) < 4500


def test_the_largest_parts_are_told_and_the_rest_together() -> None:
    """Six with their bytes, and those that gained most with their items."""
    samples = [
        sample(place, 90, parts=tuple(part(f"p{at}", (at + place) * MIB) for at in range(9)))
        for place in range(3)
    ]
    found = curves(samples)
    assert [one["name"] for one in found["parts"] if one["bytes"]] == [
        *("p8", "p7", "p6", "p5", "p4", "p3"),
    ]
    assert found["others"] == {"name": "3 more", "bytes": [3 * MIB, 6 * MIB, 9 * MIB]}
    assert [one["items"][0] for one in found["parts"] if one["items"]]


def test_the_axis_goes_on_to_where_the_limit_is_reached() -> None:
    """Where that is near; and the trend leads there."""
    near, far = curves(leaking(rate=20.0)), curves(leaking(rate=4.0, limit=9000.0))
    assert near["end"] > near["now"]
    assert near["trend"]["rate"] > 19 * MIB
    assert far["end"] == far["now"]
