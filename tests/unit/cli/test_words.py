"""The figures of a process in words, fit for a terminal whatever it calls itself."""

from __future__ import annotations

from typing import Any

import pytest

from membudget.cli.words import details, line

HOSTILE = "a\x1b[2Jb\nc\r\u202ed" + "e" * 10_000
COUNTS = {"entries": 1, "dropped": 1, "hits": 1, "misses": 1, "most": None, "held": None}


def row(text: str) -> dict[str, Any]:
    """A process that says this wherever it can say something."""
    named = {"name": text, "why": text, "kind": text}
    cache = {"name": text, "entries": 1, "bytes": 1, "max_bytes": 9, "hit_rate": 1, "evictions": {}}
    change = {"before": text, "level": text, "used": 1, "limit": 2, "cause": text}
    sizes = dict.fromkeys(("peak", "governed", "reclaimed", "held_free", "reserved"), 1)
    return {
        **sizes,
        "pid": 7,
        "name": text,
        "used": 1,
        "limit": 2,
        "source": text,
        "level": text,
        "rate": 0.0,
        "seconds_left": None,
        "parts": {text: 1},
        "caches": [cache],
        "seconds_at": {text: 1.0},
        "late": {"times": 0},
        "found": [{**COUNTS, **named}],
        "found_count": 1,
        "adopted": [{**COUNTS, **named}],
        "untouched": [{**COUNTS, **named}],
        "gc": {"is_enabled": True, "counts": [0], "collections": [0], "frozen": 0},
        "allocator": {"blocks": 1, "asked": [{**named, "free": None, "given_back": 1}]},
        "threads": 1,
        "leak": {"kind": text, "confidence": text, "reason": text, "culprits": [text]},
        "proposals": [dict.fromkeys(("setting", "to", "now", "reason"), text)],
        "brake": None,
        "changes": [change],
    }


@pytest.mark.parametrize("index", range(14))
def test_no_name_of_another_process_steers_the_terminal(index: int) -> None:
    """Each line is one printable line of bounded length, with what it is about still in it."""
    told = [line(row(HOSTILE)), *details(row(HOSTILE))]
    assert len(told) == 14
    assert told[index].isprintable()
    assert len(told[index]) < 3000


def test_allocators_tell_what_they_gave_back_or_why_they_are_left_alone() -> None:
    """What cannot be asked is said, not left to be guessed."""
    pools = {"name": "pyarrow pools", "free": 3 << 20, "given_back": 219 << 20, "why": ""}
    preload = {"name": "mimalloc", "free": None, "given_back": 0, "why": ""}
    polars = {"name": "polars", "free": None, "given_back": 0, "why": "cannot be asked"}
    told = details({**row("a"), "allocator": {"blocks": 1, "asked": [pools, preload, polars]}})
    assert [one.split(maxsplit=1)[1] for one in told if one.startswith("  allocator")][1:] == [
        "pyarrow pools: 219 MiB given back, at most 3.00 MiB more to give",
        "mimalloc: 0 B given back",
        "polars: left alone: cannot be asked",
    ]


def test_plain_names_are_told_as_they_are() -> None:
    """Also in other scripts."""
    assert "цены цены" in line({**row("цены цены"), "level": "NORMAL"})


def test_the_leak_line_says_what_how_sure_and_why() -> None:
    """Or that it is too early, or nothing where nobody judges."""
    leak = {
        "kind": "native growth",
        "confidence": "medium",
        "reason": "+12 MiB/h over 6 h.",
        "culprits": [],
    }

    def told(found: object) -> list[str]:
        return [one.strip() for one in details({**row("a"), "leak": found}) if "leak " in one]

    assert told(leak) == ["leak       native growth (medium): +12 MiB/h over 6 h."]
    assert told({**leak, "culprits": ["app.book"]}) == [
        "leak       native growth (medium) in app.book: +12 MiB/h over 6 h."
    ]
    assert told({**leak, "kind": "no growth", "confidence": "none"}) == [
        "leak       no growth: +12 MiB/h over 6 h."
    ]
    early = {"confidence": None, "reason": "3 samples so far, 24 are due"}
    assert told(early) == ["leak       too early to say: 3 samples so far, 24 are due"]
    assert told(None) == []


def test_proposals_are_told_with_what_holds_now_and_why() -> None:
    """A line each; nothing where nothing is proposed."""
    warning = {"setting": "thresholds.warning", "to": "50%", "now": "80%", "reason": "so it was"}
    book = {"setting": "maxlen of book", "to": "450", "now": "", "reason": "so it was"}
    told = list(details({**row("x"), "proposals": [warning, book]}))
    assert "  proposed   thresholds.warning 50% in place of 80%: so it was" in told
    assert "  proposed   maxlen of book 450: so it was" in told
    assert not [one for one in details({**row("x"), "proposals": []}) if "proposed" in one]
