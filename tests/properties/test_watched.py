"""Laws of watched containers: whatever they hold, the newest stay and a crossing is told once."""

from collections import OrderedDict, deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from membudget.watched import APART, BELOW
from membudget.watched.advice import SAMPLES, History
from watched_scene import LONG, Scene

_KINDS: dict[str, Any] = {
    "dict": lambda texts: dict(enumerate(texts)),
    "OrderedDict": lambda texts: OrderedDict(enumerate(texts)),
    "list": list,
    "deque": deque,
}


@given(
    kind=st.sampled_from(sorted(_KINDS)),
    texts=st.lists(st.text(max_size=300), max_size=60),
    max_items=st.none() | st.integers(1, 80),
    max_bytes=st.none() | st.integers(1, 20_000),
    target=st.integers(1, 50_000),
)
def test_what_is_trimmed_is_the_oldest_and_only_what_is_over_the_limits(
    kind: str, texts: list[str], max_items: int | None, max_bytes: int | None, target: int
) -> None:
    """A suffix stays; within the limits nothing goes; asked for all, no limit is exceeded."""
    container = _KINDS[kind](texts)
    scene = Scene(container, max_items=max_items, max_bytes=max_bytes, trim=True)
    scene.look()
    before = scene.watched.stats()
    spare = scene.watched.reclaimable()
    assert spare is not None
    freed = scene.watched.reclaim(target, LONG)
    left = list(container.values() if isinstance(container, dict) else container)
    assert left == texts[len(texts) - len(left) :]
    assert scene.watched.stats().trimmed == len(texts) - len(left)
    assert (freed > 0) == (spare > 0)
    assert freed <= spare
    if max_items is not None and len(texts) <= max_items and max_bytes is None:
        assert left == texts
    if max_items is None and max_bytes is not None and (before.bytes or 0) <= max_bytes:
        assert left == texts
    scene.watched.reclaim(1 << 40, LONG)
    after = scene.watched.stats()
    assert max_items is None or (after.items or 0) <= max_items
    assert max_bytes is None or (after.bytes or 0) <= max_bytes
    assert not scene.watched.reclaimable()


@given(
    limit=st.integers(10, 1000),
    used=st.lists(st.integers(0, 2000), max_size=200),
    apart=st.floats(0.1, 1000),
)
def test_between_two_tellings_it_was_well_below_the_limit_and_five_minutes_passed(
    limit: int, used: list[int], apart: float
) -> None:
    items: list[None] = []
    scene = Scene(items, max_items=limit)
    told_at: int | None = None
    for number, one in enumerate(used):
        items[:] = [None] * one
        scene.clock.advance(apart)
        before = scene.watched.exceeded
        scene.watched.run(LONG)
        if scene.watched.exceeded > before:
            assert one > limit
            if told_at is not None:
                assert (number - told_at) * apart >= APART * (1 - 1e-9)
                assert min(used[told_at : number + 1]) < BELOW * limit
            told_at = number
    if any(one > limit for one in used):
        assert told_at is not None


@given(
    lengths=st.lists(st.integers(0, 10_000), min_size=1, max_size=600),
    apart=st.floats(0.01, 2000),
)
def test_a_history_keeps_the_peak_and_stays_small(lengths: list[int], apart: float) -> None:
    """What it says lies between the least and the most that was seen."""
    history = History(apart)
    for number, length in enumerate(lengths):
        history.note(number * apart, length)
    assert history.peak == max(lengths)
    assert min(lengths) <= history.mostly() <= max(lengths)
    assert len(history._samples) <= SAMPLES
    oldest = history.oldest(len(lengths) * apart)
    assert oldest is None or 0 <= oldest <= len(lengths) * apart * (1 + 1e-9)
