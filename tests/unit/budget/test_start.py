"""`start()` where the machine, or what is held already, keeps a budget from all that was asked."""

import re
import subprocess
import sys
from typing import Any

import pytest

import membudget
from fakes import MIB, Recorder
from membudget.core import Shortcoming, Started
from membudget.errors import ConfigError
from membudget.registry import Registry
from membudget.settings.types import Thresholds

FAR: Thresholds = {"warning": "900TiB", "critical": "901TiB"}
"""Marks above whatever limit is found."""

SHORT: dict[str, tuple[dict[str, Any], str]] = {
    "below": ({"limit": "1MiB"}, r"1\.00 MiB .* below what is held already \(.*\): about .* room"),
    "marks": ({"thresholds": FAR}, r"out of order for a limit of .*; until then"),
}

WITHOUT = """
import resource, sys, time
import membudget
from membudget.registry import Registry

# All is loaded by then; a thread's stack would be kept for the next one.
membudget.start(
    "1GiB", thread=sys.argv[1] != "threads", sinks=[], registry=Registry()
).stop()
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
limit, most = {
    "threads": (resource.RLIMIT_AS, size + (6 << 20)),  # Less than a thread's stack.
    "descriptors": (resource.RLIMIT_NOFILE, 3),
}[sys.argv[1]]
before = resource.getrlimit(limit)
resource.setrlimit(limit, (most, before[1]))
told = []
budget = membudget.start(
    "1GiB",
    sinks=[lambda event: told.append(getattr(event, "what", ""))],
    registry=Registry(),
    strict=sys.argv[2:] == ["strict"],
)
print([one for one in told if one])
resource.setrlimit(limit, before)
cache = budget.cache("later", size=lambda _: 1 << 20)
until = time.monotonic() + 30
while not budget.governor.watch.is_running and time.monotonic() < until:
    cache.set(time.monotonic(), 1)
    time.sleep(0.01)
print(budget.governor.watch.is_running, budget.step().used > 0)
budget.stop()
"""
"""Starts without what it needs, has it back, and goes on."""


def without(*what: str) -> subprocess.CompletedProcess[str]:
    """A process that starts a budget where there are no threads or descriptors to be had."""
    command = [sys.executable, "-c", WITHOUT, *what]
    return subprocess.run(command, check=False, capture_output=True, text=True)  # our own


@pytest.mark.parametrize("kind", SHORT)
def test_a_state_of_the_machine_is_told_once_and_the_budget_goes_on(kind: str) -> None:
    settings, line = SHORT[kind]
    recorder = Recorder()
    with membudget.start(thread=False, sinks=[recorder], registry=Registry(), **settings) as budget:
        budget.step()
        budget.step()
        assert budget.pressure.used > MIB
    (told,) = recorder.of(Shortcoming)
    assert re.search(line, told.what)
    assert recorder.of(Started)


@pytest.mark.parametrize("kind", SHORT)
def test_strict_refuses_it_and_leaves_nothing_behind(kind: str) -> None:
    """Without the words on what happens meanwhile; the same register takes another budget."""
    settings, line = SHORT[kind]
    registry = Registry()
    with pytest.raises(ConfigError, match=line.removesuffix("; until then")) as refused:
        membudget.start(thread=False, registry=registry, strict=True, **settings)
    assert "until then" not in str(refused.value)
    membudget.start(thread=False, sinks=[], registry=registry, strict=True).stop()


def test_marks_that_do_not_fit_the_limit_given_stay_an_error() -> None:
    """Both are settings: no machine makes them right."""
    with pytest.raises(ConfigError, match="out of order for a limit of 1GiB"):
        membudget.start("1GiB", thread=False, registry=Registry(), thresholds=FAR)


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux keeps them")
@pytest.mark.parametrize("what", ["threads", "descriptors"])
def test_what_is_short_at_the_start_is_told_and_sought_again(what: str) -> None:
    """No thread: who inserts seeks one; the budget is whole once there is room again."""
    ended = without(what)
    assert ended.returncode == 0, ended.stderr
    told, state = ended.stdout.splitlines()
    assert "no thread can be started here" in told
    assert state == "True True"


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux keeps them")
def test_strict_asks_for_a_thread_too() -> None:
    """A budget that nobody keeps is none."""
    ended = without("threads", "strict")
    assert ended.returncode == 1
    assert "ConfigError: no thread can be started here" in ended.stderr
