"""Under memory pressure the oldest items go, where the owner allowed it, and no further."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import cachetools
import pytest

from fakes import MIB, FakeClock, FakeMemory, Recorder
from membudget.core import Marks, Reclaimed, Rung
from membudget.governor import Governor
from membudget.registry import Registry
from membudget.sizing.foreign import BATCH
from membudget.watched import WatchedContainer
from watched_scene import LONG, Scene, filled, pairs, texts

ORDERED: list[tuple[str, Callable[[], Any]]] = [
    ("dict", pairs),
    ("OrderedDict", lambda: OrderedDict(pairs())),
    ("list", texts),
    ("deque", lambda: deque(texts())),
    ("LRUCache", lambda: filled(cachetools.LRUCache(10_000))),
]


def held(container: Any) -> list[str]:
    return list(container.values() if hasattr(container, "values") else container)


@pytest.mark.parametrize(("name", "make"), ORDERED)
def test_the_oldest_go_down_to_the_limit_and_the_newest_stay(
    name: str, make: Callable[[], Any]
) -> None:
    container = make()
    scene = Scene(container, name, max_items=400, trim=True)
    scene.look()
    expected = scene.watched.reclaimable()
    freed = scene.watched.reclaim(100 * MIB, LONG)
    assert held(container) == texts()[600:]
    assert freed == expected
    assert 600_000 < freed < 800_000
    assert scene.watched.reclaimable() == 0
    assert scene.watched.reclaim(MIB, LONG) == 0
    assert scene.watched.stats().trimmed == 600


@pytest.mark.parametrize(("name", "make"), [*ORDERED, ("set", lambda: set(texts()))])
def test_no_more_goes_than_was_asked_for(name: str, make: Callable[[], Any]) -> None:
    container = make()
    scene = Scene(container, name, trim=True)
    scene.look()
    freed = scene.watched.reclaim(300_000, LONG)
    assert 300_000 <= freed < 303_000
    assert 690 < len(container) < 770


def test_a_limit_in_bytes_is_a_limit_too() -> None:
    """Both may be given; the one that is exceeded by more rules."""
    container = texts()
    scene = Scene(container, max_items=900, max_bytes=500_000, trim=True)
    scene.look()
    scene.watched.reclaim(100 * MIB, LONG)
    assert 400 < len(container) < 500
    assert container[-1] == texts()[-1]


def test_without_leave_nothing_goes() -> None:
    container = texts()
    scene = Scene(container, max_items=1)
    scene.look()
    assert scene.watched.reclaimable() == 0
    assert scene.watched.reclaim(100 * MIB, LONG) == 0
    assert len(container) == 1000


def test_nothing_goes_without_pressure() -> None:
    """A look tells what is over; it takes nothing out."""
    container = texts()
    scene = Scene(container, max_items=10, trim=True)
    scene.look(600)
    assert len(container) == 1000


def test_it_can_be_asked_before_it_was_weighed() -> None:
    """Then it does not know what it could let go, and weighs first."""
    container = texts()
    scene = Scene(container, max_bytes=500_000, trim=True)
    assert scene.watched.reclaimable() is None
    assert scene.watched.reclaim(100 * MIB, LONG) > 400_000
    assert 400 < len(container) < 500


def test_it_stops_when_its_time_is_up() -> None:
    container = deque(texts(10_000))
    scene = Scene(container, trim=True)
    scene.look()
    assert scene.watched.reclaim(100 * MIB, scene.clock.now()) > 0
    assert len(container) == 10_000 - BATCH


def test_a_lock_in_use_keeps_the_container_whole() -> None:
    """It is waited for a moment; what was taken out is freed after it was given back."""
    lock, container = threading.Lock(), texts()

    class Item:
        was_locked: bool | None = None

        def __del__(self) -> None:
            type(self).was_locked = lock.locked()

    container[0] = Item()  # type: ignore[call-overload]
    scene = Scene(container, trim=True, lock=lock)
    scene.look()
    with lock:
        assert scene.watched.reclaim(MIB, LONG) == 0
    assert len(container) == 1000
    assert scene.watched.reclaim(100_000, LONG) > 0
    assert Item.was_locked is False
    assert not lock.locked()


def test_the_lock_is_given_back_when_the_container_raises() -> None:
    class Broken(dict[int, str]):
        def pop(self, *_: Any) -> Any:
            raise RuntimeError("broken")

    lock = threading.Lock()
    container = Broken(pairs())
    scene = Scene(container, trim=True, lock=lock)
    scene.look()
    with pytest.raises(RuntimeError, match="broken"):
        scene.watched.reclaim(MIB, LONG)
    assert not lock.locked()


@pytest.mark.parametrize("make", [lambda: deque(range(5000)), lambda: set(range(5000))])
def test_another_thread_may_empty_it_meanwhile(make: Callable[[], Any]) -> None:
    """The last item may be gone by the time it is reached for."""
    for _ in range(20):
        container = make()
        scene = Scene(container, trim=True)
        scene.look()
        thread = threading.Thread(target=_empty, args=(container,))
        thread.start()
        scene.watched.reclaim(100 * MIB, LONG)
        thread.join()
        assert not container


def _empty(container: Any) -> None:
    while container:
        try:
            container.pop()
        except LookupError:
            return


def test_the_governor_trims_it_at_critical_after_the_caches() -> None:
    clock, told, registry = FakeClock(), Recorder(), Registry()
    memory = FakeMemory(clock, used=95 * MIB)
    marks = Marks(low=0.7, warning=0.8, critical=0.9, emergency=0.97, shutdown=0.99)
    governor = Governor(memory, marks, sinks=[told], registry=registry, clock=clock)
    container = texts()
    watched = WatchedContainer(
        "book", container, max_items=100, trim=True, registry=registry, clock=clock
    )
    governor.start(thread=False)
    try:
        for _ in range(3):
            clock.advance(0.1)
            governor.step()
    finally:
        governor.stop()
        watched.stop()
    assert len(container) == 100
    assert [(one.by, one.rung) for one in told.of(Reclaimed)] == [("book", Rung.MODERATE)]
