"""What a process answers comes back as the same report."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import membudget
from hostile_answers import one_change, received
from membudget.core.native import breathing
from membudget.core.nouns import GroupRow, GroupState
from membudget.core.wire import plain, record_from
from membudget.errors import ControlError
from membudget.governor.status import full_status
from membudget.leaks import Verdict
from membudget.leaks.advice import Proposal
from membudget.leaks.culprit import Culprit
from membudget.leaks.verdict import last_look
from membudget.registry import Registry
from membudget.report import answered, report
from membudget.report.text import as_text
from membudget.sampling.form import packing, unpacked
from report_scene import assert_harmless, leaking, part


def test_a_verdict_goes_through_json_and_comes_back() -> None:
    verdict = last_look(leaking())
    assert isinstance(verdict, Verdict)
    assert record_from(Verdict, json.loads(json.dumps(plain(verdict)))) == verdict


def test_samples_go_through_json_and_come_back() -> None:
    """Parts that come, go and change their bounds included."""
    samples = leaking(4)
    samples[1] = samples[1].replace(parts=(part("a"), part("b")))
    samples[2] = samples[2].replace(parts=(part("b"), part("a", most=None)))
    assert unpacked(json.loads(json.dumps(breathing(packing(samples))))) == samples
    assert unpacked(json.loads(json.dumps(breathing(packing([]))))) == []


def test_a_budget_reports_and_answers_the_same() -> None:
    """In the process and through the socket's JSON: the same parts, limit and marks."""
    with membudget.start("2GiB", thread=False, registry=Registry(), sinks=[]) as budget:
        cache = budget.cache("prices", max_bytes="20MiB")
        cache.set("a", "x" * 1000)
        budget.step()
        own = budget.report()
        answer = json.loads(json.dumps(budget.inspection.day.as_answer({})))
        asked = answered(answer)
        assert own.use is not None
        assert own.limit == asked.limit
        for made in (own, asked):
            (part,) = made.parts
            assert (part.name, part.kind, part.items, part.most_bytes) == (
                *("prices", "Cache", 1, 20 << 20),
            )
            assert set(made.marks) == {"low", "warning", "critical", "emergency", "shutdown"}
            assert made.level == ""
        assert answered({**answer, "level": "WARNING"}).level == "WARNING"


def test_events_of_the_day_are_in_the_report() -> None:
    """A refusal is told by its line; nothing of the event itself is kept."""
    with membudget.start("2GiB", thread=False, registry=Registry(), sinks=[]) as budget:
        with pytest.raises(membudget.OverBudgetError), budget.admit("3GiB"):
            pass
        (refused,) = [one for one in budget.report().happenings if one.kind == "refused"]
        assert refused.text.startswith("a request for 3.00 GiB was refused: ")
        assert refused.severity == "warning"


@pytest.mark.parametrize(
    "answer", [{}, {"fields": ["wall"], "rows": [[1]], "parts": [], "held": [[]]}, {"parts": 3}]
)
def test_an_answer_that_is_not_understood_says_so(answer: dict[str, object]) -> None:
    """Another version on the other side is the likely cause."""
    with pytest.raises(ControlError, match="same version"):
        answered(answer)


def test_a_running_process_tells_what_it_proposes() -> None:
    """Through the socket's JSON, as `membudget memory -v` and the report read it."""
    with membudget.start("2GiB", thread=False, registry=Registry(), sinks=[]) as budget:
        budget.step()
        watch = budget.inspection._watch
        assert watch is not None
        watch.proposals = (
            Proposal(setting="thresholds.low", value=0.4, reason="so", key="x", now="70%"),
        )
        answer = json.loads(json.dumps(budget.inspection.day.as_answer({})))
        assert answered(answer).proposals == watch.proposals
        memory = full_status(budget.governor).as_answer()
        assert memory["proposals"] == [
            {"setting": "thresholds.low", "to": "40%", "now": "70%", "reason": "so"}
        ]
        answer.pop("proposals")
        assert answered(answer).proposals == ()


def day_answer() -> Any:
    """A day with a leak, events, culprits and proposals, as a process answers it."""
    samples = leaking()
    verdict = last_look(samples)
    culprit = Culprit(
        name="app._by_id",
        kind="dict",
        items_per_hour=5.0,
        bytes_per_hour=1e6,
        share=0.9,
        newest="Order",
        chain=("app", "_by_id"),
    )
    proposal = Proposal(setting="thresholds.low", value=0.4, reason="so", key="x", now="70%")
    member = GroupRow(name="web.py", pid=8, used=3, held=2, share=1, why="so")
    told = {
        "pid": 7,
        "name": "shop.py",
        **breathing(packing(samples)),
        "left_out": 3,
        "verdict": plain(verdict),
        "culprits": [plain(culprit)],
        "proposals": [plain(proposal)],
        "marks": {"low": 1 << 20},
        "group": plain(GroupState(source="cgroup", room=1 << 20, rows=(member,), untold=1)),
        "events": [[samples[-1].wall, "Failed", "error", "it failed"]],
    }
    return json.loads(json.dumps(told))


DAY = day_answer()


def test_the_whole_day_comes_back() -> None:
    """So that what follows changes something."""
    made = answered(DAY)
    told = as_text(made)
    for words in ("shop.py", "app._by_id", "thresholds.low", "it failed", "8 web.py", "3 older"):
        assert words in told


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_one_odd_field_is_refused_or_shown_without_harm(data: st.DataObject) -> None:
    """In each form: text of printable lines, a page without foreign tags, JSON that is JSON."""
    try:
        made = answered(received(data.draw(one_change(DAY))))
    except ControlError as error:
        made = report([], name=str(error))
    assert_harmless(made)
