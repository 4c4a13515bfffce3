"""The format of a samples file: what is written is read, and all else is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from membudget.errors import ConfigError
from membudget.sampling.form import VERSION, _names, from_text, to_text
from sampling_scene import part, sample

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
    """And nothing is a file of no samples."""
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
    """By the name it was given."""
    with pytest.raises(ConfigError, match=why) as caught:
        from_text(text, "/var/lib/samples")
    assert str(caught.value).startswith("/var/lib/samples ")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (2, None),
        (2, "5"),
        (2, 1.5),
        (2, True),
        (2, -1),
        (1, -5.0),
        (1, float("nan")),
        (1, float("inf")),
        (2, 1 << 64),
        pytest.param(2, 10**400, id="2-beyond floats"),
        pytest.param(1, 10**400, id="1-beyond floats"),
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
