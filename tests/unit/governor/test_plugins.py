"""A plugin of the program's own that fails takes nothing of the others' with it."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import membudget
from fakes import Recorder
from membudget.core import Failed, Hint, Stopped
from membudget.governor.status import commands_of, full_status
from membudget.registry import Registry


class Odd:
    """A plugin that tells what it was given: its sections, or an error to raise."""

    name = "odd"

    def __init__(self, told: Any = None) -> None:
        self._told = told

    def status(self) -> Any:
        if isinstance(self._told, BaseException):
            raise self._told
        return self._told

    def commands(self) -> Any:
        raise OSError("no commands")

    def hints(self, *, is_early: bool) -> Sequence[Hint]:
        raise OSError(f"no hint, early or not: {is_early}")


class Fair:
    name = "fair"

    def status(self) -> dict[str, Any]:
        return {"fair": 1}


class Named:
    """A plugin with a hint and a command."""

    name = "named"

    def __init__(self) -> None:
        self.hint: Any = object()

    def hints(self, *, is_early: bool) -> Sequence[Hint]:
        return [self.hint] if is_early else []

    def commands(self) -> dict[str, Any]:
        return {"hello": dict}


@pytest.fixture
def scene() -> Iterator[tuple[membudget.Budget, Recorder]]:
    recorder = Recorder()
    with membudget.start("4GiB", thread=False, sinks=[recorder], registry=Registry()) as budget:
        yield budget, recorder


def circle() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["circle"] = found
    return found


@pytest.mark.parametrize(
    "told", [circle(), {"odd": object()}, {"odd": {1, 2}}, {(1, 2): 3}, None, SystemExit(3)]
)
def test_a_section_that_cannot_be_written_down_is_missing_alone(
    scene: tuple[membudget.Budget, Recorder], told: object
) -> None:
    """It is told by the plugin's name, and all else is answered."""
    budget, recorder = scene
    budget.governor.join(Odd(told))
    budget.governor.join(Fair())
    answer = json.loads(json.dumps(full_status(budget.governor).as_answer()))
    assert (answer["fair"], answer["limit"]) == (1, 4 << 30)
    assert "odd" not in answer
    (failed,) = recorder.of(Failed)
    assert "odd" in failed.where


def test_hints_and_commands_that_fail_leave_the_others(
    scene: tuple[membudget.Budget, Recorder],
) -> None:
    """A process still hears questions, and the kernel."""
    budget, recorder = scene
    own = Named()
    budget.governor.join(Odd())
    budget.governor.join(own)
    assert own.hint in budget.governor.plugins.hints(is_early=True)
    assert {"memory", "hello"} <= set(commands_of(budget.governor))
    assert [one.where for one in recorder.of(Failed)] == ["hints of odd", "commands of odd"]


def test_each_leaves_once_also_where_one_ends_the_budget(
    scene: tuple[membudget.Budget, Recorder],
) -> None:
    """The last that joined first; one that fails, and has no name, holds up nobody."""
    budget, recorder = scene
    left: list[str] = []

    class Ending:
        def __init__(self, name: str) -> None:
            self.name = name

        def leave(self) -> None:
            left.append(self.name)
            budget.stop()

    class Nameless:
        def leave(self) -> None:
            raise OSError("not yet")

    budget.governor.join(Ending("first"))
    nameless: Any = Nameless()
    budget.governor.join(nameless)
    budget.governor.join(Ending("last"))
    budget.stop()
    budget.stop()
    assert left == ["last", "first"]
    assert len(recorder.of(Failed)) == len(recorder.of(Stopped)) == 1
