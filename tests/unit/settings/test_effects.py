"""Every setting does what it says: one look at its effect each, in a budget that start() makes."""

import sys
import time
import types
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import cgroup_v1
import leak_effects  # noqa: F401  # notes its own
import membudget
from effects import EFFECTS, LONG, SHORT, Scene, program, shows, started, stepped
from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer, Recorder
from membudget.cache.cache import Cache
from membudget.core import (
    Level,
    LimitExceeded,
    PressureChanged,
    ProtectionTried,
    Reclaimed,
    Rung,
    Sampled,
)
from membudget.errors import ConfigError
from membudget.governor.watch import interval_for
from membudget.probes.allocator import mallinfo
from membudget.reclaimers.program import EXIT_CODE
from membudget.registry import Registry
from membudget.settings import resolve
from membudget.settings.table import COMPONENTS, OF_COMPONENTS, SETTINGS
from waiting import eventually

PRESSED: dict[str, Any] = {
    "thresholds": {"rss": {"critical": "1MiB"}},
    "cleanup": {"settle": SHORT},
}
"""CRITICAL, and for good: every process holds more."""


def garbage() -> None:
    """Leave something for a collection."""
    for _ in range(20_000):
        one: list[Any] = []
        one.append(one)


@shows("limit")
def _limit(_: Path) -> None:
    with started("3GiB") as (budget, _recorder):
        assert budget.pressure.limit == 3 << 30


@shows("strict")
def _strict(_: Path) -> None:
    with started("1MiB", strict=False) as (budget, _recorder):
        assert budget.pressure.level is Level.EMERGENCY
    with pytest.raises(ConfigError, match="below what is held"), started("1MiB", strict=True):
        pass


@shows("thresholds.low")
def _low(_: Path) -> None:
    assert Scene().at(50).pressure.excess == 0
    assert Scene(thresholds={"low": "10%"}).at(50).pressure.excess == 40 * MIB


@shows("thresholds.warning", "thresholds.critical", "thresholds.emergency", "thresholds.shutdown")
def _marks(_: Path) -> None:
    marks = {"low": "10%", "warning": "20%", "critical": "30%", "emergency": "40%"}
    levels = [Scene(thresholds=marks).at(used).pressure.level for used in (15, 25, 35, 45)]
    assert levels == [Level.NORMAL, Level.WARNING, Level.CRITICAL, Level.EMERGENCY]
    assert not Scene(thresholds=marks).at(55).pressure.shutdown
    assert Scene(thresholds={**marks, "shutdown": "50%"}).at(55).pressure.shutdown


@shows(
    *(
        f"thresholds.{part}.{mark}"
        for part in ("rss", "native")
        for mark in ("warning", "critical")
    ),
    *(f"thresholds.{part}.emergency" for part in ("rss", "native")),
)
def _parts(_: Path) -> None:
    parts = ("rss", "native") if mallinfo() is not None else ("rss",)
    for part in parts:
        for mark in ("warning", "critical", "emergency"):
            for size, level in (("100KiB", Level[mark.upper()]), ("9TiB", Level.NORMAL)):
                with started("1TiB", thresholds={part: {mark: size}}) as (budget, _recorder):
                    budget.step()
                    assert budget.pressure.level is level


@shows("monitoring.check_interval")
def _check_interval(_: Path) -> None:
    with started(monitoring={"check_interval": "7s"}) as (budget, _recorder):
        assert interval_for(budget.pressure, budget.governor.watch.interval) == 7.0


@shows("monitoring.snapshot_interval", "monitoring.history_size")
def _samples(_: Path) -> None:
    assert kept(SHORT, 3) == 3
    assert kept(SHORT, 100) == 6
    assert kept(LONG, 100) == 1


def kept(interval: str, size: int) -> int:
    """How many samples are kept, of six or of all that are taken at such an interval."""
    given = {"snapshot_interval": interval, "history_size": size}
    with started(monitoring=given) as (budget, recorder):
        stepped(budget, lambda: len(recorder.of(Sampled)) >= (6 if interval is SHORT else 1))
        return len(budget.samples)


@shows("monitoring.pressure_window")
def _window(_: Path) -> None:
    for window, growth in ((2, 9 * MIB), (10, MIB)):
        scene = Scene(monitoring={"pressure_window": window})
        for used in (10, 10, 10, 10, 10, 10, 10, 10, 10, 19):
            scene.at(used, steps=1)
        assert scene.governor.pressure.growth == growth


@shows("monitoring.history_file")
def _history_file(tmp_path: Path) -> None:
    file = tmp_path / "history"
    with started(monitoring={"history_file": str(file), "snapshot_interval": SHORT}) as (
        budget,
        _r,
    ):
        stepped(budget, lambda: len(budget.samples) > 3)
    eventually(file.exists)


@shows("caches.size_limit")
def _size_limit(_: Path) -> None:
    for given, is_within in (("1MiB", True), (None, False)):
        with started("1TiB", caches={"size_limit": given}) as (budget, _recorder):
            cache = budget.cache("bounded", max_bytes="1GiB")
            for number in range(500):
                cache.set(number, bytes(10_000))
            for _step in range(3):
                budget.maintain()
            assert (cache.held_bytes() <= MIB) is is_within


_SHARED = """
import os, sys, time
import membudget
budget = membudget.start(caches={"share": sys.argv[1]}, agent={"directory": sys.argv[2]})
cache = budget.cache("prices")
for number in range(4000):
    cache.set(number, os.urandom(20_000))
    if number % 200 == 0:
        until = time.monotonic() + 5  # A decision is due once a second.
        while sys.argv[1] != "auto" and budget.governor.meter.share is None:
            assert time.monotonic() < until
            time.sleep(0.01)
print(cache.held_bytes() >> 20)
"""


@shows("caches.share")
def _share(folder: Path) -> None:
    if (why := cgroup_v1.unavailable()) is not None:
        pytest.skip(why)
    for given, most in (("20MiB", 21), ("10%", 21), ("auto", 100)):
        with cgroup_v1.limited_group(200 * MIB) as group:
            done = group.run([sys.executable, "-c", _SHARED, given, str(folder / "slots")])
        assert most // 2 < int(done.stdout) <= most


@shows("caches.max_entries", "caches.ttl")
def _defaults_of_caches(_: Path) -> None:
    with started(caches={"max_entries": 3, "ttl": "50s"}) as (budget, _recorder):
        cache = budget.cache("plain")
        for number in range(10):
            cache.set(number, number)
        assert len(cache) == 3
        left = cache.ttl_left(9)
        assert left is not None
        assert 0 < left <= 50


@shows("caches.cleanup_interval")
def _cleanup_interval(_: Path) -> None:
    for interval, seconds in (("3s", 3), ("30s", 30)):
        scene = Scene(caches={"cleanup_interval": interval})
        cache = Cache[int, Any]("idle", ttl=0.5, registry=scene.registry, clock=scene.clock)
        cache.set(1, [])  # A list, which is weighed again meanwhile.
        scene.at(10, steps=seconds - 1)
        assert len(cache) == 1
        scene.at(10, steps=2)
        assert len(cache) == 0


@shows("caches.adopt", "caches.spare")
def _adopt(_: Path) -> None:
    module = types.ModuleType("of_effects")
    module.squared = lru_cache(maxsize=None)(lambda number: number * number)  # type: ignore[attr-defined]
    sys.modules["of_effects"] = module
    try:
        for number in range(100):
            module.squared(number)
        with started(caches={"adopt": ["of_effects:squared"]}) as (budget, _recorder):
            assert budget.reclaim("emergency") > 0
            assert module.squared.cache_info().currsize == 0
    finally:
        del sys.modules["of_effects"]
    for patterns, is_spared in (("none_*", False), ("of_*", True)):
        foreign = _found_by({"spare": patterns})
        assert foreign._is_spared("of_effects:squared") is is_spared


def _found_by(caches: dict[str, Any]) -> Any:
    from membudget.reclaimers.found import ForeignCaches

    return ForeignCaches(resolve({"caches": caches}, {}), Registry(), is_launched=True)


@shows("cleanup.auto")
def _auto(_: Path) -> None:
    for auto in (True, False):
        marks = {"low": "1MiB", "warning": "2MiB", "critical": "3MiB", "emergency": "4MiB"}
        with started("5MiB", thresholds=marks, cleanup={"auto": auto}) as (budget, recorder):
            cache = budget.cache("asked")
            for number in range(100):
                cache.set(number, bytes(100_000))
            for _step in range(3):
                budget.step()
            assert (len(cache) < 100) is auto
            assert bool(recorder.of(Reclaimed)) is auto
            assert recorder.of(PressureChanged)


def _rung(name: Rung) -> FakeReclaimer:
    memory = FakeMemory(FakeClock(), used=100 * MIB)
    return FakeReclaimer(memory, 100 * MIB, name=name.name, rung=name)


@shows("cleanup.settle")
def _settle(_: Path) -> None:
    for settle, seconds in (("3s", 3), ("30s", 30)):
        last = _rung(Rung.AGGRESSIVE)
        scene = Scene([_rung(Rung.MODERATE), last], cleanup={"settle": settle})
        scene.at(92, steps=seconds)
        assert not last.asked
        scene.at(92, steps=3)
        assert last.asked


def collections(recorder: Recorder) -> int:
    return sum(one.by in ("full gc", "gc above") for one in recorder.of(Reclaimed))


@shows("cleanup.cooldown", "cleanup.gc_time_share")
def _pace_of_collections(_: Path) -> None:
    assert collects_again(SHORT, "100%", is_due=True)
    assert not collects_again(LONG, "100%", is_due=False)
    assert not collects_again(SHORT, "0.001%", is_due=False)


def collects_again(cooldown: str, share: str, *, is_due: bool) -> bool:
    """Whether a second full collection follows the first, at CRITICAL, with garbage at hand."""
    cleanup = {"settle": SHORT, "cooldown": cooldown, "gc_time_share": share}
    with started("1TiB", **{**PRESSED, "cleanup": cleanup}) as (budget, recorder):

        def have(times: int) -> bool:
            garbage()
            return collections(recorder) >= times

        stepped(budget, lambda: have(2 if is_due else 1))
        until = time.monotonic() + (0 if is_due else 2)
        while time.monotonic() < until:
            garbage()
            budget.step()
        return collections(recorder) > 1


@shows("cleanup.gc_above")
def _gc_above(_: Path) -> None:
    for size, is_asked in (("1MiB", True), ("9TiB", False)):
        with started("1TiB", cleanup={"gc_above": size, "gc_time_share": "100%"}) as (
            budget,
            recorder,
        ):

            def was_asked(budget: membudget.Budget = budget, recorder: Recorder = recorder) -> bool:
                budget.step()
                return any(one.by == "gc above" for one in recorder.of(Reclaimed))

            # Another process of this memory group may be the one that collects just now.
            assert eventually(was_asked) if is_asked else not was_asked()


def attempts(*used: int, **emergency: Any) -> list[tuple[int, str]]:
    """The attempts told at these MiB, for two steps each."""
    scene = Scene(emergency={"dump": False, **emergency})
    for one in used:
        scene.at(one)
    return [(one.attempt, one.outcome) for one in scene.recorder.of(ProtectionTried)]


@shows("emergency.protection", "emergency.max_attempts", "emergency.cooldown")
def _attempts(_: Path) -> None:
    often = [99] * 12
    assert attempts(*often, protection=False, cooldown=SHORT) == []
    assert attempts(*often, max_attempts=1, cooldown=SHORT)[-1] == (1, "admission shut")
    assert attempts(*often, max_attempts=2, cooldown=SHORT)[-1] == (2, "admission shut")
    assert {attempt for attempt, _ in attempts(*often, cooldown=LONG)} == {1}


@shows("emergency.restart_after")
def _restart_after(_: Path) -> None:
    course = [99, 99, *[10] * 10, 99, 99, 99, 10]
    for after, count in (("2s", 1), (LONG, 2)):
        told = attempts(*course, restart_after=after, cooldown=SHORT)
        assert told[-1] == (count, "recovered")


@shows("emergency.dump", "emergency.exit")
def _last_resort(_: Path) -> None:
    for dumps, leaves in ((True, False), (False, False), (False, True)):
        given = {"dump": dumps, "exit": leaves, "max_attempts": 1, "cooldown": SHORT}
        ended = program(f"Scene(emergency={given}).at(99, steps=20)")
        assert ("MiB" in ended.stderr) is dumps
        assert ended.returncode == (EXIT_CODE if leaves else 0)


@shows("brake")
def _brake(_: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("the brake needs Linux")
    for brakes in (True, False):
        ended = program(
            "import resource",
            f"membudget.start('1GiB', thread=False, sinks=[], brake={brakes})",
            "print(resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY)",
        )
        assert ended.stdout == f"{brakes}\n"


@shows("report.directory")
def _report_directory(tmp_path: Path) -> None:
    with started() as (budget, _recorder):
        assert all(one.name != "daily report" for one in budget.governor.chores)
    with started(report={"directory": str(tmp_path)}) as (budget, _recorder):
        (daily,) = [one for one in budget.governor.chores if one.name == "daily report"]
        paths = daily.write()  # type: ignore[attr-defined]  # not every chore has it
        assert {path.rpartition("/")[0] for path in paths} == {str(tmp_path)}


@shows("agent.directory")
def _agent_directory(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("found by others on Linux only")
    folder = tmp_path / "meeting"
    with membudget.start(sinks=[], registry=Registry(), agent={"directory": str(folder)}):
        eventually(lambda: folder.exists() and any(folder.iterdir()))


@shows(*(f"{COMPONENTS}NAME.{word}" for word in OF_COMPONENTS))
def _components(_: Path) -> None:
    for word, limit, unit in (("max_items", 2, "items"), ("max_bytes", "1KiB", "bytes")):
        with started(components={"book": {word: limit}}) as (budget, recorder):
            book = {number: bytes(1000) for number in range(5)}
            budget.watch("book", book)
            budget.maintain()
            (told,) = recorder.of(LimitExceeded)
            assert (told.name, told.unit) == ("book", unit)


def test_every_setting_is_looked_at() -> None:
    """A row without an effect fails here, and so does an effect without its row."""
    assert set(EFFECTS) == {*SETTINGS, *(f"{COMPONENTS}NAME.{word}" for word in OF_COMPONENTS)}


@pytest.mark.parametrize("look", dict.fromkeys(EFFECTS.values()), ids=lambda look: look.__name__)
def test_settings_do_what_they_say(look: Callable[[Path], None], tmp_path: Path) -> None:
    """See the function, which is marked with their keys."""
    look(tmp_path)
