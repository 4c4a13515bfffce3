"""The window of tracemalloc."""

import sys
import tracemalloc
from pathlib import Path

import pytest

from fakes import FakeClock
from membudget.heap.window import Window, memray_advice


def test_the_line_whose_memory_stays_is_named_first() -> None:
    clock, kept = FakeClock(), []
    window = Window(20.0, clock.now)
    clock.time += 6.0
    assert window.step() is None
    for _ in range(200):
        kept.append(bytearray(1000))  # noqa: PERF401  # the line that is looked for
    clock.time += 15.0
    lines = window.step()
    assert lines
    assert lines[0].file == __file__
    assert lines[0].bytes >= 200_000
    assert lines[0].per_hour == pytest.approx(lines[0].bytes / 15.0 * 3600, rel=0.01)
    assert not tracemalloc.is_tracing()


def test_what_is_in_flight_at_the_end_is_not_taken_for_what_stays() -> None:
    """A large request that came with the last moment is larger than the leak."""
    clock, kept = FakeClock(), []
    window = Window(20.0, clock.now)
    clock.time += 6.0
    window.step()
    for _ in range(200):
        kept.append(bytearray(1000))  # noqa: PERF401  # the line that is looked for
    clock.time += 12.5
    assert window.step() is None
    request = bytearray(5_000_000)
    clock.time += 2.0
    lines = window.step()
    assert lines
    assert lines[0].bytes < 1_000_000
    assert lines[0].file == __file__
    assert len(request) == 5_000_000


def test_many_blocks_come_before_a_few_that_are_not_much_larger() -> None:
    """Seven requests under way may be chance, and two hundred blocks are not."""
    kept: list[bytearray] = []
    window = Window(20.0, FakeClock().now)
    window.mark()
    for _ in range(200):
        kept.append(bytearray(1000))  # noqa: PERF401  # the line that is looked for
    requests = [bytearray(50_000) for _ in range(7)]
    lines = window.end()
    assert [one.blocks for one in lines[:2]] == [
        pytest.approx(400, abs=10),
        pytest.approx(14, abs=4),
    ]
    assert len(requests) == 7


def test_tracing_that_somebody_else_began_goes_on() -> None:
    """It is used, and never stopped."""
    tracemalloc.start(3)
    try:
        window = Window(1.0)
        window.end()
        assert tracemalloc.is_tracing()
        assert tracemalloc.get_traceback_limit() == 3
    finally:
        tracemalloc.stop()


def test_tracing_that_somebody_else_stopped_gives_no_lines() -> None:
    window = Window(1.0)
    tracemalloc.stop()
    assert window.end() == ()
    assert window.end() == ()


def test_memray_is_advised_where_it_is_installed_and_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    assert memray_advice() == ""
    (tmp_path / "memray.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert "memray run" in memray_advice()
    assert "memray" not in sys.modules
