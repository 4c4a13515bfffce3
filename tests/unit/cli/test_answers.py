"""An answer that nobody would give: a clear line, and never a traceback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import membudget
from hostile_answers import HOSTILE, one_change, received
from membudget.cli.words import details, line, with_answer
from membudget.errors import ControlError
from membudget.governor.status import full_status
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
    told["brake"] = {
        "is_armed": True,
        "limit": 1,
        "room": 1,
        "never_touched": 0,
        "hits": 0,
        "last_hit": None,
        "is_reserve_released": False,
    }
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


def test_a_heap_too_large_to_count_what_is_frozen_is_shown() -> None:
    """From a million live blocks on a process does not count it."""
    told = words({**ANSWER, "gc": {**ANSWER["gc"], "frozen": None, "keeps_shared": True}})
    assert any("objects inherited and frozen" in one for one in told)


def test_a_real_answer_is_shown() -> None:
    """All of it, and what the slot says of who it is."""
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
