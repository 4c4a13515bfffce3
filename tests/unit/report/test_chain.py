"""A chain as a drawing."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from membudget.report.chain import WIDTH, svg

_SVG = "{http://www.w3.org/2000/svg}"


def test_each_step_is_a_box_and_the_drawing_fits_a_telephone() -> None:
    """Well-formed, with nothing from elsewhere."""
    drawn = svg(("module shop", ".store", "._by_id", "[17]"))
    root = ET.fromstring(drawn)  # noqa: S314  # our own text
    texts = [one.text for one in root.iter(f"{_SVG}text")]
    assert texts == ["module shop", ".store", "._by_id", "[17]"]
    assert WIDTH <= 360
    assert "href" not in drawn
    assert "prefers-color-scheme:dark" in drawn


def test_steps_of_any_text_stay_text() -> None:
    """Keys are the program's data: no markup, no control characters."""
    step = '["</svg><script>alert(1)</script>\x00"]'
    drawn = svg((step,))
    root = ET.fromstring(drawn)  # noqa: S314  # our own text
    assert not list(root.iter(f"{_SVG}script"))
    title = next(root.iter(f"{_SVG}title")).text
    assert title == step.replace("\x00", "·")


def test_long_steps_and_long_chains_are_cut_in_the_middle() -> None:
    """Both ends tell the most."""
    root = ET.fromstring(svg(("a" * 200, *(f".step{one}" for one in range(100)), ".end")))  # noqa: S314
    texts = [str(one.text) for one in root.iter(f"{_SVG}text")]
    assert len(texts) == 24
    assert len(texts[0]) <= 38
    assert texts[-1] == ".end"
    assert "more" in texts[12]
