"""Where only the machine limits: holders leave most of it to the other programs on it."""

import functools
from typing import Any

import pytest

import membudget
from fakes import MIB, Recorder
from membudget.budget import plugins
from membudget.core import Probe, Reading, Shortcoming, Started
from membudget.probes.process import SOURCE
from membudget.registry import Registry

SLACK = 4 * MIB
"""A quantum or two that came in before the next check."""


class Machine:
    """A machine of 400 MiB with its other programs, and a group that may be given a limit."""

    total, available = 400 * MIB, 300 * MIB
    group: int | None = None

    def __call__(self) -> Reading:
        parts = {"available": self.available}
        used = self.total - self.available
        return Reading(at=0.0, used=used, limit=self.total, source=SOURCE, parts=parts)

    def limit(self) -> Reading:
        return Reading(at=0.0, used=MIB, limit=self.group, source="cgroup")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Read at each step, in place of the one that the tests run on."""
    made = Machine()

    def at_once(_seconds: float, probe: Probe, **_: object) -> Probe:
        return probe

    monkeypatch.setattr(plugins, "system_probe", lambda: made)
    monkeypatch.setattr(plugins, "every", at_once)
    monkeypatch.setattr(plugins, "cgroup_probe", lambda **_: None)
    monkeypatch.setattr(plugins, "rlimit_probe", lambda *_: made.limit)
    return made


def started(*sinks: Any, **settings: Any) -> membudget.Budget:
    return membudget.start(thread=False, sinks=sinks, registry=Registry(), **settings)


def fill(cache: Any, count: int, budget: membudget.Budget) -> int:
    """Set so many values of a MiB, with a step after each tenth; returns the bytes held then."""
    for number in range(count):
        cache.set(number, number)
        if number % 10 == 0:
            budget.step()
    return budget.governor.registry.held_bytes()


def mib(_value: object) -> int:
    return MIB


def test_one_cache_takes_a_quarter_and_that_is_told(machine: Machine) -> None:
    told = Recorder()
    with started(told) as budget:
        held = fill(budget.cache("one", size=mib), 300, budget)
        assert machine.total // 4 - SLACK <= held <= machine.total // 4 + SLACK
    (start,) = told.of(Started)
    assert "caches take 100 MiB at most" in start.note
    assert not told.of(Shortcoming)


def test_two_caches_share_it(machine: Machine) -> None:
    with started() as budget:
        one, other = (budget.cache(name, size=mib) for name in ("one", "other"))
        fill(one, 200, budget)
        assert fill(other, 200, budget) <= machine.total // 4 + SLACK
        assert one.held_bytes() > 10 * MIB


def test_what_is_no_cache_counts_against_it(machine: Machine) -> None:
    """A log of 60 MiB leaves a cache 40."""
    with started() as budget:
        log = budget.deque("log", size=mib, maxlen=60)
        log.extend(range(60))
        held = fill(budget.cache("one", size=mib), 200, budget)
        assert len(log) == 60
        assert held <= machine.total // 4 + SLACK


def test_it_shrinks_while_other_programs_grow_though_nothing_is_set(machine: Machine) -> None:
    """To half of what there would be without it: 150 MiB, of which it holds 100."""
    with started() as budget:
        cache = budget.cache("one", size=mib)
        fill(cache, 300, budget)
        machine.available = 50 * MIB
        for _ in range(3):
            budget.step()
        assert cache.held_bytes() <= 75 * MIB + SLACK
        machine.available = 300 * MIB
        budget.step()
        assert fill(cache, 300, budget) >= 100 * MIB - SLACK


def test_a_limit_that_appears_lifts_it_and_one_that_goes_brings_it_back(machine: Machine) -> None:
    with started() as budget:
        cache = budget.cache("one", size=mib)
        fill(cache, 300, budget)
        machine.group = 1000 * MIB
        budget.step()
        assert fill(cache, 300, budget) >= 300 * MIB
        machine.group = None
        for _ in range(3):
            budget.step()
        assert cache.held_bytes() <= 100 * MIB + SLACK


@pytest.mark.parametrize(
    "settings",
    [{"caches": {"size_limit": "200MiB"}}, {"limit": "2GiB"}, {"cleanup": {"auto": False}}],
)
def test_what_the_user_set_wins(machine: Machine, settings: dict[str, Any]) -> None:
    told = Recorder()
    with started(told, **settings) as budget:
        assert fill(budget.cache("one", size=mib), 300, budget) >= 190 * MIB
    assert "caches take" not in told.of(Started)[0].note
    assert machine.available  # The machine was there to be judged.


def test_caches_of_functools_are_within_it_too(machine: Machine) -> None:
    """Under `membudget run`: they pay for what they take in as all others do."""
    machine.total, machine.available = 64 * MIB, 60 * MIB
    with started(is_launched=True) as budget:

        @functools.cache
        def page(number: int) -> bytes:
            return bytes(20_000) + b"%d" % number

        for number in range(3000):
            page(number)
            if number % 100 == 0:
                budget.step()
        assert 12 * MIB <= page.cache_info().currsize * 20_000 <= 16 * MIB + SLACK
