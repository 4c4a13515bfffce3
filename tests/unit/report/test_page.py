"""The page: whole by itself, harmless whatever things are called, readable by who does not see."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from membudget.report.figures import report
from membudget.report.html import as_html
from membudget.report.records import Happening, ModelFigure, OperationFigure, Report
from membudget.report.style import DARK, LIGHT
from report_scene import BEGAN, MIB, Culprit, leaking, part, quiet, sample

EVIL = "<script>alert('x')</script>\"'`&\x00\ud800"
VOID = {"meta", "link", "img", "path", "br"}


class Reader(HTMLParser):
    """Takes a page apart, and complains where tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.labels: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "svg":
            self.labels.append(str(dict(attrs).get("aria-label") or dict(attrs)["aria-hidden"]))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """It ends what was begun last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep it."""
        self.text += data


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
        culprits=[Culprit(name=EVIL, kind=EVIL, newest=EVIL, chain=(EVIL, EVIL), note=EVIL)],
        chain=f"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script>{EVIL}</svg>",
        models=[ModelFigure(name=EVIL, state=EVIL)],
        operations=[OperationFigure(name=EVIL, times=1)],
        happenings=[Happening(wall=BEGAN + 9e4, kind=EVIL, severity=EVIL, text=EVIL)],
        marks={EVIL: 300 * MIB},
        notes=[EVIL],
    )


def test_names_cannot_become_markup() -> None:
    """No script element, no handler, nothing that is not UTF-8."""
    page = as_html(evil())
    page.encode()
    found = Reader(page)
    assert "script" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "<script>alert('x')</script>" in found.text


def test_nothing_is_loaded_from_anywhere() -> None:
    """One file: each address in it is data, and a policy says so to the browser."""
    found = Reader(as_html(evil()))
    addresses = [value for name, value in found.attributes if name in ("src", "href", "data")]
    assert addresses
    assert all(str(value).startswith("data:") for value in addresses)
    assert any(value and "default-src 'none'" in value for _, value in found.attributes)
    assert "url(" not in as_html(evil())
    assert "@import" not in as_html(evil())


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_tiny_data_make_a_whole_page(count: int) -> None:
    """A page that says what is missing, not an empty picture."""
    found = Reader(as_html(report(quiet(count))))
    assert ("figure" in found.tags) == (count >= 2)
    if count == 0:
        assert "There are no samples." in found.text
    if count == 1:
        assert "Two samples are needed for a chart." in found.text


def test_two_samples_of_one_moment_make_a_page() -> None:
    """No time passed, so there is nothing to draw over it."""
    Reader(as_html(report([sample(0, 90), sample(0, 95)])))


def test_every_chart_says_what_it_shows() -> None:
    """Who does not see it hears its title and its message."""
    found = Reader(as_html(evil()))
    told = [label for label in found.labels if label != "true"]
    assert any(label.startswith("Memory. 100 MiB at ") for label in told)
    assert found.tags.count("figure") == len(told)


def test_flat_figures_have_a_picture() -> None:
    """A line that never moves divides nothing by zero."""
    Reader(as_html(report([sample(place, 90) for place in range(9)])))
    Reader(as_html(report([sample(place, 0, limit=None) for place in range(9)])))


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


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_text_and_curves_stand_out(scheme: dict[str, str]) -> None:
    """4.5 to 1 for text, 3 to 1 for curves and the frames of bars."""
    for ground in ("ground", "card"):
        for ink in ("ink", "soft", "good", "warn", "bad"):
            assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground)
    for curve in range(1, 8):
        assert contrast(scheme[f"c{curve}"], scheme["ground"]) >= 3.0, curve
