"""How much a stretch of code held beyond its start, by the kernel's mark and by samples."""

import mmap
import sys

import pytest

from membudget.testing import markers
from membudget.testing.markers import HighMark

MIB = 1 << 20
SLACK = 4 * MIB


def taken(size: int) -> mmap.mmap:
    """Memory of its own: the allocator might serve it from what it holds free, and keep it."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, size, mmap.PAGESIZE):
        memory[page] = 1
    return memory


def test_a_short_peak_is_seen() -> None:
    with HighMark() as mark:
        taken(64 * MIB)
    assert abs(mark.peak - 64 * MIB) < SLACK
    assert mark.end < SLACK


def test_what_is_kept_is_there_at_the_end() -> None:
    with HighMark() as mark:
        kept = taken(32 * MIB)
    assert abs(mark.end - 32 * MIB) < SLACK
    assert abs(mark.peak - 32 * MIB) < SLACK
    assert len(kept) == 32 * MIB


def test_an_earlier_peak_does_not_count() -> None:
    taken(64 * MIB)
    with HighMark() as mark:
        taken(8 * MIB)
    assert mark.peak < 16 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="the mark is Linux's")
def test_where_the_mark_cannot_be_set_back_it_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sandbox, and on other systems."""
    monkeypatch.setattr(markers, "_reset_mark", lambda: False)
    with HighMark() as mark:
        kept = taken(64 * MIB)
        for _ in range(200):  # Work that lets a thread look.
            sum(range(20_000))
    assert "sampled" in mark.means
    assert abs(mark.peak - 64 * MIB) < SLACK
    assert abs(mark.end - 64 * MIB) < SLACK
    assert len(kept) == 64 * MIB


def test_an_error_passes_through() -> None:
    mark = HighMark()
    with pytest.raises(KeyError), mark:
        raise KeyError
    assert mark.peak < SLACK
