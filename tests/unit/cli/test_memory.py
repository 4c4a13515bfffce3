"""The figures of a process in words: any answer is a clear line, fit for a terminal."""

import json
import os
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import membudget
from hostile_answers import HOSTILE, one_change, received
from membudget.cli.drawing import fitted
from membudget.cli.lookup import Found
from membudget.cli.memory import details, line, with_answer
from membudget.core.nouns import Status
from membudget.errors import ControlError
from membudget.governor.status import full_status
from membudget.host import identity_of
from membudget.probes.process import SOURCE
from membudget.registry import Registry

SLOT: dict[str, Any] = {
    "pid": 7,
    "name": "shop.py",
    "at": 1.7e9,
    "used": 1,
    "limit": None,
    "source": "configured",
    "level": "NORMAL",
    "rate": 0.0,
    "seconds_left": None,
}


def real_answer() -> Any:
    """What a process with something of each kind answers."""
    registry = Registry()
    with membudget.start("2GiB", thread=False, registry=registry, sinks=[]) as budget:
        cache = budget.cache("prices", max_bytes="20MiB")
        cache.set("a", "x" * 1000)
        trades = budget.deque("trades", maxlen=5)
        trades.append(1)
        held = {1: 1}
        budget.watch("book", held, max_items=5)
        budget.step()
        told = full_status(budget.governor).as_answer()
    counts = {"entries": 1, "held": 1, "most": 1, "hits": 1, "misses": 1, "dropped": 0}
    told["found"] = [{"name": "f", "why": "", **counts}]
    told["untouched"] = [{"name": "g", "kind": "dict", "why": "small", "entries": 1}]
    told["adopted"] = [{"name": "h", "entries": None, "held": None, "dropped": 0}]
    told["allocator"]["asked"] = [{"name": "a", "free": 1, "given_back": 1, "why": "so"}]
    told["floor"] = told["elsewhere"] = 1
    told["transients"] = {"kept": 130 << 20, "highest": 120 << 20, "an_hour": 41}
    told["brake"] = {
        "is_armed": True,
        "limit": 1,
        "room": 1,
        "never_touched": 0,
        "hits": 0,
        "last_hit": None,
        "is_reserve_released": False,
    }
    member = {"name": "w", "pid": 8, "used": 3, "held": 2, "share": 1, "why": "so"}
    told["group"] = {"source": "cgroup", "room": 1 << 20, "rows": [member], "untold": None}
    told["leak"] = {"kind": "a leak", "confidence": "high", "reason": "so", "culprits": ["c"]}
    told["proposals"] = [{"setting": "limit", "to": "1GiB", "now": "", "reason": "so"}]
    told["changes"] = [
        {"before": "NORMAL", "level": "WARNING", "used": 1, "limit": None, "cause": "warning"}
    ]
    return json.loads(json.dumps(told))


ANSWER = real_answer()


def words(answer: Any) -> list[str]:
    """What `memory -v` shows of it."""
    row = with_answer(SLOT, received(answer))
    json.dumps(row, allow_nan=False)
    return [line(row), *details(row)]


def test_room_that_is_kept_is_told_with_what_it_is_kept_for() -> None:
    """And nothing of it where none is, or an older process answers."""
    told = "peaks      keeps 130 MiB free for peaks of 120 MiB, 41 an hour"
    assert f"  {told}" in words(ANSWER)
    kept = {**ANSWER["transients"], "kept": 0}
    assert "keeps" not in "\n".join(words({**ANSWER, "transients": kept}))
    older = {key: value for key, value in ANSWER.items() if key != "transients"}
    assert "keeps" not in "\n".join(words(older))


def test_who_shares_the_group_is_told_a_line_each() -> None:
    told = words(ANSWER)
    at = told.index("  group      one process has 1.00 MiB for caches (cgroup)")
    assert told[at + 1] == f"{'':13}8 w: caches 2 B, share 1 B, in all 3 B; so"


def test_lines_hang_on_a_terminal_and_are_whole_in_a_pipe() -> None:
    """A path is not cut: it is copied from there."""
    path = f"/sys/fs/{'a-b' * 30}"
    told = f"  group      {'two words ' * 10}({path})"
    first, *others = fitted(told, 80).split("\n")
    assert max(map(len, [first, *others[:-1]])) <= 80
    assert all(one.startswith(" " * 15) and one[15] != " " for one in others)
    assert others[-1].strip() == f"({path})"
    assert fitted(told, 0) == told


def test_a_heap_too_large_to_count_what_is_frozen_is_shown() -> None:
    """From a million live blocks on a process does not count it."""
    told = words({**ANSWER, "gc": {**ANSWER["gc"], "frozen": None, "keeps_shared": True}})
    assert any("objects inherited and frozen" in one for one in told)


def test_a_real_answer_is_shown() -> None:
    told = "\n".join(words({**ANSWER, "pid": 8, "name": HOSTILE, "namespace": "other"}))
    assert told.startswith("7 shop.py: ")
    for name in ("prices", "trades", "book", "f:", "g:", "h:", "a leak", "limit 1GiB", "WARNING"):
        assert name in told


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_one_odd_field_is_refused_or_shown_in_plain_lines(data: st.DataObject) -> None:
    """Other types, sizes that nothing has, escapes, nothing at all."""
    try:
        told = words(data.draw(one_change(ANSWER)))
    except ControlError as error:
        told = [str(error)]
    assert all(one.isprintable() for one in told)
    assert all(len(one) < 5000 for one in told)


@pytest.mark.parametrize(
    ("name", "value"),
    [("used", "a"), ("used", float("nan")), ("limit", 0), ("limit", []), ("level", "FINE")],
)
def test_the_figures_of_the_first_line_are_said_to_be_wrong(name: str, value: Any) -> None:
    """By name, with what stands there, and what may be the cause."""
    with pytest.raises(ControlError, match=rf"process 7 is not understood \(.*{name}.*same vers"):
        words({**ANSWER, name: value})


def test_an_older_process_is_shown() -> None:
    """Fields that came later may be missing, and one that came later still is passed on."""
    older = {key: ANSWER[key] for key in ANSWER if key not in ("leak", "proposals", "watched")}
    assert words(older)
    assert with_answer(SLOT, received({**ANSWER, "later": [1]}))["later"] == [1]


ODD_NAME = "a\x1b[2Jb\nc\r\u202ed" + "e" * 10_000
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
    told = [line(row(ODD_NAME)), *details(row(ODD_NAME))]
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


def test_beside_the_machines_use_stands_what_is_the_processs_own() -> None:
    """Without a limit the machine's memory is judged, which says nothing of the process."""
    figures = Status(
        used=2 << 30,
        limit=20 << 30,
        source=SOURCE,
        level="NORMAL",
        rate=0.0,
        seconds_left=None,
        at=time.time(),
    )
    found = Found(identity=identity_of(os.getpid()), folder="", figures=figures)
    told = line(found.as_row()).partition(": ")[2]
    own, _, machine = told.partition(" of its own; the machine ")
    assert machine == "2.00 GiB of 20.0 GiB (10%, system memory) NORMAL +0 B/s"
    assert own.endswith("MiB")
    limited = Found(
        identity=found.identity, folder="", figures=figures.replace(source="configured")
    )
    assert "of its own" not in line(limited.as_row())


def test_use_above_the_limit_is_over_it() -> None:
    told = line({**SLOT, "used": 3 << 20, "limit": 2 << 20, "seconds_left": 0.0})
    assert ", over the limit" in told


def test_plain_names_are_told_as_they_are() -> None:
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
    warning = {"setting": "thresholds.warning", "to": "50%", "now": "80%", "reason": "so it was"}
    book = {"setting": "maxlen of book", "to": "450", "now": "", "reason": "so it was"}
    told = list(details({**row("x"), "proposals": [warning, book]}))
    assert "  proposed   thresholds.warning 50% in place of 80%: so it was" in told
    assert "  proposed   maxlen of book 450: so it was" in told
    assert not [one for one in details({**row("x"), "proposals": []}) if "proposed" in one]
