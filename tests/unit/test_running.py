"""What a module finds that started nothing itself: the running budget, a cache, every event."""

import subprocess
import sys

import pytest

import membudget
from membudget.core import events
from membudget.errors import ConfigError
from membudget.registry import Registry


def test_another_module_finds_the_very_budget_that_was_started() -> None:
    """Also where nobody kept what `start()` returned; and what helps where none runs."""
    with pytest.raises(ConfigError, match=r"membudget\.start\(\).*membudget run"):
        membudget.current()
    with membudget.start("64GiB", thread=False, sinks=()) as budget:
        assert membudget.current() is budget
    with pytest.raises(ConfigError, match="no budget is running"):
        membudget.current()
    membudget.start("64GiB", thread=False, sinks=())
    membudget.current().stop()


def test_a_budget_with_a_register_of_its_own_is_not_that_of_the_process() -> None:
    with (
        membudget.start("64GiB", thread=False, sinks=(), registry=Registry()),
        pytest.raises(ConfigError, match="no budget is running"),
    ):
        membudget.current()


def test_a_launched_program_finds_the_budget_that_it_did_not_start() -> None:
    program = "import membudget; print(membudget.current().settings['limit'])"
    words = [sys.executable, "-m", "membudget", "run", "--limit", "3GiB", "--"]
    done = subprocess.run(
        [*words, sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [str(3 << 30)], done.stderr


def test_a_cache_is_found_by_its_name() -> None:
    """The compiled and the spilled kind, and what a function keeps; no container and no other."""
    registry = Registry()
    with pytest.raises(ConfigError, match="no cache is called 'prices': there is none yet"):
        membudget.get_cache("prices", registry)
    prices = membudget.Cache[str, int]("prices", registry=registry)
    names = membudget.BoundedDict[str, int]("names", registry=registry)

    @membudget.cached(name="squares", registry=registry)
    def square(number: int) -> int:
        return number * number

    assert membudget.get_cache("prices", registry) is prices
    assert membudget.get_cache("squares", registry) is square.cache
    with pytest.raises(ConfigError, match=r"'names': use one of prices, squares$"):
        membudget.get_cache(names.name, registry)
    del prices
    with pytest.raises(ConfigError, match="use one of squares"):
        membudget.get_cache("prices", registry)


def test_every_event_can_be_named_without_looking_for_its_module() -> None:
    """So a sink matches on what `membudget` has."""
    told = {one.__name__ for one in vars(events).values() if one in events.Event.__subclasses__()}
    assert len(told) > 15
    assert told <= set(membudget.__all__)
    assert membudget.Severity.ERROR > membudget.Severity.WARNING
