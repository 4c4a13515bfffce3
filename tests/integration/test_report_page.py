"""The report's page in a real browser: it draws, tells values, zooms, and calls nobody."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import Page, browsing, found
from membudget.report import Report, report
from membudget.report.page import page_data
from report_scene import leaking, quiet, suspect
from unit.report.test_page import evil

BROWSER = found()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")

WIDE, HIGH = 1400, 900
LEGEND = "[...document.querySelectorAll('.chart')[{}].querySelectorAll('.u-series')]"
SHOWN = "[charts[{0}].plot.scales.x.min, charts[{0}].plot.scales.x.max]"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert BROWSER is not None
    with browsing(BROWSER, tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(browser: Page, tmp_path: Path) -> Iterator[Page]:
    """Whatever a test does with a page, nothing complains and nothing is fetched."""
    yield browser
    assert browser.complaints() == []
    assert browser.requests() == []


def show(page: Page, folder: Path, made: Report, **how: Any) -> None:
    path = folder / "page.html"
    path.write_text(made.as_html(), encoding="utf-8")
    page.show(path.as_uri(), **{"width": WIDE, **how})


def legend(page: Page, chart: int = 0) -> list[str]:
    told: list[str] = page.value(f"{LEGEND.format(chart)}.map((one) => one.textContent)")
    return told


def mouse(page: Page, share: float, *, kind: str = "mouseMoved", clicks: int = 0) -> None:
    """The mouse on the first chart, so far from its left."""
    box = page.value(
        "(({x, y, width, height}) => [x, y, width, height])"
        "(charts[0].plot.over.getBoundingClientRect())"
    )
    page.ask(
        "Input.dispatchMouseEvent",
        type=kind,
        x=box[0] + box[2] * share,
        y=box[1] + box[3] / 2,
        button="left" if clicks or kind != "mouseMoved" else "none",
        buttons=1 if kind == "mousePressed" else 0,
        clickCount=clicks,
    )
    page.value("new Promise(requestAnimationFrame)")


def press(page: Page, key: str) -> None:
    """A key on the chart that has the focus."""
    for kind in ("keyDown", "keyUp"):
        page.ask("Input.dispatchKeyEvent", type=kind, key=key)


def drag(page: Page, begin: float, end: float) -> None:
    """Draw the mouse along the first chart."""
    mouse(page, begin)
    mouse(page, begin, kind="mousePressed", clicks=1)
    mouse(page, (begin + end) / 2, kind="mouseMoved")
    mouse(page, end, kind="mouseMoved")
    mouse(page, end, kind="mouseReleased", clicks=1)


@pytest.mark.parametrize("made", [evil(), report(quiet(2)), report([])], ids=["evil", "2", "0"])
def test_it_fits_any_screen_in_both_schemes(page: Page, tmp_path: Path, made: Report) -> None:
    """No sideways scrolling from 320 to 1400 px; paper is light; and nothing moves by itself."""
    for width, scheme in ((320, "light"), (360, "dark"), (360, "light"), (1400, "dark")):
        show(page, tmp_path, made, width=width, scheme=scheme)
        assert page.value("document.documentElement.scrollWidth") <= width
        ground = page.value("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 28)")
        assert page.value("document.getAnimations().length") == 0
    show(page, tmp_path, made, scheme="dark", media="print")
    paper = page.value("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"


def test_a_window_that_narrows_and_a_scheme_that_changes_are_followed(
    page: Page, tmp_path: Path
) -> None:
    """Without loading anew: drawings get narrower, and are drawn in the other colours."""
    show(page, tmp_path, evil())
    ink = "charts[0].plot.axes[0]._stroke ?? charts[0].plot.axes[0].stroke()"
    light, wide = page.value(ink), page.value("charts[0].plot.width")
    page.ask(
        "Emulation.setDeviceMetricsOverride",
        width=360,
        height=900,
        deviceScaleFactor=2,
        mobile=True,
    )
    page.ask(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    page.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.value("document.documentElement.scrollWidth") <= 360
    assert page.value("charts[0].plot.width") <= 360 < wide
    assert page.value(ink) != light
    assert page.value("document.querySelectorAll('canvas').length === charts.length")


@pytest.mark.parametrize(("made", "least"), [(leaking(), 3), (quiet(2), 1), (quiet(1), 0)])
def test_each_chart_has_a_drawing_and_says_what_it_shows(
    page: Page, tmp_path: Path, made: Any, least: int
) -> None:
    """Some of each canvas is painted; who does not see it hears its title and its message."""
    show(page, tmp_path, report(made))
    painted = page.value(
        "[...document.querySelectorAll('.chart canvas')].map((one) => new Set(new Uint32Array("
        "one.getContext('2d').getImageData(0, 0, one.width, one.height).data.buffer)).size)"
    )
    assert len(painted) >= least
    assert all(colours > 3 for colours in painted)
    said = page.value(
        "[...document.querySelectorAll('.plot')].map((one) => one.getAttribute('aria-label'))"
    )
    assert len(said) == len(painted)
    if said:
        assert said[0].startswith("Memory. 100 MiB at ")
    else:
        assert "Two samples are needed" in page.value("document.body.textContent")


def test_hostile_names_stay_names(page: Page, tmp_path: Path) -> None:
    """In text, legends and labels; no element comes of them."""
    show(page, tmp_path, evil())
    foreign = "document.querySelectorAll('main script, main img').length"
    assert page.value(foreign) == 0
    assert "<img src=x onerror=alert(2)>" in page.value("document.querySelector('h1').textContent")
    assert "<img src=x" in " ".join(legend(page, 2))


def test_a_chain_is_drawn_as_boxes_that_are_cut_in_the_middle(page: Page, tmp_path: Path) -> None:
    """Both ends tell the most, and the whole of a step is its title."""
    step = '["</div><script>alert(1)</script>"]'
    chain = (step, "a" * 200, *(f".step{one}" for one in range(100)), ".end")
    who = suspect("app.store").replace(chain=chain)
    show(page, tmp_path, report(leaking(), culprits=[who]))
    boxes = "[...document.querySelectorAll('.drawing div')]"
    texts = page.value(f"{boxes}.map((one) => one.textContent)")
    assert len(texts) == 24
    assert (texts[0], len(texts[1]), texts[-1]) == (step, 37, ".end")
    assert "more" in texts[12]
    assert page.value(f"{boxes}[1].title") == "a" * 200
    assert page.value("document.querySelector('.drawing').getBoundingClientRect().width") <= 416


def test_the_mouse_reads_values(page: Page, tmp_path: Path) -> None:
    """Of all charts at that time; and none where it has gone."""
    show(page, tmp_path, report(leaking(rate=4.0, limit=9000.0)))
    assert legend(page)[1] == "resident memory--"
    mouse(page, 0.5)
    assert legend(page)[1] == "resident memory148 MiB"
    assert legend(page)[0].startswith("TimeFri 16:")
    assert page.value("charts[1].plot.cursor.idx") == page.value("charts[0].plot.cursor.idx")


def test_a_drag_zooms_all_charts_and_a_double_click_shows_all_again(
    page: Page, tmp_path: Path
) -> None:
    """To the stretch that was drawn over."""
    show(page, tmp_path, report(leaking(rate=4.0, limit=9000.0)))
    begin, end = page.value(SHOWN.format(0))
    drag(page, 0.25, 0.5)
    for chart in (0, 1):
        low, high = page.value(SHOWN.format(chart))
        assert low == pytest.approx(begin + (end - begin) / 4, abs=600)
        assert high == pytest.approx(begin + (end - begin) / 2, abs=600)
    for clicks in (1, 2):
        mouse(page, 0.5, kind="mousePressed", clicks=clicks)
        mouse(page, 0.5, kind="mouseReleased", clicks=clicks)
    for chart in (0, 1):
        assert page.value(SHOWN.format(chart)) == [begin, end]


def test_the_keyboard_does_what_the_mouse_does(page: Page, tmp_path: Path) -> None:
    """Tab reaches a chart; keys read, zoom, and show all again."""
    show(page, tmp_path, report(leaking(rate=4.0, limit=9000.0)))
    whole = page.value(SHOWN.format(1))
    press(page, "Tab")
    assert page.value("document.activeElement === charts[0].frame")
    for key in ("ArrowLeft", "ArrowLeft"):
        press(page, key)
    page.value("new Promise(requestAnimationFrame)")
    assert page.value("charts[0].plot.cursor.idx") == 286
    assert legend(page)[1] == "resident memory196 MiB"
    press(page, "+")
    low, high = page.value(SHOWN.format(1))
    assert high - low < (whole[1] - whole[0]) * 0.6
    press(page, "Escape")
    assert page.value(SHOWN.format(1)) == whole


def test_newer_data_go_into_the_same_page(page: Page, tmp_path: Path) -> None:
    """`show` again: the same drawings with more in them, and a reader's zoom stays."""
    day = quiet()
    show(page, tmp_path, report(day[:-1]))
    page.value("window.first = document.querySelector('.chart canvas')")
    later = json.dumps(page_data(report(day)))
    page.value(f"show({later})")
    assert page.value("first === document.querySelector('.chart canvas')")
    assert page.value("charts[0].plot.data[0].length") == 288
    assert page.value(SHOWN.format(0)) == [day[0].wall, day[-1].wall]
    drag(page, 0.25, 0.5)
    zoomed = page.value(SHOWN.format(0))
    page.value(f"show({later})")
    assert page.value(SHOWN.format(0)) == zoomed
    more = [one.replace(malloc=one.rss // 2) for one in day]
    page.value(f"show({json.dumps(page_data(report(more)))})")
    assert page.value("charts.length") == 4
    assert page.value(SHOWN.format(3)) == zoomed
    page.value(f"show({json.dumps(page_data(report([])))})")
    assert page.value("document.querySelectorAll('canvas').length") == 0
    assert page.value("document.querySelector('.soft').textContent") == "There are no samples."


def test_rates_come_from_counters_and_not_across_a_break(page: Page, tmp_path: Path) -> None:
    """Half a processor second each five minutes is 1/600 of a core."""
    show(page, tmp_path, report(quiet(2)))
    told = page.value(
        "rate([0, 300, 600, 750, 900, 1200], [0, 0.5, 1, null, 0.1, 0.6]).map((one) => one ?? -1)"
    )
    assert told == pytest.approx([-1, 1 / 600, 1 / 600, -1, -1, 1 / 600])


def test_a_recording_without_dates_counts_from_its_begin(page: Page, tmp_path: Path) -> None:
    """In hours, and not by a clock."""
    day = [
        one.replace(wall=float(300 * place), at=float(300 * place))
        for place, one in enumerate(quiet())
    ]
    show(page, tmp_path, report(day, is_dated=False))
    assert "100 MiB at 0 h" in page.value("charts[0].words.textContent")
    mouse(page, 0.5)
    assert legend(page)[0] in ("Time11.92 h", "Time12 h")
