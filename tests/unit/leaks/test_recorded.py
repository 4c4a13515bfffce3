"""The verdict over recorded memory of real processes: leaks are told in time, the rest never."""

import json
from pathlib import Path
from typing import Any

import pytest

from leak_scene import alarms, recorded

ROOT = Path(__file__).parents[3]
CORPUS = ROOT / "bench" / "data" / "leak-corpus" / "traces"
OTHERS = ROOT / "tests" / "fixtures" / "leaks"

_LINES = (CORPUS / "labels.jsonl").read_text(encoding="utf-8").splitlines()
LABELS: dict[str, Any] = {one["id"]: one for one in map(json.loads, _LINES)}

LEAKS = {
    "p001": 6.5,
    "p010": 10.0,
    "p020": 14.0,
    "p024": 8.0,
    "p025": 9.0,
    "p026": 7.0,
    "p029": 9.5,
    "p030": 13.5,
    "p033": 18.5,
    "p035": 7.0,
    "p076": 7.0,
}
"""Hours from the onset to the alarm at most."""

HEALTHY = ("p037", "p041", "p044", "p047", "p051", "p055", "p057", "p061", "p064", "p069", "p073")


def of_corpus(name: str) -> list[float]:
    """The hours at which a trace of the corpus was called a leak."""
    sizes = {part: bound["bytes_per_item"] for part, bound in LABELS[name]["bounded"].items()}
    return alarms(recorded(CORPUS / f"{name}.csv.gz", **sizes))


@pytest.mark.parametrize(("name", "within"), LEAKS.items())
def test_a_recorded_leak_is_told_in_time_and_stays_told(name: str, within: float) -> None:
    """From lists and listeners to a burst at night under a load that doubles."""
    label, told = LABELS[name], of_corpus(name)
    onset = label.get("onset_h") or 0.0
    assert onset < told[0] <= onset + within
    assert told[-1] >= label["hours"] - 1


@pytest.mark.parametrize("name", HEALTHY)
def test_a_recorded_healthy_process_is_never_accused(name: str) -> None:
    """Warm-ups, fills, saws, a day's load, batches, fragmentation, steps, noise, high waters."""
    assert not LABELS[name]["leak"]
    assert not of_corpus(name)


@pytest.mark.parametrize("name", ["config_reload_1", "allocator_ratchet_1"])
def test_a_program_that_nobody_tuned_for_is_never_accused(name: str) -> None:
    """Tables that grow with each reload, and an allocator that keeps a little more each hour."""
    assert not alarms(recorded(OTHERS / f"{name}.csv.gz"))
