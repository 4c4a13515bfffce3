"""The ring of samples: what goes in comes out, the newest are kept, little memory is taken."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import pytest

from membudget.sampling.ring import SampleRing
from sampling_scene import BEGAN, MIB, STEP, part, sample


def test_what_is_added_is_told_oldest_first() -> None:
    """With everything that a sample may hold, and with nothing of it."""
    full = sample(
        1,
        limit=512 * MIB,
        file=3,
        system_share=0.5,
        system_available=2**63,
        gc_efficiency=0.125,
        children=0,
        tasks=0,
        requests=-5,
        parts=(part(), part("b", items=None, bytes=None, most_bytes=None, ttl=3.5)),
    )
    ring = SampleRing()
    ring.add(sample(0))
    ring.add(full)
    assert ring.latest() == [sample(0), full]
    assert len(ring) == 2


def test_the_oldest_are_forgotten_and_what_only_they_named_with_them() -> None:
    """Parts that come and go leave nothing behind."""
    ring = SampleRing(size=3)
    for number in range(50):
        parts = (part(f"session {number}"), part("always"))
        ring.add(sample(number, parts=parts, limit=number + 1))
    assert [one.at for one in ring.latest()] == [1000 + STEP * number for number in (47, 48, 49)]


@pytest.mark.parametrize(("most", "told"), [(None, 5), (0, 0), (2, 2), (9, 5)])
def test_the_newest_alone_are_unpacked_for_who_wants_no_more(most: int | None, told: int) -> None:
    """A history of weeks is not read for the two days that a client is told."""
    ring = SampleRing(5)
    for place in range(7):
        ring.add(sample(place))
    assert ring.latest(most) == [sample(place) for place in range(2, 7)][5 - told :]


def test_none_is_not_zero() -> None:
    """What is not known and what is not there are two things."""
    ring = SampleRing()
    ring.add(sample(0, children=None, malloc=0, gc_efficiency=None, parts=(part(bytes=None),)))
    ring.add(sample(1, children=0, malloc=None, gc_efficiency=0.0, parts=(part(bytes=0),)))
    first, second = ring.latest()
    assert (first.children, first.malloc, first.gc_efficiency) == (None, 0, None)
    assert (second.children, second.malloc, second.gc_efficiency) == (0, None, 0.0)
    assert (first.parts[0].bytes, second.parts[0].bytes) == (None, 0)


def test_an_earlier_life_goes_before_as_far_as_there_is_room() -> None:
    """The newest of it are kept."""
    ring = SampleRing(size=4)
    ring.add(sample(10))
    ring.add(sample(11))
    ring.restore([sample(number, began=BEGAN - 9) for number in range(5)])
    assert [one.at for one in ring.latest()] == [1000 + STEP * n for n in (3, 4, 10, 11)]
    ring.add(sample(12))
    assert [one.at for one in ring.latest()] == [1000 + STEP * n for n in (4, 10, 11, 12)]
    ring.restore([sample(1)])
    assert len(ring) == 4


def test_a_cleared_ring_is_a_new_one() -> None:
    """As a forked child has it."""
    ring = SampleRing(size=2)
    ring.add(sample(0, parts=(part(),)))
    ring.clear()
    assert ring.latest() == []
    ring.add(sample(1))
    assert ring.latest() == [sample(1)]


def test_a_reader_beside_the_writer_sees_whole_samples_in_order() -> None:
    """Rows that go meanwhile are left out; nothing is mixed up."""
    ring = SampleRing(size=40)
    seen: list[str] = []

    def read() -> None:
        for _ in range(60):
            found = ring.latest()
            ats = [one.at for one in found]
            if ats != sorted(ats):
                seen.append("out of order")
            seen.extend(
                "mixed up"
                for one in found
                if [part.name for part in one.parts] != [f"part {int(one.at)}"]
            )

    reader = threading.Thread(target=read)
    reader.start()
    number = 0
    while reader.is_alive():
        number += 1
        ring.add(sample(number, at=float(number), parts=(part(f"part {number}"),)))
    reader.join()
    assert not seen


def test_a_day_with_ten_parts_takes_less_than_120_kilobytes() -> None:
    """Measured by what Python has allocated for it."""
    names = [f"cache {number}" for number in range(10)]

    def fill(ring: SampleRing) -> None:
        for number in range(400):
            parts = tuple(
                part(name, items=10_000 + number, bytes=20 * MIB + number) for name in names
            )
            ring.add(
                sample(
                    number,
                    rss=450 * MIB + number,
                    cpu=12.5 * number,
                    system_share=0.5,
                    system_available=8 << 30,
                    file=30 * MIB,
                    children=100 * MIB,
                    governed=200 * MIB,
                    explained=200 * MIB,
                    requests=10**6 + number,
                    gc_runs=(10**5, 10**4, 10**3),
                    tasks=100,
                    fds=90,
                    parts=parts,
                )
            )

    fill(SampleRing())
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        ring = SampleRing()
        fill(ring)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(ring) == 288
    assert taken < 120_000


def test_reading_yields_now_and_then() -> None:
    """So that the governor's thread reads on in slices."""
    ring = SampleRing()
    for number in range(100):
        ring.add(sample(number))
    slices = sum(1 for _ in ring.reading())
    assert slices >= 5
