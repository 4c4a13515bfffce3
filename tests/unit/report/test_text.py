"""The report as text and as JSON: the figures are in it, and it fits where it goes."""

import json

import pytest

from membudget.core.nouns import GroupRow, GroupState
from membudget.forecast import Anomaly
from membudget.leaks.advice import Proposal
from membudget.report import SCHEMA, Happening, OperationFigure, Report, report
from membudget.report.page import page_data
from membudget.report.text import as_text, between, headline, whole_percent
from report_scene import BEGAN, MIB, leaking, part, quiet, sample, suspect

LONG = "a.very.long.module.path." * 20 + "\x1b[31m"


def rich() -> Report:
    """All there can be, with names that nobody should use."""
    samples = leaking()
    samples[-1] = samples[-1].replace(parts=(part(LONG), part("free", most=None)))
    return report(
        samples,
        name=LONG,
        culprits=[suspect("app.store.SessionStore._by_id"), suspect(LONG)],
        operations=[OperationFigure(name="phase:x", times=4, grew=-3 * MIB, took=9.0)],
        happenings=[Happening(wall=BEGAN + 90_000, kind="level", severity="error", text=LONG)] * 20,
        proposals=[
            Proposal(setting=f"maxlen of {LONG}", value=1900.0, reason=LONG),
            Proposal(
                setting="thresholds.low",
                value=0.4,
                reason="so it was",
                key="thresholds.low",
                now="70%",
            ),
        ],
        marks={"low": 280 * MIB},
        notes=["A note. " * 30],
        group=GroupState(
            source=f"cgroup v2 /{LONG}",
            room=150 * MIB,
            rows=(
                GroupRow(
                    name="web", pid=7, used=90 * MIB, held=70 * MIB, share=50 * MIB, why="so it is"
                ),
                GroupRow(name=LONG, pid=8, used=1, held=0, share=0, why=LONG),
            ),
            untold=3,
        ),
    ).replace(anomalies=(odd("requests", 1.0, 9.0),))


def odd(name: str, value: float, expected: float) -> Anomaly:
    return Anomaly(
        name=name, value=value, expected=expected, spread=1.0, score=-8.0, basis="last hour"
    )


@pytest.mark.parametrize("made", [rich(), report([]), report(quiet(1)), report(quiet(2))])
def test_no_line_is_longer_than_a_terminal_or_controls_it(made: Report) -> None:
    """80 columns, and no escape sequence of anybody's."""
    text = as_text(made)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert text.endswith("\n")


def test_the_headline_says_rate_since_when_in_what() -> None:
    """What somebody woken at night wants to know first."""
    told = headline(rich())
    assert told.startswith("Leaks 12.0 MiB/h since ")
    assert "in app.store.SessionStore._by_id (dict, +3,100 items/h" in told
    assert "Limit reached in 1.1 d (1.1 d to 1.1 d)." in as_text(rich()).splitlines()


def test_the_headline_of_a_young_process_claims_nothing() -> None:
    """An hour of samples is too few to call anything healthy."""
    assert headline(report(quiet(12))) == "Too early to say whether it leaks."
    assert headline(report(quiet())) == "No leak is seen."
    assert headline(report([])) == "No samples, so nothing can be said."
    assert "Too early to foretell the limit." in as_text(report(quiet(12)))
    assert "The limit is not in sight." in as_text(report(quiet()))


def test_a_level_above_normal_stands_in_the_headline() -> None:
    """Nobody is to read "no leak is seen" alone while memory is short."""
    pressed = report(quiet(), level="CRITICAL")
    assert headline(pressed) == "CRITICAL now. No leak is seen."
    assert page_data(pressed)["headline"] == headline(pressed)


def test_text_has_the_figures() -> None:
    text = as_text(rich())
    for words in ("388 MiB", "700 MiB", "minimum", "low", "culprit 1", "and 8 more"):
        assert words in text


def test_json_is_whole_stable_and_strict() -> None:
    """Units in the names, nothing that JSON lacks; `null` for what is not known."""
    found = json.loads(json.dumps(rich().as_json(), allow_nan=False))
    assert found["schema"] == SCHEMA
    assert found["memory"]["limit_bytes"] == 700 * MIB
    assert found["leak"]["confidence"] == "high"
    assert found["leak"]["rate_bytes_per_hour"] == pytest.approx(12 * MIB, rel=0.02)
    assert found["culprits"][0]["growth_share"] == 0.93
    assert found["parts"][0]["max_bytes"] == 20 * MIB
    assert found["forecast"]["seconds_left_s"] > 0
    empty = report([]).as_json()
    assert empty["leak"] is None
    assert empty["memory"]["used_bytes"] is None
    assert set(empty) == set(found)


def test_who_shares_the_limit_is_told_in_each_form() -> None:
    """Who holds what, its share, and why; nothing where nobody shares."""
    row = "7 web: caches 70.0 MiB, share 50.0 MiB, in all 90.0 MiB; so it is"
    whole = "2 processes share 150 MiB for caches, lent while unused; other"
    told = as_text(rich())
    assert f"SHARED BY A GROUP\n  {whole}" in told
    assert f"\n  {row}\n" in told
    (section,) = [one for one in page_data(rich())["sections"] if "group" in one["title"]]
    assert section["notes"][0].startswith(whole)
    assert section["notes"][1] == row
    alone = report(quiet(2))
    assert "GROUP" not in as_text(alone)
    assert alone.as_json()["group"] is None


KEYS = {
    "group": "source room_bytes rows untold",
    "member": "name pid used_bytes held_bytes share_bytes why",
    "leak": "at_unix_s kind confidence score rate_bytes_per_hour rate_low_bytes_per_hour "
    "rate_high_bytes_per_hour onset_unix_s growth_bytes growing_share window_s reason is_leak "
    "levels_off_at_bytes wants_collection step filling simple",
    "simple": "rate_mib_per_hour threshold_mib_per_hour hours samples is_above growing_share "
    "growth_per_sample_share running_samples growth_over_window_share",
    "filling": "name full_in_s full_at_bytes fill_share rate_bytes_per_hour",
    "step": "at_unix_s size_bytes",
    "culprits": "name kind items_per_hour bytes_per_hour growth_share newest chain note",
    "parts": "name kind items held_bytes max_items max_bytes ttl_s fill_share grew_items "
    "grew_bytes",
    "operations": "name times grew_bytes took_s",
    "events": "at_unix_s kind severity text",
    "forecast": "seconds_left_s soonest_s latest_s levels_off_at_bytes",
    "anomalies": "name value expected score basis",
    "proposals": "setting key proposed now reason",
    "used_bytes": "now average minimum maximum",
}


def test_json_keeps_its_keys() -> None:
    """Scripts read them: another name for one is another schema."""
    filling = [
        one.replace(parts=(part(held=place * MIB // 20),), explained=place * MIB // 20)
        for place, one in enumerate(quiet())
    ]
    stepped = [sample(place, 100 if place < 150 else 180) for place in range(288)]
    made = rich().as_json()
    found = {
        **made,
        "member": made["group"]["rows"],
        "used_bytes": made["memory"]["used_bytes"],
        "simple": made["leak"]["simple"],
        "filling": report(filling).as_json()["leak"]["filling"],
        "step": report(stepped).as_json()["leak"]["step"],
    }
    for name, keys in KEYS.items():
        (one, *_) = found[name] if isinstance(found[name], list) else [found[name]]
        assert set(one) == set(keys.split()), name


def test_proposals_stand_in_all_three_forms() -> None:
    made = rich()
    assert "PROPOSED SETTINGS" in as_text(made)
    assert "thresholds.low 40% in place of 70%: so it was" in as_text(made)
    assert made.as_json()["proposals"][1] == {
        "setting": "thresholds.low",
        "key": "thresholds.low",
        "proposed": "40%",
        "now": "70%",
        "reason": "so it was",
    }
    assert made.as_json()["proposals"][0]["key"] is None
    (told,) = [one for one in page_data(made)["sections"] if one["title"] == "Proposed settings"]
    assert told["rows"][1] == ["thresholds.low", "70%", "40%", "so it was"]
    assert "PROPOSED" not in as_text(report(quiet(12)))


def test_a_recording_proposes_what_its_history_is_long_enough_for() -> None:
    """A quiet day far below its limit: lower marks; a day that leaks: none."""
    told = {one.setting: one.told for one in report(quiet()).proposals}
    assert told["thresholds.warning"] == "50%"
    assert "thresholds.warning" not in {one.setting for one in report(leaking()).proposals}
    assert report(quiet(100)).proposals == ()


def test_infinite_figures_become_null() -> None:
    """Whatever a forecast gives, any JSON reader takes."""
    endless = odd("x", float("inf"), float("nan"))
    found = report(quiet(2)).replace(anomalies=(endless,)).as_json()
    assert found["anomalies"][0]["value"] is None


def test_what_is_not_full_is_not_called_so() -> None:
    assert (whole_percent(0.996), whole_percent(1.0), whole_percent(1.3)) == ("99%", "100%", "130%")


def test_an_interval_has_one_unit_where_it_can() -> None:
    assert between(11 * MIB, 12.9 * MIB) == "11.0 to 12.9 MiB/h"
    assert between(900 * 1024, 2 * MIB) == "900 KiB to 2.00 MiB/h"


def test_where_it_is_too_early_no_score_is_told() -> None:
    """Nothing was weighed yet: a growth of zero would be untrue."""
    early, late = report(quiet(12)), report(quiet())
    for form in (as_text, page_data):
        assert "score" not in str(form(early))
        assert "score" in str(form(late))


def test_what_a_part_gained_is_told_where_it_gained_anything() -> None:
    """In items and in bytes; of one that stands still nothing."""
    samples = [
        sample(place, 90, parts=(part("fills", (5 + place) * MIB), part("still")))
        for place in range(4)
    ]
    text = as_text(report(samples))
    lines = text.splitlines()
    fills = next(line for line in lines if "fills" in line)
    still = next(line for line in lines if "still" in line)
    assert "+3,072 items" in fills
    assert "+3.00 MiB" in text
    assert "+" not in still


def test_a_report_is_its_text_where_it_is_printed() -> None:
    assert f"{rich()}\n" == as_text(rich())
