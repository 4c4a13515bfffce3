"""What a program holds: `start()` and the budget it returns."""

import asyncio
import importlib
import os
import re
import subprocess
import sys
import threading

import pytest

import membudget
from fakes import MIB, Recorder
from membudget.core import Failed, Level, Reclaimed, Rung, Shortcoming, Started, Stopped
from membudget.errors import ConfigError, OverBudgetError
from membudget.registry import Registry
from own_threads import own_threads
from waiting import eventually

LIMIT = 2048 * MIB


def budget_of(recorder: Recorder) -> membudget.Budget:
    """A budget without a thread, over a register of its own."""
    return membudget.start(LIMIT, thread=False, sinks=[recorder], registry=Registry())


def test_start_reads_tells_and_keeps_the_limit_given() -> None:
    """The first reading is there at once, and the start is told with the limit's source."""
    recorder = Recorder()
    with budget_of(recorder) as budget:
        assert budget.pressure.limit == LIMIT
        assert budget.pressure.used > MIB
        (started,) = recorder.of(Started)
        assert started.reading.source == "configured"
    assert recorder.of(Stopped)


def test_a_limit_below_what_the_process_holds_is_told_once_and_kept_as_far_as_can_be() -> None:
    """A service whose baseline grew still boots; the line gives both figures and what would fit."""
    recorder = Recorder()
    with membudget.start("1MiB", thread=False, sinks=[recorder], registry=Registry()) as budget:
        budget.step()
        assert (budget.pressure.limit, budget.pressure.level) == (MIB, Level.EMERGENCY)
    (told,) = recorder.of(Shortcoming)
    assert re.search(
        r"1\.00 MiB .* below what is held already \(.* MiB\): about .* room", told.what
    )


def test_a_cache_of_the_budget_is_counted_and_asked() -> None:
    """It registers itself, appears in the figures, and gives way when asked by hand."""
    with budget_of(Recorder()) as budget:
        cache = budget.cache("prices", max_bytes="50MiB", ttl="1h")
        for key in range(1000):
            cache.set(key, "x" * 1000)
        assert budget.stats().governed == cache.held_bytes() > 1_000_000
        assert budget.stats().pressure == budget.pressure
        assert budget.reclaim("moderate") > 1_000_000
        assert len(cache) == 0


def test_a_callback_is_asked_at_its_rung_until_it_is_removed() -> None:
    """A program's own function joins the ladder by name."""
    recorder = Recorder()
    asked: list[int] = []

    def flush(target: int) -> int:
        asked.append(target)
        return MIB

    with budget_of(recorder) as budget:
        remove = budget.callback("flush", flush, rung="gentle")
        budget.reclaim(Rung.GENTLE)
        remove()
        budget.reclaim(Rung.GENTLE)
        assert len(asked) == 1
        assert "flush" in [one.by for one in recorder.of(Reclaimed)]


def test_an_unknown_rung_is_refused_with_the_known_ones() -> None:
    with budget_of(Recorder()) as budget, pytest.raises(ConfigError, match="gentle, moderate"):
        budget.reclaim("hard")


def test_admission_refuses_what_cannot_fit() -> None:
    """Text sizes and times are understood; what does not fit is an error to handle."""
    with budget_of(Recorder()) as budget:
        with budget.admit("1MiB"):
            assert budget.stats().reserved == MIB
        with pytest.raises(OverBudgetError), budget.admit("100GiB", timeout="10ms"):
            pass
        with pytest.raises(ConfigError):
            budget.admit("100")


def test_a_waiting_request_gets_the_room_that_the_loop_makes() -> None:
    """With the thread running, a cache is shrunk for a request that waits."""
    recorder = Recorder()
    used = membudget.start(LIMIT, thread=False, sinks=[], registry=Registry())
    base = used.pressure.used
    used.stop()
    limit = base + 300 * MIB
    with membudget.start(limit, sinks=[recorder], registry=Registry()) as budget:
        cache = budget.cache("frames", max_bytes="200MiB")
        for key in range(120):
            cache.set(key, b"x" * MIB)
        budget.step()
        room = budget.governor.admission.room()
        with budget.admit(room + 40 * MIB, timeout=20):
            assert cache.held_bytes() < 110 * MIB


def test_a_budget_is_an_async_context_manager_too() -> None:
    """A lifespan of a web program is one."""

    async def live() -> Level:
        async with budget_of(Recorder()) as budget:
            return budget.pressure.level

    assert asyncio.run(live()) is Level.NORMAL


def test_two_budgets_in_one_process_are_refused_but_one_may_give_way() -> None:
    """The second start says what to do; a launcher's budget steps aside by itself."""
    registry = Registry()
    first = membudget.start(LIMIT, thread=False, sinks=[], registry=registry, is_launched=True)
    second = membudget.start(LIMIT, thread=False, sinks=[], registry=registry)
    with pytest.raises(ConfigError, match="stop"):
        membudget.start(LIMIT, thread=False, sinks=[], registry=registry)
    assert registry.governor is second.governor
    second.stop()
    first.stop()


def test_maintenance_runs_every_chore() -> None:
    with budget_of(Recorder()) as budget:
        cache = budget.cache("sessions", ttl=0.001)
        cache.set("a", 1)
        threading.Event().wait(0.01)
        budget.maintain()
        assert len(cache) == 0


def test_one_thread_and_its_end() -> None:
    """`stop()` leaves nothing behind, and a second one does nothing."""
    budget = membudget.start(LIMIT, sinks=[], registry=Registry())
    eventually(lambda: own_threads() == 1)
    budget.stop()
    budget.stop()
    eventually(lambda: own_threads() == 0)


def test_a_failing_sink_is_no_reason_not_to_start() -> None:
    """It never takes the host program down."""
    recorder = Recorder()

    def broken(_event: object) -> None:
        raise RuntimeError("no disk")

    with membudget.start(LIMIT, thread=False, sinks=[broken, recorder], registry=Registry()):
        assert recorder.of(Failed)


def test_every_public_name_is_there_and_no_other() -> None:
    """`__all__` is the promise; each name resolves on first use."""
    for name in membudget.__all__:
        assert getattr(membudget, name) is not None
    assert set(membudget.__all__) <= set(dir(membudget))
    with pytest.raises(AttributeError, match="no attribute 'Manager'"):
        _ = membudget.Manager  # type: ignore[attr-defined]


def test_importing_loads_nothing_and_starting_nothing_heavy() -> None:
    """The watched process stays light."""
    program = """
import sys
import membudget
assert [m for m in sys.modules if m.startswith("membudget.")] == [], "loaded at import"
budget = membudget.start("400MiB")
budget.cache("prices").set("a", 1)
heavy = {"psutil", "asyncio", "ssl", "numpy", "dataclasses", "logging", "json"}
if membudget._native.core is not None:  # The table in plain Python is generic.
    heavy |= {"typing", "re"}
print(sorted(heavy & set(sys.modules)))
"""
    # No site: what an editable install loads is none of ours.
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_every_module_can_be_imported_by_itself() -> None:
    """No import order is needed: each module names what it uses."""
    program = "import sys, importlib; importlib.import_module(sys.argv[1])"
    for name in ("core", "pressure", "registry", "governor", "cache.cache", "sinks"):
        importlib.import_module(f"membudget.{name}")
        subprocess.run([sys.executable, "-c", program, f"membudget.{name}"], check=True)


def test_full_collections_of_all_rungs_share_one_time_share() -> None:
    """An emergency does not collect twice in a row."""
    recorder = Recorder()
    with budget_of(recorder) as budget:
        budget.reclaim("emergency")
        budget.reclaim("emergency")
    rounds = [event for event in recorder.of(Reclaimed) if event.by == "full gc"]
    assert len(rounds) == 1
    assert rounds[0].objects is not None
