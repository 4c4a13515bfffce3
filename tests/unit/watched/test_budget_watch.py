"""`budget.watch`: limits from arguments and settings, events to the sinks, and an end."""

import os
import signal
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import pytest

import membudget
from fakes import Recorder
from membudget.core import LimitExceeded, SettingsReloaded
from membudget.registry import Registry


def start(recorder: Recorder, **settings: Any) -> membudget.Budget:
    """A budget without a thread, with a register of its own."""
    return membudget.start(
        "64GiB", thread=False, sinks=[recorder], registry=Registry(), brake=False, **settings
    )


def test_what_is_over_its_limit_is_told_to_the_sinks() -> None:
    told = Recorder()
    with start(told) as budget:
        budget.watch("order_book", dict.fromkeys(range(11)), max_items=10)
        budget.step()
    (event,) = told.of(LimitExceeded)
    assert (event.name, event.used, event.limit, event.unit) == ("order_book", 11, 10, "items")


def test_limits_come_from_the_settings_of_its_name_and_arguments_are_over_them() -> None:
    components = {"book": {"max_items": 10, "max_bytes": "1MiB"}}
    with start(Recorder(), components=components) as budget:
        book, other = budget.watch("book", [1], max_items=20), budget.watch("other", [1])
        assert (book.stats().max_items, book.stats().max_bytes) == (20, 1 << 20)
        assert (other.stats().max_items, other.stats().max_bytes) == (None, None)


def test_the_end_of_the_budget_is_the_end_of_watching() -> None:
    budget = start(Recorder())
    registry = budget.governor.registry
    book = budget.watch("book", {1: 2})
    early = budget.watch("early", {1: 2})
    early.stop()
    assert early not in registry.chores()
    assert book in registry.chores()
    budget.stop()
    assert registry.chores() == []
    assert book.stats().items is None


def test_readers_go_on_when_the_budget_has_stopped() -> None:
    """What they read through is theirs; a function that finds the container is still asked."""
    books = [deque(range(10)), deque([7])]
    with start(Recorder()) as budget:
        watched = budget.watch("book", books[0])
        seen = watched.observed()
        current = budget.watch("current", lambda: books[-1]).observed()
        assert (seen[0], len(seen), current[0]) == (0, 10, 7)
    assert (seen[1], len(seen), list(current)) == (1, 10, [7])
    books.append(deque([8]))
    assert current[0] == 8
    with pytest.raises(membudget.ConfigError, match="read the container itself"):
        watched.observed()


def test_a_name_watches_what_was_given_last_to_take_its_place() -> None:
    """A program that makes its book anew, and watches it again, leaves no old one behind."""

    class Book(dict[int, int]):
        """A plain dict in all but that it can be seen to go."""

        __slots__ = ("__weakref__",)

    told = Recorder()
    with start(told) as budget:
        first = budget.watch("book", [dict.fromkeys(range(11))], max_items=10)
        books = [[Book()] for _ in range(3)]
        gone = [weakref.ref(book[0]) for book in books]
        for book in books:
            latest = budget.watch("book", book, max_items=10, replace=True)
        books.clear()
        del book
        assert [one() is None for one in gone] == [True, True, False]
        assert budget.governor.registry.chores().count(latest) == 1
        assert first not in budget.governor.registry.chores()
        with pytest.raises(membudget.ConfigError):
            budget.watch("book", 5)
        assert latest.stats().items == 1
        budget.watch("another", [1])
        assert latest.stats().items == 1


def test_two_of_one_name_are_both_watched_under_the_limits_of_that_name() -> None:
    told = Recorder()
    with start(told, components={"book": {"max_items": 2}}) as budget:
        budget.watch("book", [1, 2, 3])
        with pytest.warns(RuntimeWarning, match="another one called 'book'"):
            second = budget.watch("book", [1, 2, 3, 4])
        budget.step()
        assert second.stats().max_items == 2
    assert {(one.name, one.used) for one in told.of(LimitExceeded)} == {("book", 3), ("book-2", 4)}


def test_nothing_is_watched_for_a_budget_that_has_stopped() -> None:
    """Nobody would look, and it would be kept for ever."""
    with start(Recorder()) as budget:
        pass
    with pytest.raises(membudget.ConfigError, match="has stopped"):
        budget.watch("book", [1])
    assert budget.governor.registry._kept == []


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no hangup here")
def test_a_reload_gives_new_limits_to_what_is_watched(tmp_path: Path) -> None:
    file, told = tmp_path / "membudget.yaml", Recorder()
    file.write_text("memory:\n  components:\n    a: {max_items: 5}\n    b: {max_items: 5}\n")
    with start(told, config=file) as budget:
        first, second = budget.watch("a", [1]), budget.watch("b", [1], max_bytes="1MiB")
        file.write_text("memory:\n  components:\n    a: {max_items: 7, max_bytes: 2MiB}\n")
        os.kill(os.getpid(), signal.SIGHUP)
        assert (first.stats().max_items, first.stats().max_bytes) == (7, 2 << 20)
        assert (second.stats().max_items, second.stats().max_bytes) == (None, 1 << 20)
    (event,) = told.of(SettingsReloaded)
    assert set(event.applied) == {
        "components.a.max_items",
        "components.a.max_bytes",
        "components.b.max_items",
    }
    assert event.waiting == ()


def test_a_container_that_raises_is_told_and_stops_nothing() -> None:
    class Broken:
        def __len__(self) -> int:
            raise OSError("gone")

    told, broken = Recorder(), Broken()
    with start(told) as budget:
        budget.watch("broken", broken)
        fine = budget.watch("fine", [1, 2], max_items=1)
        budget.step()
        budget.maintain()
    assert [one.name for one in told.of(LimitExceeded)] == ["fine"]
    (failure,) = told.of(membudget.core.Failed)
    assert failure.where == "chore broken"
    assert fine.stats().exceeded == 1
