"""Advice: what the history proposes, and that a short one proposes nothing."""

from typing import Any

from leak_scene import MIB, jitter, sample
from membudget.core import PartSample, Sample
from membudget.core.native import in_one_go
from membudget.leaks.advice import Proposal, proposing


def propose(samples: list[Sample], **given: Any) -> tuple[Proposal, ...]:
    return in_one_go(proposing(samples, **given))


def history(
    mib: float, limit: float, *, hours: int = 24, noise: float = 0.5, **part: object
) -> list[Sample]:
    """A day of a process that holds so many MiB under a limit of so many."""
    parts = (PartSample(**part),) if part else ()  # type: ignore[arg-type]  # any of its fields
    return [
        sample(step / 12, mib + noise * jitter(step), limit=round(limit * MIB), parts=parts)
        for step in range(hours * 12 + 1)
    ]


def by_setting(samples: list[Sample]) -> dict[str, Proposal]:
    return {one.setting: one for one in propose(samples)}


def test_half_a_day_is_needed() -> None:
    """A history of eleven hours proposes nothing, nor does none."""
    assert propose(history(100, 1000, hours=11)) == ()
    assert propose([]) == ()


def test_a_process_far_below_its_limit_gets_lower_marks() -> None:
    """Half of the limit at the least, and low a tenth below."""
    found = by_setting(history(300, 1000))
    assert found["thresholds.warning"].value == 0.5
    assert found["thresholds.low"].value == 0.4
    assert "99 of 100 samples" in found["thresholds.warning"].reason


def test_marks_that_fit_are_left_alone() -> None:
    """A tenth above the peak is about where the warning is."""
    assert "thresholds.warning" not in by_setting(history(720, 1000))


def test_a_process_at_its_limit_needs_a_larger_one() -> None:
    """No mark fits between its normal day and the limit."""
    found = by_setting(history(900, 1000))
    assert found["limit"].value > 1000 * MIB
    assert "thresholds.warning" not in found


def test_without_a_limit_no_marks_are_proposed() -> None:
    samples = [one.replace(limit=None) for one in history(300, 1000)]
    assert not [one for one in propose(samples) if one.setting.startswith("thresholds")]


def test_a_noisy_process_gets_a_higher_minimum_rate_and_a_quiet_one_a_lower() -> None:
    """What the noise of the floors can feign is no leak."""
    noisy = by_setting(history(1000, 4000, noise=200.0))["leaks.minimum_rate"]
    quiet = by_setting(history(50, 4000, noise=0.01))["leaks.minimum_rate"]
    assert noisy.value > 1.0 > quiet.value
    assert "MiB/h" in noisy.reason


def test_a_deque_without_a_bound_gets_one_above_all_it_held() -> None:
    """Rounded up to two figures."""
    found = by_setting(history(100, 1000, name="events", kind="watched deque", items=1234))
    assert found["maxlen of events"].value == 1900
    assert "1,234 items" in found["maxlen of events"].reason


def test_a_deque_that_only_grows_is_told_as_such() -> None:
    """The proposal is a question then."""
    samples = [
        one.replace(parts=(PartSample(name="events", kind="watched deque", items=10 * step),))
        for step, one in enumerate(history(100, 1000))
    ]
    assert "grows by 120 items an hour" in by_setting(samples)["maxlen of events"].reason


def test_a_bound_far_above_what_was_held_is_lowered() -> None:
    """And one that is nearly used is not."""

    def proposed(most: int) -> dict[str, Proposal]:
        part = {"name": "events", "kind": "BoundedDeque", "items": 100, "most_items": most}
        return by_setting(history(100, 1000, hours=24, noise=0.5, **part))

    assert proposed(10_000)["maxlen of events"].value < 200
    assert "maxlen of events" not in proposed(150)


def test_each_is_told_as_a_settings_file_writes_it() -> None:
    """With what holds now, and the key that does it."""
    found = by_setting(history(300, 1000, name="events", kind="watched deque", items=100))
    warning, events = found["thresholds.warning"], found["maxlen of events"]
    assert (warning.now, warning.told, warning.key) == ("80%", "50%", "thresholds.warning")
    assert (events.now, events.told, events.key) == ("", "150", "components.events.max_items")
    limit = by_setting(history(900, 1000))["limit"]
    assert (limit.now, limit.told) == ("1000MiB", "1248MiB")
    rate = by_setting(history(50, 4000, noise=0.01))["leaks.minimum_rate"]
    assert (rate.now, rate.told) == ("1MiB/h", "0.1MiB/h")


def test_the_bound_of_a_deque_of_ours_is_the_programs_to_change() -> None:
    found = by_setting(history(100, 1000, name="events", kind="BoundedDeque", items=100))
    assert found["maxlen of events"].key == ""


def test_what_is_in_use_is_what_is_compared_with() -> None:
    """Marks that were set to what is proposed are no longer proposed."""
    samples = history(300, 1000)
    told = {one.setting for one in propose(samples, warning=0.5, low=0.4)}
    assert not [one for one in told if one.startswith("thresholds")]


def test_a_process_that_leaks_is_proposed_no_limit_and_no_marks() -> None:
    """What it holds then is no normal day."""
    for samples in (history(900, 1000), history(300, 1000)):
        told = {one.setting for one in propose(samples, is_growing=True)}
        assert not [one for one in told if one.startswith(("thresholds", "limit"))]
