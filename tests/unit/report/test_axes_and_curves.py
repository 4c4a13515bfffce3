"""Ticks at round figures, curves that keep their peaks and break where nobody looked."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from membudget.report.axes import byte_ticks, number_ticks, share_ticks, time_ticks, whole_ticks
from membudget.report.columns import Columns
from membudget.report.reduced import envelope
from report_scene import BEGAN, MIB, sample


def names(ticks: list[tuple[float, str]]) -> list[str]:
    """What the ticks say."""
    return [name for _, name in ticks]


def test_bytes_are_told_in_one_round_unit() -> None:
    """0, 100 MiB, 200 MiB, and not 104857600."""
    assert names(byte_ticks(0, 230 * MIB)) == ["0", "50 MiB", "100 MiB", "150 MiB", "200 MiB"]
    assert names(byte_ticks(0, 1.1 * 2**30)) == ["0", "0.5 GiB", "1.0 GiB"]


def test_counts_and_shares_are_round() -> None:
    """With thousands as k, whole things whole."""
    assert names(number_ticks(0, 160_000, 3)) == ["0", "100k"]
    assert names(whole_ticks(0, 2)) == ["0", "1", "2"]
    assert names(share_ticks(0, 0.012, 3)) == ["0.0 %", "0.5 %", "1.0 %"]


def test_time_is_told_by_the_clock_or_since_the_beginning() -> None:
    """Midnight is a date."""
    local = time.localtime(BEGAN)
    midnight = BEGAN - local.tm_hour * 3600 - local.tm_min * 60 - local.tm_sec
    ticks = time_ticks(midnight, midnight + 86400, is_dated=True, most=4)
    date = time.strftime("%d %b", time.localtime(midnight))
    assert names(ticks)[:4] == [date, "06:00", "12:00", "18:00"]
    assert names(time_ticks(0, 86400, is_dated=False, most=4)) == [
        "0 h",
        "6 h",
        "12 h",
        "18 h",
        "24 h",
    ]


@given(
    st.floats(-1e15, 1e15),
    st.floats(1e-6, 1e15),
    st.sampled_from([byte_ticks, number_ticks, whole_ticks, share_ticks]),
)
def test_ticks_lie_within_and_are_few(low: float, span: float, ticks: object) -> None:
    """Whatever the range, no more than can be read."""
    high = low + span + abs(low) * 1e-9  # Closer together two figures are hardly two.
    found = ticks(low, high)  # type: ignore[operator]
    slack = (high - low) * 1e-6 + abs(low) * 1e-9 + 2e-9  # 1e-9 of a whole step too
    assert len(found) <= 7
    assert all(low - slack <= at <= high + slack for at, _ in found)


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


def test_a_line_breaks_at_a_restart_and_where_nobody_looked() -> None:
    """A missing value stands between."""
    samples = [sample(place, 90) for place in (0, 1, 2, 30, 31)]
    samples += [sample(place, 90, began=BEGAN + 9) for place in (32, 33)]
    _, y = Columns(samples).of(lambda one: one.rss)
    assert [place for place, value in enumerate(y) if value is None] == [3, 6]


def test_rates_come_from_counters_and_not_across_a_restart() -> None:
    """Half a processor second each five minutes is 1/600 of a core."""
    samples = [sample(place, 90) for place in range(5)]
    samples += [sample(5, 90, began=BEGAN + 9).replace(cpu=0.1)]
    _, y = Columns(samples).rate(lambda one: one.cpu, 1.0)
    assert [round(one * 600, 6) for one in y if one is not None] == [1.0] * 4
