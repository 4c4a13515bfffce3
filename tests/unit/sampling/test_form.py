"""Samples packed, in memory and in files: what goes in comes out, and all else is refused."""

import gc
import json
import threading
import tracemalloc
from typing import Any

import pytest

from membudget.errors import ConfigError
from membudget.sampling.form import VERSION, SampleRing, _names, from_text, to_text
from sampling_scene import BEGAN, MIB, STEP, part, sample

SAMPLES = [sample(0), sample(1, parts=(part(), part("b", bytes=None)), limit=5)]


def changed(place: int, value: Any, *, is_sealed: bool = True) -> bytes:
    """A file with one figure of its second sample exchanged."""
    lines = to_text(SAMPLES).splitlines()
    row = json.loads(lines[2])
    row[place] = value
    lines[2] = json.dumps(row).encode()
    body = b"\n".join(lines[1:]) + b"\n"
    if is_sealed:
        from binascii import crc32

        head = json.loads(lines[0]) | {"crc32": f"{crc32(body):08x}"}
        lines[0] = json.dumps(head).encode()
    return lines[0] + b"\n" + body


def test_what_is_written_is_read() -> None:
    assert from_text(to_text(SAMPLES), "a") == SAMPLES
    assert from_text(to_text([]), "a") == []


def test_another_tool_can_read_it() -> None:
    """One JSON value a line, and the first names the places of the others."""
    head, *rows = [json.loads(line) for line in to_text(SAMPLES).splitlines()]
    assert (head["membudget"], head["version"], head["count"]) == ("samples", VERSION, 2)
    found = dict(zip(head["fields"], rows[1], strict=True))
    assert found["rss"] == SAMPLES[1].rss
    parts = [dict(zip(head["part"], one, strict=True)) for one in found["parts"]]
    assert [one["name"] for one in parts] == ["prices", "b"]
    assert parts[1]["bytes"] is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no samples of membudget"),
        (b"\x00\xff\x01", "no samples of membudget"),
        (b"[" * 100_000, "no samples of membudget"),
        (b"t_s,rss_kb\n1,2\n", "no samples of membudget"),
        (b'{"membudget": "settings", "version": 1}\n', "no samples of membudget"),
        (b'{"membudget": "samples", "version": 0}\n', "version 0, not 1"),
        (b'{"membudget": "samples", "version": 2}\n', "version 2, not 1"),
        (b'{"membudget": "samples"}\n', "version None, not 1"),
        (to_text(SAMPLES)[:-20], "cut short"),
        (to_text(SAMPLES).replace(b"prices", b"prizes"), "cut short or changed"),
        (changed(3, 5, is_sealed=False), "cut short or changed"),
    ],
)
def test_what_is_no_such_file_is_refused_with_the_reason(text: bytes, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        from_text(text, "/var/lib/samples")
    assert str(caught.value).startswith("/var/lib/samples ")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((2, value) for value in (None, "5", 1.5, True, -1, 1 << 64)),
        *((1, value) for value in (-5.0, float("nan"), float("inf"))),
        *(pytest.param(place, 10**400, id=f"{place}-beyond floats") for place in (2, 1)),
        (22, [["prices", "Cache", 1, -1, None, None, None]]),
        (22, [["prices", "Cache", 1, 1, None, None, float("nan")]]),
        (22, [["prices", "Cache", 1 << 64, 1, None, None, None]]),
        (11, [1, 2]),
        (11, "123"),
        (13, 1),
        (22, [["prices"]]),
        (22, [["prices", "Cache", "many", None, None, None, None]]),
        (22, "prices"),
    ],
)
def test_a_figure_that_is_none_is_refused(place: int, value: Any) -> None:
    """Although the checksum fits: whoever wrote it was not us."""
    with pytest.raises(ConfigError, match=r"a is broken, line 3: .*(due|argument)") as caught:
        from_text(changed(place, value), "a")
    assert "mend the line" in str(caught.value)


def test_a_name_of_any_letters_survives() -> None:
    """Half a pair of surrogates, a newline, a zero."""
    odd = [sample(0, parts=(part("a\nb\x00\ud800\U0001f600"),))]
    assert from_text(to_text(odd), "a") == odd


def test_a_file_of_a_newer_or_an_older_version_is_read() -> None:
    """A field that is not known is skipped, one that is missing takes its default."""
    from binascii import crc32

    head, row = (json.loads(line) for line in to_text(SAMPLES[:1]).splitlines())
    named = dict(zip(head["fields"], row, strict=True)) | {"colour": "red"}
    del named["requests"], named["fds"]
    body = json.dumps(list(named.values())).encode() + b"\n"
    head |= {**_names(list(named), head["part"]), "crc32": f"{crc32(body):08x}"}
    found = from_text(json.dumps(head).encode() + b"\n" + body, "a")
    assert found == [SAMPLES[0].replace(requests=None, fds=None)]


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
