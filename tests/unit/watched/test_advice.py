"""What use says about a bound: how full, how old, how much is read; and a limit that follows it."""

from collections import deque
from typing import Any

import pytest

from membudget.errors import ConfigError
from membudget.watched import RESIZE_EVERY
from membudget.watched.advice import SAMPLES, History, rounded_up
from watched_scene import Scene


@pytest.mark.parametrize(
    ("number", "rounded"),
    [(0, 1), (1, 1), (9.2, 10), (99, 99), (99.5, 100), (101, 110), (1203, 1300), (98_001, 99_000)],
)
def test_what_is_advised_is_a_round_number_from_there_on(number: float, rounded: int) -> None:
    assert rounded_up(number) == rounded


def test_a_history_reaches_back_a_day_in_few_samples() -> None:
    """Finer where it is young; its peak is never lost."""
    history = History(1.0)
    history.note(0.0, 9)
    for second in range(1, 100_000):
        history.note(float(second), 5 if second % 1000 else 7)
    assert len(history._samples) <= SAMPLES
    assert history._samples[0].at > 0
    assert 80_000 < history._samples[-1].at - history._samples[0].at < 95_000
    assert history.peak == 9
    assert history.mostly() == 7, "a rare high counts as long as a sample lasts"


def test_mostly_leaves_out_a_rare_burst() -> None:
    """One in a hundred looks says nothing about what is needed."""
    history = History(1.0)
    for second in range(100):
        history.note(float(second), 5000 if second == 50 else 100)
    assert history.mostly() == 100
    assert history.peak == 5000


def test_growth_is_told_by_the_hour() -> None:
    book: list[int] = []
    scene = Scene(book)
    for _ in range(100):
        scene.look()
        book += [1, 2]
    advice = scene.watched.advice()
    assert advice.growth == pytest.approx(2.0)
    assert "growing by 7,200 an hour" in advice.text


def test_the_oldest_item_is_no_older_than_what_was_dropped_since() -> None:
    """First in, first out: what has shrunk by as much as it held has nothing of that time left."""
    waiting: deque[int] = deque()
    scene = Scene(waiting)
    waiting.extend(range(10))
    scene.look()
    assert scene.watched.advice().oldest is None, "as old as the watch, or older"
    for _ in range(6):
        waiting.popleft()
    scene.look()
    waiting.extend(range(6))
    scene.look()
    assert scene.watched.advice().oldest is None
    for _ in range(6):
        waiting.popleft()
    scene.look()
    scene.clock.advance(5)
    advice = scene.watched.advice()
    assert advice.oldest == pytest.approx(7.0), "since the look at which 4 were left"
    assert "none older than 7.0 s" in advice.text


def test_a_full_container_and_one_half_empty_are_told_apart() -> None:
    full, empty = Scene(list(range(100)), max_items=100), Scene(list(range(10)), max_items=100)
    for scene in (full, empty):
        scene.look(10)
    told = full.watched.advice()
    assert (told.fill, told.enough) == (1.0, 150)
    assert told.text == (
        "book: 100 items, mostly up to 100 of 100 (100%), 100 at most; it is full: give it 150, "
        "if what went would have been used"
    )
    assert empty.watched.advice().text.endswith(
        "mostly up to 10 of 100 (10%), 10 at most; 15 would do"
    )


def test_a_deque_is_measured_by_its_own_maxlen() -> None:
    bounded, endless = Scene(deque(range(5), maxlen=50)), Scene(deque(range(5)))
    for scene in (bounded, endless):
        scene.look(10)
    assert bounded.watched.advice().limit == 50
    assert bounded.watched.stats().maxlen == 50
    text = endless.watched.advice().text
    assert "a deque's maxlen is fixed when it is made: make it with maxlen=8" in text
    assert "or watch it with max_items and trim=True" in text


def test_before_the_first_look_there_is_nothing_to_advise() -> None:
    advice = Scene([1, 2]).watched.advice()
    assert advice.enough is None
    assert advice.text.endswith("nothing seen yet to advise from")


def test_how_far_back_is_read_is_what_is_needed() -> None:
    ticks = deque(range(1000), maxlen=1000)
    scene = Scene(ticks)
    seen = scene.watched.observed()
    scene.look(5)
    for back in range(1, 21):
        for _ in range(3):
            assert seen[-back] == ticks[-back]
            assert seen[len(seen) - back] == ticks[-back]
    for back, tick in enumerate(reversed(seen)):
        if back == 15:
            break
        assert tick == 999 - back
    advice = scene.watched.advice()
    assert advice.depth == 20
    assert advice.enough == 30
    assert advice.text.endswith(
        "100% of lookups found something, the last 20 were read; 30 would do"
    )
    assert list(seen) == list(ticks)
    assert scene.watched.advice().depth == 1000


def test_a_slice_of_a_list_is_read_from_where_it_begins() -> None:
    scene = Scene(list(range(1000)))
    seen = scene.watched.observed()
    scene.look()
    for _ in range(100):
        assert seen[-50:-10] == list(range(950, 990))
    assert scene.watched.advice().depth == 50


def test_lookups_of_a_mapping_are_counted_as_hits_and_misses() -> None:
    book = {number: str(number) for number in range(10)}
    scene = Scene(book, max_items=10)
    seen = scene.watched.observed()
    scene.look()
    for number in range(100):
        assert seen.get(number, "none") == (str(number) if number < 10 else "none")
        assert (number in seen) is (number < 10)
    with pytest.raises(KeyError):
        seen["missing"]
    assert seen[5] == "5"
    assert list(seen.items()) == list(book.items())
    assert len(seen) == 10
    assert list(seen) == list(book)
    advice = scene.watched.advice()
    assert advice.hit_rate == pytest.approx(31 / 212)
    assert advice.depth is None


def test_what_counts_its_own_lookups_is_asked() -> None:
    class Stats:
        hits, misses = 90, 10

    class Counting(list[int]):
        def stats(self) -> Any:
            return Stats()

    class Odd(list[int]):
        def stats(self) -> Any:
            raise RuntimeError("not now")

    counting, odd = Scene(Counting([1])), Scene(Odd([1]))
    assert counting.watched.advice().hit_rate == pytest.approx(0.9)
    assert odd.watched.advice().hit_rate is None


def test_a_limit_that_follows_use_stays_between_its_bounds() -> None:
    book = list(range(100))
    scene = Scene(book, max_items=1000, resize=(200, 2000))
    scene.look(int(RESIZE_EVERY) - 1)
    assert scene.watched.stats().max_items == 1000
    scene.look()
    assert scene.watched.stats().max_items == 200, "150 would do, but 200 is the least"
    book += range(300)
    scene.look(int(RESIZE_EVERY))
    assert scene.watched.stats().max_items == 600
    book += range(3000)
    scene.look(int(RESIZE_EVERY))
    assert scene.watched.stats().max_items == 2000


def test_resizing_without_bounds_goes_no_further_than_the_limit_given() -> None:
    book = [1]
    scene = Scene(book, max_items=1000, resize=True)
    scene.look(int(RESIZE_EVERY))
    assert scene.watched.stats().max_items == 100
    book += range(5000)
    scene.look(int(RESIZE_EVERY))
    assert scene.watched.stats().max_items == 1000


def test_a_full_container_that_nobody_finds_anything_in_is_made_no_longer() -> None:
    """More of what is not read would be read as little."""
    book = {number: number for number in range(100)}
    scene = Scene(book, max_items=100, resize=(10, 1000))
    seen = scene.watched.observed()
    for number in range(1000):
        seen.get(-number - 1)
    scene.look(int(RESIZE_EVERY))
    assert scene.watched.stats().max_items == 100


def test_a_deques_own_maxlen_is_never_resized() -> None:
    scene = Scene(deque(range(5), maxlen=50), max_items=40, resize=(10, 100))
    scene.look(int(RESIZE_EVERY))
    assert scene.watched.stats().max_items == 40


def test_limits_can_be_set_anew() -> None:
    scene = Scene(list(range(20)), max_items=10)
    scene.watched.limit(max_items=30, max_bytes="1MiB")
    scene.look()
    assert scene.exceeded == []
    with pytest.raises(ConfigError, match="max_items 0 of book"):
        scene.watched.limit(max_items=0)
    stats = scene.watched.stats()
    assert (stats.max_items, stats.max_bytes) == (30, 1 << 20)
    scene.watched.limit()
    stats = scene.watched.stats()
    assert (stats.max_items, stats.max_bytes) == (None, None)
