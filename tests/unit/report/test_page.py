"""The page: whole by itself, harmless whatever things are called, readable in both schemes."""

import json
import os
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pytest

import membudget
from membudget.core import Sample
from membudget.report import Happening, OperationFigure, Report, report
from membudget.report.page import BEGINS, page_data
from report_scene import BEGAN, MIB, leaking, part, quiet, sample, suspect

EVIL = "</script><!--<script>alert('x')</script><img src=x onerror=alert(2)>\"'`&\x00\ud800\u2028"
FOLDER = os.path.join(os.path.dirname(membudget.__file__), "page")


class Reader(HTMLParser):
    """Takes a page apart: its elements, their attributes, and the data within."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.data: Any = None
        self.licence = ""
        self._is_data = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._is_data = ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        if self._is_data:
            self.data, self._is_data = json.loads(data), False

    def handle_comment(self, data: str) -> None:
        self.licence += data


def evil() -> Report:
    """Every name that a page can have is hostile."""
    samples = [
        one.replace(
            parts=(part(EVIL, held=place * MIB // 9, most=99 * MIB), part(EVIL + "2")),
            explained=place * MIB // 9,
        )
        for place, one in enumerate(leaking())
    ]
    return report(
        samples,
        name=EVIL,
        culprits=[suspect(EVIL, kind=EVIL, text=EVIL)],
        operations=[OperationFigure(name=EVIL, times=1)],
        happenings=[Happening(wall=BEGAN + 9e4, kind=EVIL, severity=EVIL, text=EVIL)],
        marks={EVIL: 300 * MIB},
        notes=[EVIL],
    )


def test_names_cannot_become_markup() -> None:
    """They stand in the data alone, in letters that end no element; and come out whole."""
    page = evil().as_html()
    assert page.isascii()
    found = Reader(page)
    assert found.tags == Reader(report(quiet()).as_html()).tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert found.data["title"].startswith("Memory report of </script><!--<script>alert('x')")
    assert json.loads(json.dumps(page_data(evil()))) == found.data


def test_nothing_is_loaded_from_anywhere() -> None:
    """One file: each address in it is data, and a policy says so to the browser."""
    page = evil().as_html()
    found = Reader(page)
    addresses = [value for name, value in found.attributes if name in ("src", "href", "data")]
    assert addresses
    assert all(str(value).startswith("data:") for value in addresses)
    (policy,) = [value for _, value in found.attributes if value and "default-src" in value]
    nonces = {value for name, value in found.attributes if name == "nonce"}
    assert len(nonces) == 1
    assert policy == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'nonce-{nonces.pop()}'"
    )
    assert "url(" not in page
    assert "@import" not in page


def test_a_page_is_known_as_ours_and_names_whose_work_it_is() -> None:
    """By its beginning; and uPlot's licence goes with it, whole."""
    page = report([]).as_html()
    assert page.startswith(BEGINS)
    with open(os.path.join(FOLDER, "uplot", "LICENSE"), encoding="utf-8") as file:
        licence = file.read()
    assert licence in Reader(page).licence
    with open(os.path.join(FOLDER, "uplot", "package.json"), encoding="utf-8") as file:
        assert f"uPlot {json.load(file)['version']}" in page


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_tiny_data_make_a_whole_page(count: int) -> None:
    """A page that says what is missing, not an empty picture."""
    found = Reader(report(quiet(count)).as_html()).data
    assert (found["curves"] is not None) == (count >= 2)
    if count == 0:
        assert found["when"] == "There are no samples."
    assert found["no_curves"] == ("Two samples are needed for a chart." if count == 1 else "")


def test_two_samples_of_one_moment_make_a_page() -> None:
    """No time passed, so there is nothing to draw over it."""
    assert Reader(report([sample(0, 90), sample(0, 95)]).as_html()).data["curves"] is None


def _light(colour: str) -> float:
    """Relative luminance (WCAG 2, 1.4.3)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    """How much lighter one is than the other, from 1 to 21."""
    lights = sorted((_light(one), _light(two)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("place", [0, 1], ids=["light", "dark"])
def test_text_and_curves_stand_out(place: int) -> None:
    """4.5 to 1 for text, 3 to 1 for curves and the frames of bars."""
    with open(os.path.join(FOLDER, "page.css"), encoding="utf-8") as file:
        told = re.findall(r"--(\w+): (#[0-9a-f]{6});", file.read())
    half = len(told) // 2
    scheme = dict(told[half * place : half * (place + 1)])
    assert len(scheme) == half
    for ground in ("ground", "card"):
        for ink in ("ink", "soft", "good", "warn", "bad"):
            assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground)
    for curve in range(1, 8):
        assert contrast(scheme[f"c{curve}"], scheme["ground"]) >= 3.0, curve


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
        *("p8", "p7", "p6", "p5", "p4", "p3")
    ]
    assert found["others"] == {"name": "3 more", "bytes": [3 * MIB, 6 * MIB, 9 * MIB]}
    assert [one["items"][0] for one in found["parts"] if one["items"]]


def test_the_axis_goes_on_to_where_the_limit_is_reached() -> None:
    near, far = curves(leaking(rate=20.0)), curves(leaking(rate=4.0, limit=9000.0))
    assert near["end"] > near["now"]
    assert near["trend"]["rate"] > 19 * MIB
    assert far["end"] == far["now"]
