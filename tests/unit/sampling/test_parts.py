"""The parts of a sample: every kind of holder with its bounds, and nothing changed by asking."""

import functools
from collections import deque

import pytest

import membudget
from fakes import MIB, FakeClock
from membudget.core import PartSample
from membudget.reclaimers.found import FoundCaches
from membudget.registry import Registry
from membudget.sampling import MOST_PARTS, Parts
from membudget.watched import WatchedContainer


class Scene:
    """A register and what was told of it."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.told: list[tuple[str, BaseException]] = []
        self.parts = Parts(self.registry, lambda where, error: self.told.append((where, error)))

    def one(self) -> PartSample:
        (found,), _ = self.parts.take()
        return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_cache_tells_its_bounds_and_its_share(scene: Scene) -> None:
    """What the budget gives it is a bound, too."""
    cache: membudget.Cache[str, bytes] = membudget.Cache(
        "prices", max_bytes="5MiB", max_entries=50, ttl="1h", registry=scene.registry
    )
    cache.set("a", b"x" * 1000)
    part = scene.one()
    assert (part.name, part.kind, part.items) == ("prices", "Cache", 1)
    assert part.bytes == cache.held_bytes()
    assert (part.most_bytes, part.most_items, part.ttl) == (5 * MIB, 50, 3600.0)
    cache.share = MIB
    assert scene.one().most_bytes == MIB


@pytest.mark.parametrize(
    ("kind", "bounds", "most_items"),
    [
        ("BoundedDeque", {"maxlen": 9}, 9),
        ("BoundedList", {"max_items": 8}, 8),
        ("BoundedDict", {"max_items": 7}, 7),
        ("BoundedSet", {"max_items": 6}, 6),
    ],
)
def test_a_container_tells_its_bounds(kind: str, bounds: dict[str, int], most_items: int) -> None:
    scene = Scene()
    made = getattr(membudget, kind)("book", registry=scene.registry, max_bytes=MIB, **bounds)
    part = scene.one()
    assert (part.kind, part.items, part.bytes) == (kind, 0, made.held_bytes())
    assert (part.most_items, part.most_bytes) == (most_items, MIB)
    assert part.is_bounded


def test_a_weak_cache_is_not_swept_by_a_look(scene: Scene) -> None:
    """Its length is: what has died stays counted until somebody else looks."""

    class Value:
        """Can be held weakly."""

    cache: membudget.WeakCache[str, Value] = membudget.WeakCache(
        "values", strong=2, registry=scene.registry
    )
    for key in "abcd":
        cache.set(key, Value())
    before = (len(cache._refs), len(cache._dead))
    part = scene.one()
    assert (len(cache._refs), len(cache._dead)) == before
    assert (part.items, part.most_items) == (2, 2)


def test_a_watched_container_tells_what_the_last_look_saw() -> None:
    """No code of the program runs for a sample."""

    class Book(deque[int]):
        looks = 0

        def __len__(self) -> int:
            Book.looks += 1
            return 3

    scene, clock, book = Scene(), FakeClock(), Book([1, 2, 3], maxlen=4)
    watched = WatchedContainer(
        "book", book, max_items=5, max_bytes="1MiB", registry=scene.registry, clock=clock
    )
    assert scene.one().items is None
    watched.run(0.0)
    looks = Book.looks
    part = scene.one()
    assert Book.looks == looks
    assert (part.kind, part.items, part.most_items, part.most_bytes) == ("watched Book", 3, 4, MIB)
    watched.stop()


def test_functools_caches_are_told_one_by_one_where_they_hold_more_than_a_handful() -> None:
    scene = Scene()
    found = FoundCaches(lambda: None)
    scene.registry.add(found)

    def load(number: int) -> str:
        return str(number)

    def few(number: int) -> str:
        return str(number)

    endless, bounded, small = (
        found.make(load),
        found.note(functools.lru_cache(2000)(load)),
        found.make(few),
    )
    for number in range(1500):
        endless(number)
        bounded(number)
    small(1)
    parts, _ = scene.parts.take()
    assert {part.name.rpartition(".")[2] for part in parts} == {"load"}
    assert {part.kind for part in parts} == {"lru_cache"}
    assert sorted((part.items, part.most_items is None) for part in parts) == [
        (1500, False),
        (1500, True),
    ]


class Holder:
    """A holder of the program's own, which promises two things."""

    def __init__(self, name: str, held: int = 100, *, is_broken: bool = False) -> None:
        self.name = name
        self.held = held
        self.is_broken = is_broken

    def held_bytes(self) -> int:
        if self.is_broken:
            raise OSError("gone")
        return self.held

    def __len__(self) -> int:
        raise AssertionError("nobody promised a length")

    @property
    def max_bytes(self) -> int:
        """Not promised either."""
        raise AssertionError("nobody promised a bound")


def test_a_holder_of_the_programs_own_is_asked_what_it_promised() -> None:
    scene, holder = Scene(), Holder("theirs")
    scene.registry.add(holder)
    part = scene.one()
    assert (part.name, part.kind, part.bytes, part.items) == ("theirs", "Holder", 100, None)
    assert not part.is_bounded
    assert not scene.told


def test_one_that_fails_is_left_out_and_told_once(scene: Scene) -> None:
    broken, fine = Holder("broken", is_broken=True), Holder("fine")
    scene.registry.add(broken)
    scene.registry.add(fine)
    for _ in range(3):
        assert scene.one().name == "fine"
    ((where, error),) = scene.told
    assert where == "part Holder"
    assert isinstance(error, OSError)


def test_the_largest_are_kept_and_all_bounded_ones_explain(scene: Scene) -> None:
    caches: list[membudget.Cache[int, bytes]] = [
        membudget.Cache(f"cache {number}", max_bytes=MIB, registry=scene.registry)
        for number in range(MOST_PARTS + 20)
    ]
    for number, cache in enumerate(caches):
        cache.set(0, b"x" * 100 * number)
    parts, explained = scene.parts.take()
    assert len(parts) == MOST_PARTS
    assert parts[0].name == caches[-1].name
    assert explained == sum(cache.held_bytes() for cache in caches)


def test_what_is_held_beyond_a_bound_explains_nothing() -> None:
    """A watched container that nobody trims may go over its limit: that growth has no end."""
    scene, clock = Scene(), FakeClock()
    book = [bytes(1000) for _ in range(100)]
    watched = WatchedContainer("book", book, max_items=50, registry=scene.registry, clock=clock)
    watched.run(0.0)
    (part,), explained = scene.parts.take()
    assert part.bytes is not None
    assert explained == part.bytes // 2
    watched.stop()
