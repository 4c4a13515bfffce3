"""Looks at a foreign container: what is told, when, how often, and what a look leaves alone."""

import asyncio
import gc
import queue
from collections import Counter, OrderedDict, deque
from typing import Any

import cachetools
import pytest

from beside import meanwhile
from fakes import FakeClock
from membudget.core import LimitExceeded
from membudget.errors import ConfigError
from membudget.registry import Registry
from membudget.sinks import line_of
from membudget.sizing.foreign import WEIGH_EVERY
from membudget.watched import ADVISE_AFTER, APART, WatchedContainer
from watched_scene import Scene, pairs, texts


class Sized:
    """Something with a length and nothing else, whose parts it holds."""

    def __init__(self, parts: list[str]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return len(self.parts)


@pytest.mark.parametrize(
    "container",
    [
        pairs(100),
        OrderedDict(pairs(100)),
        Counter(texts(100)),
        texts(100),
        deque(texts(100)),
        set(texts(100)),
        Sized(texts(100)),
    ],
)
def test_whatever_has_a_length_is_watched(container: Any) -> None:
    scene = Scene(container, max_items=99, max_bytes="50KiB")
    scene.look()
    stats = scene.watched.stats()
    assert stats.items == 100
    assert stats.bytes is not None
    assert 90_000 < stats.bytes < 130_000
    assert [(unit, limit) for unit, _, limit in scene.exceeded] == [("items", 99), ("bytes", 51200)]
    assert stats.exceeded == 2


def test_a_queue_is_as_long_as_its_qsize() -> None:
    waiting: queue.Queue[int] = queue.Queue()
    loop_queue: asyncio.Queue[int] = asyncio.Queue()
    for number in range(3):
        waiting.put(number)
        loop_queue.put_nowait(number)
    for one in (waiting, loop_queue):
        scene = Scene(one, max_items=2)
        scene.look()
        assert scene.exceeded == [("items", 3, 2)]


def test_a_function_follows_what_is_exchanged() -> None:
    owner: dict[str, list[int] | None] = {"book": [1, 2, 3]}
    scene = Scene(lambda: owner["book"], max_items=10)
    scene.look()
    owner["book"] = None
    scene.look()
    assert scene.watched.stats().items is None
    owner["book"] = list(range(11))
    scene.look()
    assert scene.exceeded == [("items", 11, 10)]


def test_a_limit_is_told_once_a_crossing() -> None:
    """Not again while it stays over or near, and again after it was below 90 %."""
    book = list(range(11))
    scene = Scene(book, max_items=10)
    scene.look(700)
    assert len(scene.exceeded) == 1
    del book[9:]
    scene.look()
    book += [9, 10]
    scene.look(2)
    assert len(scene.exceeded) == 1, "9 of 10 is not below 90 %"
    del book[8:]
    scene.look()
    book += [8, 9, 10]
    scene.look()
    assert len(scene.exceeded) == 2


def test_a_limit_crossed_again_soon_waits_five_minutes() -> None:
    """A container that swings around its limit is told of once in that time, not forgotten."""
    book: list[int] = []
    scene = Scene(book, max_items=10)
    for _ in range(30):
        book[:] = range(11)
        scene.look()
        book.clear()
        scene.look()
    assert len(scene.exceeded) == 1
    book[:] = range(11)
    scene.look(int(APART))
    assert len(scene.exceeded) == 2


def test_at_its_limit_it_is_not_over() -> None:
    scene = Scene(deque(range(10), maxlen=10), max_items=10)
    scene.look(400)
    assert scene.exceeded == []


def test_a_deque_without_any_bound_is_told_once_with_the_maxlen_it_needs() -> None:
    scene = Scene(deque(range(1203)), "trades")
    scene.look(int(ADVISE_AFTER) - 1)
    assert scene.exceeded == []
    scene.look(400)
    assert scene.exceeded == [("maxlen", 1203, 1900)]
    (event,) = scene.told.of(LimitExceeded)
    assert line_of(event) == "trades holds 1,203 items without a maxlen: give it 1,900"


@pytest.mark.parametrize(
    ("container", "limits"),
    [
        (deque(range(1000), maxlen=1000), {}),
        (deque(range(1000)), {"max_items": 2000}),
        (deque(range(1000)), {"max_bytes": "1MiB"}),
        (list(range(1000)), {}),
        (deque(), {}),
    ],
)
def test_what_has_a_bound_or_is_no_deque_is_not_told_of(
    container: Any, limits: dict[str, Any]
) -> None:
    """Nor a deque that holds nothing: no maxlen could be told."""
    scene = Scene(container, **limits)
    scene.look(int(ADVISE_AFTER) * 3)
    assert scene.exceeded == []


def test_it_is_weighed_once_a_minute_or_when_its_length_changed_by_half() -> None:
    class Counted(list[str]):
        weighed = 0

        def held_bytes(self) -> int:
            type(self).weighed += 1
            return 100 * len(self)

    book = Counted(["x"] * 10)
    scene = Scene(book)
    scene.look(30)
    assert Counted.weighed == 1
    book += ["x"] * 4
    scene.look()
    assert Counted.weighed == 1
    assert scene.watched.stats().bytes == 1400
    book += ["x"]
    scene.look()
    assert Counted.weighed == 2
    scene.look(int(WEIGH_EVERY))
    assert Counted.weighed == 3


def test_its_own_interval_is_kept() -> None:
    scene = Scene([1], every="5s")
    scene.look(11)
    assert not scene.watched.due(scene.clock.now())
    scene.clock.advance(5)
    assert scene.watched.due(scene.clock.now())


def test_looking_changes_nothing() -> None:
    class Touchy(dict[str, int]):
        def __getitem__(self, key: str) -> int:
            raise AssertionError("looked up")

        def __iter__(self) -> Any:
            raise AssertionError("iterated")

        def items(self) -> Any:
            raise AssertionError("iterated")

        def __sizeof__(self) -> int:
            raise AssertionError("asked")

    scene = Scene(Touchy(a=1, b=2), max_items=5)
    scene.look(200)
    assert scene.watched.stats().items == 2


def test_looking_at_a_cache_expires_nothing() -> None:
    """A TTLCache's own length changes it, and we are without its lock."""
    clock = FakeClock()
    cache: Any = cachetools.TTLCache(100, ttl=10, timer=clock.now)
    cache["old"] = 1
    scene = Scene(cache, max_items=5)
    clock.advance(20)
    scene.look(100)
    assert scene.watched.stats().items == 1
    assert cachetools.Cache.__len__(cache) == 1


def test_a_container_that_others_change_is_looked_at_again() -> None:
    """Threads that insert and delete meanwhile cost a figure at most, never an error."""
    book: dict[int, str] = {}

    def churn(number: int) -> None:
        book[number] = str(number)
        if number % 2000 == 0:
            book.clear()

    with meanwhile(churn):
        scene = Scene(book, max_bytes="1GiB")
        scene.look(300, apart=WEIGH_EVERY)
    assert scene.exceeded == []


def test_what_dies_is_watched_no_longer() -> None:
    registry = Registry()
    book: deque[int] | None = deque([1])
    watched = WatchedContainer("book", book, registry=registry)
    assert registry.chores() == [watched]
    book = None
    gc.collect()
    assert registry.chores() == []
    assert registry.reclaimers() == []
    assert watched.stats().items is None


def test_what_cannot_be_held_weakly_is_kept_until_the_end() -> None:
    """A plain dict, and its items, are let go of by `stop()`, which may be called twice."""

    class Item:
        pass

    import weakref

    item = Item()
    gone = weakref.ref(item)
    scene = Scene({"it": item})
    scene.look()
    del item, scene.container
    gc.collect()
    assert gone() is not None
    scene.watched.stop()
    scene.watched.stop()
    gc.collect()
    assert gone() is None
    assert scene.registry.chores() == []


def test_it_is_no_holder() -> None:
    """What it holds is not what inserting threads are made to give up."""
    scene = Scene(pairs(100))
    scene.look()
    assert scene.registry.holders() == []
    assert scene.registry.held_bytes() == 0
    assert scene.registry.chores() == [scene.watched]


def test_a_function_registered_for_a_type_that_fails_hides_no_limit() -> None:
    from membudget import sizing

    class Odd:
        pass

    def fail(_: Odd) -> int:
        raise RuntimeError("no size") from None

    scene = Scene([Odd() for _ in range(11)], max_items=10)
    sizing.register(Odd, lambda _: "much")  # type: ignore[arg-type, return-value]
    try:
        with pytest.raises(ConfigError, match="the size registered for Odd"):
            scene.look()
    finally:
        sizing.unregister(Odd)
    assert scene.exceeded == [("items", 11, 10)]


@pytest.mark.parametrize(
    ("container", "options", "why"),
    [
        (5, {}, "5 is a int, which has no length: watch a dict"),
        ([], {"max_items": 0}, "max_items 0 of book is not a count: give a whole number >= 1"),
        ([], {"max_items": True}, "max_items True of book is not a count"),
        ([], {"max_items": "5"}, "max_items '5' of book is not a count"),
        ([], {"max_bytes": "20"}, "max_bytes '20' has no unit"),
        ([], {"max_bytes": 0}, "max_bytes"),
        ([], {"every": 0}, "every"),
        ([], {"lock": object()}, "of book cannot be acquired: give a threading.Lock or RLock"),
        ([], {"lock": asyncio.Lock()}, "of book cannot be acquired"),
        (Sized([]), {"trim": True}, "book is a Sized, whose oldest items cannot be taken out"),
        ([], {"resize": True}, "book has no max_items to resize"),
        ([], {"max_items": 5, "resize": (6, 9)}, r"resize \(6, 9\) of book does not hold"),
        ([], {"max_items": 5, "resize": (0, 9)}, r"resize \(0, 9\) of book does not hold"),
        ([], {"max_items": 5, "resize": 5}, "resize 5 of book does not hold"),
        ([], {"max_items": 5, "resize": None}, "resize None of book does not hold"),
        ([], {"max_items": 5, "resize": (1,)}, r"resize \(1,\) of book does not hold"),
        ([], {"max_items": 5, "resize": (1.5, 9)}, r"resize \(1.5, 9\) of book does not hold"),
    ],
)
def test_what_cannot_be_watched_so_is_refused(
    container: Any, options: dict[str, Any], why: str
) -> None:
    registry = Registry()
    with pytest.raises(ConfigError, match=why):
        WatchedContainer("book", container, registry=registry, **options)
    assert registry.chores() == []


def test_a_length_is_believed_before_figures_of_another_kind() -> None:
    class Figured(Sized):
        def cache_info(self) -> dict[str, int]:
            return {"hits": 1}

    scene = Scene(Figured(["a", "b", "c"]), max_items=2)
    scene.look()
    assert scene.exceeded == [("items", 3, 2)]


@pytest.mark.parametrize("name", ["", 5, None])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="is not a text: name it after"):
        WatchedContainer(name, [])
