"""A budget's samples and verdict: lazily made, wired to its settings, ended with it."""

import gc
import threading
from pathlib import Path
from typing import Any

import pytest

import membudget
from commands import lines_of
from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.core import Failed, Reclaimed, Rung, Sample, Sampled
from membudget.errors import ConfigError
from membudget.inspection import NAME, CollectAndTrim
from membudget.leaks import Confidence
from membudget.registry import Registry
from sampling_scene import day, governed
from waiting import eventually

LIMIT = 4096 * MIB


def start(recorder: Recorder, **settings: Any) -> membudget.Budget:
    """A budget without a thread, over a register of its own."""
    return membudget.start(LIMIT, thread=False, sinks=[recorder], registry=Registry(), **settings)


def test_samples_are_records_and_the_event_carries_them() -> None:
    """The first comes with the first step after the start."""
    recorder = Recorder()
    with start(recorder) as budget:
        assert budget.samples == []
        book = budget.dict("book", max_items=5)
        budget.step()
        (sample,) = budget.samples
        (event,) = recorder.of(Sampled)
        assert event.sample == sample
        assert isinstance(sample, Sample)
        assert sample.rss > MIB
        assert sample.malloc is None or sample.malloc > 0
        assert sample.system_available is not None
        assert [part.name for part in sample.parts] == [book.name]
        budget.step()
        assert len(budget.samples) == 1
    assert len(budget.samples) == 1


def test_the_reports_maximum_is_the_peak_also_between_samples() -> None:
    """The judged figure and the resident set; and the budget's own figure is the same.

    In a process of its own: what this one held once is not told again.
    """
    program = (
        "import membudget\n"
        "budget = membudget.start('4GiB', thread=False); budget.step()\n"
        "x = b'x' * (60 << 20); del x\n"
        "report = budget.report()\n"
        "print((report.use.most - budget.samples[0].used) >> 20)\n"
        "print(report.resident.most >= report.use.most, budget.stats().peak == report.use.most)\n"
    )
    gained, agreement = lines_of(program)
    assert 55 <= int(gained) <= 65
    assert agreement == "True True"


def test_a_start_imports_nothing_that_takes_samples_or_judges() -> None:
    """A process that lives for a moment does not pay for them."""
    program = (
        "import sys, membudget\n"
        "budget = membudget.start('4GiB', thread=False)\n"
        "def there(): return sorted({m.split('.')[1] for m in sys.modules\n"
        "    if m.startswith(('membudget.leaks', 'membudget.sampling', 'membudget.trend'))})\n"
        "print(there()); budget.step(); print(there()); print('json' in sys.modules)\n"
        "budget.stop()\n"
    )
    assert lines_of(program) == ["[]", "['sampling']", "False"]


def test_it_ends_with_the_budget() -> None:
    """No callback of the collector stays, and stopping twice does nothing."""
    before = list(gc.callbacks)
    budget = start(Recorder())
    budget.step()
    assert len(gc.callbacks) == len(before) + 1
    budget.stop()
    budget.stop()
    assert gc.callbacks == before


def test_asking_for_leaks_early_says_that_it_is_early() -> None:
    """Also before there is a sample."""
    with start(Recorder()) as budget:
        assert budget.leaks().confidence is Confidence.NONE
        assert "Too early" in budget.leaks().reason
        budget.step()
        assert "1 sample over" in budget.leaks().reason


def test_the_verdict_that_stands_is_told() -> None:
    """Made on the budget's own steps, from the samples that it has."""
    with start(Recorder(), monitoring={"history_size": 288}) as budget:
        budget.step()
        watch, ring = budget.inspection._watch, budget.inspection.ring
        assert watch is not None
        assert ring is not None
        ring.clear()
        watch._begin()
        for sample in day(20, 14):
            ring.add(sample)
            watch.after_sample(sample)
            while watch.due(0.0):
                watch.run(float("inf"))
        verdict = budget.leaks()
        assert verdict.confidence >= Confidence.MEDIUM
        row = budget.inspection.status()["leak"]
        assert row is not None
        assert row.reason == verdict.reason


def test_without_leaks_nobody_judges_and_samples_are_taken() -> None:
    """Whoever asks gets a verdict of the moment."""
    with start(Recorder(), leaks={"enabled": False}) as budget:
        budget.step()
        assert len(budget.samples) == 1
        assert budget.inspection.status()["leak"] is None
        assert budget.leaks().confidence is Confidence.NONE


def test_a_budget_that_only_watches_does_not_collect_for_a_verdict() -> None:
    """Accusing goes without it."""
    with start(Recorder(), cleanup={"auto": False}) as budget:
        assert budget.governor.collector is None
    with start(Recorder()) as budget:
        assert budget.governor.collector is not None


def test_requests_are_asked_for_where_somebody_counts() -> None:
    with start(Recorder()) as budget:
        budget.inspection.requests = lambda: 42
        budget.step()
        assert budget.samples[0].requests == 42


def test_the_history_goes_on_in_the_next_budget(tmp_path: Path) -> None:
    file = tmp_path / "samples"
    recorder = Recorder()
    for count in (1, 2, 3):
        with start(recorder, monitoring={"history_file": str(file)}) as budget:
            budget.step()
        assert len(budget.samples) == count
    assert not recorder.of(Failed)


def test_what_came_and_went_is_known_in_the_next_budget(tmp_path: Path) -> None:
    """Before anything comes and goes there, once the file is read."""
    history = {"history_file": str(tmp_path / "samples")}
    with start(Recorder(), monitoring=history) as budget:
        budget.governor.transients.learn(budget.governor.clock.now(), 120 * MIB)
        budget.step()
    with start(Recorder(), monitoring=history) as budget:
        assert budget.stats().transients.kept == 0

        def is_known() -> bool:
            budget.step()
            budget.governor.transients.peaked(0)
            return budget.stats().transients.highest == 120 * MIB

        eventually(is_known)


def test_a_child_forked_amid_the_import_takes_no_samples_and_says_so() -> None:
    """It is governed all the same; importing what its parent was importing may never end."""
    recorder = Recorder()
    with start(recorder) as budget:
        budget.governor.imports.__enter__()
        budget.governor.after_fork_in_child()
        budget.step()
        assert budget.samples == []
        (sampled,) = recorder.of(Sampled)
        assert sampled.sample is None
        (failed,) = recorder.of(Failed)
        assert failed.where == "imports"


def test_a_forked_child_is_another_process_in_its_samples() -> None:
    """With a number and a beginning of its own, and none of its parent's samples."""
    with start(Recorder(), monitoring={"snapshot_interval": 0.001}) as budget:
        budget.step()
        parents = budget.samples
        budget.governor.after_fork_in_child()
        assert budget.samples == []
        budget.step()
        (own,) = budget.samples
        assert own.at > parents[-1].at
        assert own.gc_efficiency is None or 0 <= own.gc_efficiency <= 1


class Asked:
    """A reclaimer that counts how it is asked."""

    rung = Rung.AGGRESSIVE
    objects = 7

    def __init__(self, name: str, claims: int, *, rests: bool = False) -> None:
        self.name = name
        self.claims = claims
        self.rests = rests
        self.times = 0

    def reclaimable(self) -> int | None:
        return 0 if self.rests else None

    def reclaim(self, target: int, until: float) -> int:
        self.times += 1
        return self.claims


def test_collecting_before_accusing_is_one_collection_and_one_trim_and_told() -> None:
    """With what they let go and by how much the process shrank."""
    recorder, sizes = Recorder(), iter([100 * MIB, 70 * MIB])
    collect, trim = Asked("full gc", 20 * MIB), Asked("malloc trim", 5)
    both = CollectAndTrim(
        governed(FakeMemory(FakeClock()), recorder), collect, trim, lambda: next(sizes)
    )
    done = both(50 * MIB)
    assert done is not None
    freed, returned = done
    assert 20 * MIB <= freed < 30 * MIB
    assert returned == 30 * MIB
    assert (collect.times, trim.times) == (1, 1)
    (event,) = recorder.of(Reclaimed)
    assert (event.by, event.rung, event.asked, event.objects) == (NAME, None, 50 * MIB, 7)
    assert (event.claimed, event.measured) == (freed, 30 * MIB)


def test_collecting_before_accusing_waits_while_collections_rest() -> None:
    """The cooldown is that of all full ones; a trim that promises nothing is not waited for."""
    recorder = Recorder()
    governor = governed(FakeMemory(FakeClock()), recorder)
    collect, trim = Asked("full gc", 1, rests=True), Asked("malloc trim", 1)
    assert CollectAndTrim(governor, collect, trim, lambda: 1)(5) is None
    assert (collect.times, trim.times) == (0, 0)
    assert not recorder.events
    collect.rests, trim.rests = False, True
    assert CollectAndTrim(governor, collect, trim, lambda: 1)(5) is not None
    assert (collect.times, trim.times) == (1, 0)


def test_samples_may_be_read_by_any_thread_while_they_are_taken() -> None:
    """As a dashboard does."""
    failures: list[BaseException] = []
    with start(Recorder(), monitoring={"snapshot_interval": 0.001, "history_size": 5}) as budget:
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                try:
                    budget.samples  # noqa: B018  # reading is what is tried
                except Exception as error:  # noqa: BLE001  # shown below
                    failures.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(300):
            budget.step()
        done.set()
        reader.join()
        assert len(budget.samples) <= 5
    assert not failures


def test_a_redaction_that_cannot_be_called_is_refused_at_the_start() -> None:
    """Not when a leak is suspected, hours later."""
    wrong: Any = "digits"
    with pytest.raises(ConfigError, match=r"^redact 'digits' cannot be called"):
        membudget.start("4GiB", sinks=[], registry=Registry(), redact=wrong)
