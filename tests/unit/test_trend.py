"""Trends: slopes, ranks and floors, against brute force and against the libraries of the field."""

from statistics import median as median_of
from statistics import quantiles

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from membudget.trend import (
    envelope,
    floors,
    increments,
    kendall_tau,
    kept,
    mad,
    mann_kendall_z,
    median,
    pairwise_slopes,
    quantile,
    rising_share,
    theil_sen,
)

VALUES = st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=40)


def places(y: list[float]) -> list[float]:
    """0, 1, 2, … for a list of values."""
    return [float(place) for place in range(len(y))]


def sign(value: float) -> int:
    """-1, 0 or 1."""
    return (value > 0) - (value < 0)


@given(VALUES)
def test_the_median_is_the_one_of_the_standard_library(y: list[float]) -> None:
    """So is what half of the values lie below."""
    assert median(y) == median_of(y)
    assert quantile(sorted(y), 0.5) == pytest.approx(median_of(y))


@given(VALUES)
def test_quantiles_are_those_of_the_standard_library(y: list[float]) -> None:
    """Interpolated between the two nearest values, ends included."""
    quarters = quantiles(y, n=4, method="inclusive")
    assert [quantile(sorted(y), share) for share in (0.25, 0.5, 0.75)] == pytest.approx(quarters)


def test_nothing_has_no_middle_no_spread_and_no_slope() -> None:
    """Empty input is an answer of zero, not an error: a young process has no history."""
    assert (median([]), mad([]), quantile([], 0.5), theil_sen([], [])) == (0.0, 0.0, 0.0, 0.0)
    assert (mann_kendall_z([]), mann_kendall_z([1.0]), rising_share([])) == (0.0, 0.0, 0.0)


@given(VALUES)
def test_the_slope_is_the_median_of_all_slopes(y: list[float]) -> None:
    """Counted out pair by pair."""
    pairs = [(i, j) for i in range(len(y)) for j in range(i)]
    slopes = sorted((y[i] - y[j]) / (i - j) for i, j in pairs)
    assert pairwise_slopes(places(y), y) == slopes
    assert theil_sen(places(y), y) == pytest.approx(median_of(slopes))


def test_points_of_one_place_have_no_slope_between_them() -> None:
    """Two samples of one moment are left out."""
    assert pairwise_slopes([1.0, 1.0, 2.0], [0.0, 5.0, 10.0]) == [5.0, 10.0]


@given(VALUES)
def test_tau_is_concordant_less_discordant_pairs(y: list[float]) -> None:
    """Ties count as neither."""
    pairs = [(i, j) for i in range(len(y)) for j in range(i)]
    score = sum(sign(y[i] - y[j]) for i, j in pairs)
    assert kendall_tau(places(y), y) == pytest.approx(score / len(pairs))


@given(VALUES)
def test_mann_kendall_counts_every_pair(y: list[float]) -> None:
    """By bisection it is what the double loop gives."""
    score = sum(sign(y[j] - y[i]) for i in range(len(y)) for j in range(i + 1, len(y)))
    count = len(y)
    deviation = (count * (count - 1) * (2 * count + 5) / 18) ** 0.5
    assert mann_kendall_z(y) == pytest.approx((score - sign(score)) / deviation)


def test_a_quarter_of_wild_points_does_not_move_the_slope() -> None:
    """Where least squares would follow them."""
    y = [2.0 * place for place in range(24)]
    for place in range(0, 24, 4):
        y[place] = 1000.0
    assert theil_sen(places(y), y) == pytest.approx(2.0, abs=0.3)


@given(VALUES, st.integers(1, 12))
def test_floors_are_the_minima_of_equal_blocks(y: list[float], blocks: int) -> None:
    """Each value is in one block; blocks without a value are left out."""
    t = places(y)
    centres, minima = floors(t, y, 0.0, t[-1], blocks)
    width = t[-1] / blocks
    by_block: dict[int, float] = {}
    edges = [width * (block + 1) for block in range(blocks)]
    for at, value in zip(t, y, strict=True):
        block = next((place for place, edge in enumerate(edges[:-1]) if at < edge), blocks - 1)
        by_block[block] = min(value, by_block.get(block, value))
    assert minima == [by_block[block] for block in sorted(by_block)]
    assert centres == pytest.approx([width * (block + 0.5) for block in sorted(by_block)])


@given(VALUES)
def test_what_is_kept_is_the_lowest_of_now_and_later(y: list[float]) -> None:
    """It never falls, and never lies above the value."""
    assert kept(y) == [min(y[place:]) for place in range(len(y))]


@given(VALUES)
def test_increments_add_up_to_the_whole(y: list[float]) -> None:
    """Nothing is lost between neighbours."""
    assert sum(increments(y)) == pytest.approx(y[-1] - y[0])


@settings(deadline=None)  # The first call imports a library.
@given(VALUES)
def test_slopes_and_tau_are_those_of_scipy(y: list[float]) -> None:
    """Theil-Sen; and Kendall's tau where there are no ties, on which scipy's differs."""
    stats = pytest.importorskip("scipy.stats")
    x = places(y)
    assert theil_sen(x, y) == pytest.approx(stats.theilslopes(y, x).slope)
    if len(set(y)) == len(y):
        assert kendall_tau(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50).map(float), min_size=4, max_size=30, unique=True))
def test_mann_kendall_is_the_library_s(y: list[float]) -> None:
    """On values without ties, for which neither needs a correction."""
    library = pytest.importorskip("pymannkendall")
    assert mann_kendall_z(y) == pytest.approx(library.original_test(y).z)


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), max_size=400), st.integers(4, 60))
def test_an_envelope_keeps_ends_lowest_and_highest(y: list[float | None], most: int) -> None:
    """And is about as short as asked for."""
    t = [float(place) for place in range(len(y))]
    kept = envelope(t, y, most)
    known = [place for place, value in enumerate(y) if value is not None]
    assert kept == sorted(set(kept))
    assert set(kept) <= set(known)
    if known:
        values = [value for value in y if value is not None]
        assert {known[0], known[-1]} <= set(kept)
        assert {min(values), max(values)} <= {y[place] for place in kept}
        assert len(kept) <= most + 4
