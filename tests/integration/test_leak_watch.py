"""Real processes whose samples tell a faster time: leaks told, fills not, history over a kill."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from membudget.sampling.form import from_text
from waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")
PROGRAM = str(Path(__file__).with_name("leak_program.py"))
MIB = 1 << 20


def told(*arguments: str) -> list[dict[str, Any]]:
    """What the program says, a line each."""
    argv = [sys.executable, PROGRAM, *arguments]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_process_that_leaks_says_so_after_it_has_collected_once() -> None:
    """About 12 MiB an hour of its time, in objects, from the beginning on."""
    lines = told("leak")
    events = [line["event"] for line in lines if "event" in line]
    assert events == ["LeakSuspected", "Reclaimed", "LeakSuspected"]
    low, collection, medium = lines[:3]
    assert low["confidence"] == "low"
    assert collection["by"] == "leak check"
    assert medium["confidence"] == "medium"
    assert 10 * MIB < float(medium["rate"]) < 15 * MIB
    assert medium["kind"] in ("leak in Python objects", "native growth")
    assert lines[-1]["confidence"] == "MEDIUM"


def test_a_process_says_half_a_day_before_that_it_will_meet_its_limit() -> None:
    """Once, with the hours that the pressure then tells as well."""
    lines = told("near")
    (near,) = [line for line in lines if line.get("event") == "LimitForeseen"]
    left = float(near["seconds_left"])
    assert 9 * 3600 < left < 12 * 3600
    assert float(near["soonest"]) <= left
    assert 10 * MIB < float(near["rate"]) < 15 * MIB
    (told_by_pressure,) = [
        line["seconds_left"] for line in lines if "seconds_left" in line and "event" not in line
    ]
    assert told_by_pressure == pytest.approx(left, rel=0.05)


def test_who_grows_is_named_after_three_looks() -> None:
    """The list that holds it, by its module; the suspicion before that named nobody."""
    events = [line for line in told("named") if line.get("event") == "LeakSuspected"]
    assert events[0]["culprit"] == ""
    assert events[-1]["culprit"] == "__main__.kept"


@pytest.mark.parametrize("way", ["texts", "redacted"])
def test_what_redact_returns_is_all_that_is_told_of_the_programs_texts(
    way: str, tmp_path: Path
) -> None:
    """In the event, the report's three forms and through the socket; without it they are there."""
    lines = told(way, str(tmp_path))
    forms = {line["form"]: line["text"] for line in lines if "form" in line}
    assert set(forms) == {"txt", "json", "html", "socket"}
    events = [line for line in lines if line.get("event") == "LeakSuspected"]
    assert events[-1]["culprit"] == "__main__.texts"
    # 256 a sample, which says five minutes: looks are dated by the clock of the samples, whose hour
    # is 0.4 s long here; one of another clock would have it 10,000 times as many.
    (culprit, *_) = json.loads(forms["json"])["culprits"]
    assert 256 * 6 < culprit["items_per_hour"] < 256 * 24
    shown = {form for form, text in forms.items() if "zzsomebodyszz" in text}
    hidden = {form for form, text in forms.items() if "hidden" in text}
    if way == "texts":
        assert shown == set(forms)
    else:
        assert (shown, hidden) == (set(), set(forms))
    assert "zzsomebodyszz" not in json.dumps(events)
    assert not [line for line in lines if line.get("event") == "Failed"]


def test_what_grows_within_a_cache_is_named_by_the_cache() -> None:
    """Nothing else leads to that list, and the cache itself has one entry."""
    events = [line for line in told("cached") if line.get("event") == "LeakSuspected"]
    assert events[-1]["culprit"] == 'cache "prices"'


def test_garbage_that_nobody_collects_is_known_by_its_type() -> None:
    """The collection before accusing frees it, and those who look for culprits hear what it was."""
    (freed,) = [line["freed"] for line in told("cycles") if "freed" in line]
    assert freed["__main__.Node"] > 1000


def test_a_program_whose_collector_is_off_is_not_stopped_for_a_collection() -> None:
    """What it leaves is called garbage without one."""
    lines = told("off")
    (collections,) = [line["collections"] for line in lines if "collections" in line]
    (end,) = [line for line in lines if "end" in line]
    assert collections == 0
    assert (end["confidence"], end["end"]) == ("MEDIUM", "uncollected garbage")


def test_a_leak_that_is_sure_is_traced_to_its_line_where_that_was_asked_for() -> None:
    """The line beside the list that holds what it allocated."""
    (suspected,) = [line["suspected"] for line in told("traced") if "suspected" in line]
    assert suspected[0]["name"] == "__main__.kept"
    lines = Path(PROGRAM).read_text().splitlines()
    (place,) = [at for at, text in enumerate(lines, 1) if "os.urandom(4096)" in text]
    assert f"allocated at {PROGRAM}:{place}, " in suspected[0]["note"]


def test_a_process_that_fills_a_bounded_cache_is_not_accused() -> None:
    """It takes in as much, and its end was told."""
    lines = told("bounded")
    assert [line for line in lines if "event" in line] == []
    assert lines[-1]["confidence"] == "NONE"
    assert lines[-1]["samples"] > 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_begins_with_samples_and_verdict_of_its_own() -> None:
    *_, child, parent = told("fork")
    assert child["child"] == 0
    assert child["samples"] == 1
    assert child["pids"] == [True]
    assert child["reason"].startswith("Too early")
    assert parent["parent"] > 50
    assert parent["confidence"] == "MEDIUM"


def killed_life(file: Path) -> int:
    """Have the program live until it has written its history, and kill it; its number."""
    before = file.read_bytes() if file.exists() else b""
    argv = [sys.executable, PROGRAM, "history", str(file)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: file.exists() and file.read_bytes() != before)
        finally:
            process.kill()
    return process.pid


def test_the_history_outlives_a_kill_and_a_restart(tmp_path: Path) -> None:
    """Both lives are in the file, each with its number and its beginning."""
    file = tmp_path / "samples"
    lives = [killed_life(file), killed_life(file)]
    samples = from_text(file.read_bytes(), "a")
    assert list(dict.fromkeys(one.pid for one in samples)) == lives
    assert len({one.began for one in samples}) == 2
    assert {path.name for path in tmp_path.iterdir()} <= {"samples", "samples.lock", "samples.new"}
