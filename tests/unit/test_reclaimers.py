"""The reclaimers: what they let go, and when they are left alone."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer, Recorder
from membudget.core import Reclaimed, Rung
from membudget.errors import ConfigError, ProbeError
from membudget.probes import allocator
from membudget.probes.process import process_probe
from membudget.reclaimers.callback import Callback
from membudget.reclaimers.collect import FULL, Collect, CollectAbove
from membudget.reclaimers.combine import LONGEST_PAUSE, Pause, backing_off, throttled
from membudget.reclaimers.trim import trim


class Node:
    """Half of a cycle."""

    def __init__(self) -> None:
        self.other: object = None


def make_cycles(count: int) -> None:
    """Garbage that only a collection frees."""
    for _ in range(count):
        one, two = Node(), Node()
        one.other, two.other = two, one


def test_a_collection_frees_cycles_and_says_how_many() -> None:
    """Objects are counted, and bytes are claimed from the fall in live blocks."""
    gc.collect()
    gc.disable()
    try:
        make_cycles(10_000)
        collect = Collect(FULL, clock=FakeClock())
        claimed = collect.reclaim(MIB, 0.0)
    finally:
        gc.enable()
    assert collect.objects is not None
    assert collect.objects >= 20_000
    assert claimed >= 20_000 * 32


def test_full_collections_keep_to_their_share_of_the_time() -> None:
    """After a collection of 1 s at a share of 5 % it is left alone for 19 s."""

    class SlowClock(FakeClock):
        def now(self) -> float:
            self.time += 0.5
            return self.time

    clock = SlowClock()
    collect = Collect(FULL, time_share=0.05, clock=clock)
    collect.reclaim(MIB, 0.0)
    began = clock.time
    assert collect.reclaimable() == 0
    while collect.reclaimable() == 0:
        clock.advance(0.5)
    assert 8 <= clock.time - began <= 20


def test_a_large_process_collects_by_itself_and_tells_what_came_of_it() -> None:
    """Above its mark, once per cooldown, with objects and bytes."""
    clock, recorder = FakeClock(), Recorder()
    memory = FakeMemory(clock, used=600 * MIB)
    collect = Collect(FULL, cooldown=60, clock=clock)
    chore = CollectAbove(500 * MIB, memory.own, recorder, collect, clock=clock)
    assert chore.due(clock.now())
    make_cycles(1000)
    chore.run(0.0)
    (told,) = recorder.of(Reclaimed)
    assert isinstance(told, Reclaimed)
    assert told.objects is not None
    assert told.asked == 100 * MIB
    assert not chore.due(clock.now())
    clock.advance(61)
    assert chore.due(clock.now())
    clock.advance(61)
    memory.used = 400 * MIB
    assert not chore.due(clock.now())


def test_a_trim_gives_freed_blocks_back_to_the_kernel() -> None:
    """On glibc, 2 KB strings that were freed leave the process only with a trim."""
    if allocator.mallinfo() is None:
        pytest.skip(f"malloc_trim is glibc's; here is {allocator.allocator()}")
    own = process_probe().own_bytes
    held = [str(n).ljust(2000) for n in range(20_000)]
    keep = held[::400]
    full = own()
    del held
    claimed = trim(allocator.trim, own, clock=FakeClock()).reclaim(MIB, 0.0)
    assert keep
    assert full - own() > 20 * MIB
    assert claimed >= 0


def test_trims_are_ten_seconds_apart() -> None:
    """A trim holds malloc's lock; it is not repeated at every tick."""
    clock, calls = FakeClock(), []

    def give_back() -> bool:
        calls.append(1)
        return True

    one = trim(give_back, lambda: 0, clock=clock)
    assert one.reclaimable() is None
    one.reclaim(1, 0.0)
    assert one.reclaimable() == 0
    clock.advance(10)
    assert one.reclaimable() is None
    assert len(calls) == 1


def test_a_throttled_reclaimer_is_left_alone_even_when_it_failed() -> None:
    """What raises is not asked again before its time."""
    clock = FakeClock()
    inner = FakeReclaimer(FakeMemory(clock), MIB)
    inner.error = RuntimeError("x")
    outer = throttled(inner, 5.0, clock=clock)
    with pytest.raises(RuntimeError):
        outer.reclaim(1, 0.0)
    assert outer.reclaimable() == 0
    assert (outer.name, outer.rung) == (inner.name, inner.rung)


def test_a_pause_doubles_up_to_half_a_minute_and_ends_with_success() -> None:
    """1, 2, 4 … 30 seconds after two vain rounds; one effective round starts anew."""
    pause, lengths = Pause(), []
    pause.note(0.0, effective=False)
    assert pause.ends == float("-inf")
    for _ in range(7):
        pause.note(0.0, effective=False)
        lengths.append(pause.ends)
    assert lengths == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE]
    pause.note(0.0, effective=True)
    assert pause.ends == float("-inf")


def test_backing_off_wraps_any_reclaimer() -> None:
    """Two rounds that free nothing close it for a second."""
    clock = FakeClock()
    outer = backing_off(FakeReclaimer(FakeMemory(clock), 0), clock=clock)
    outer.reclaim(1, 0.0)
    outer.reclaim(1, 0.0)
    clock.advance(0.5)
    assert outer.reclaimable() == 0
    clock.advance(0.6)
    outer.inner.holds = MIB  # type: ignore[attr-defined]  # the fake's own
    assert outer.reclaimable() == MIB


def test_a_callback_gets_the_bytes_wanted_and_returns_the_bytes_let_go() -> None:
    """A program's own function is a reclaimer; None means it does not know."""
    asked: list[int] = []

    def flush(target: int) -> int:
        asked.append(target)
        return 7

    assert Callback("flush", flush).reclaim(100, 0.0) == 7
    assert asked == [100]
    assert Callback("flush", lambda _: None).reclaim(100, 0.0) == 0


@pytest.mark.parametrize("answer", ["much", -5, True, 1.5])
def test_a_callback_that_returns_no_size_is_told_so(answer: object) -> None:
    """The error says what to return."""
    with pytest.raises(ProbeError, match="return the bytes let go"):
        Callback("flush", lambda _: answer).reclaim(1, 0.0)


def test_a_callback_must_be_callable() -> None:
    """Refused when it is registered, not when memory is short."""
    with pytest.raises(ConfigError, match="not callable"):
        Callback("flush", 5)  # type: ignore[arg-type]  # that is the case under test


def in_a_loop(body: Any) -> None:
    """Run a coroutine in a fresh loop, and what it asks of a governor's thread beside it."""
    asyncio.run(asyncio.wait_for(body(), 10))


def from_a_thread(function: Any) -> Any:
    """Call it on another thread, as the governor would."""
    got: list[Any] = []

    def call() -> None:
        try:
            got.append(function())
        except BaseException as error:  # noqa: BLE001  # passed on to the test
            got.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return got[0]


def test_an_async_callback_is_started_and_gathered_later() -> None:
    """The governor never waits on a loop: what came of it counts at a later step."""

    async def body() -> None:
        done = asyncio.Event()

        async def flush(target: int) -> int:
            done.set()
            return target // 2

        callback = Callback("flush", flush)
        assert from_a_thread(lambda: callback.reclaim(100, 0.0)) == 0
        assert from_a_thread(callback.reclaimable) == 0
        await done.wait()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert callback.reclaimable() is None
        assert from_a_thread(lambda: callback.reclaim(100, 0.0)) == 50

    in_a_loop(body)


def test_an_async_callback_past_its_deadline_is_cancelled_and_told() -> None:
    """It becomes an error that names the callback and what to do."""
    clock = FakeClock()

    async def body() -> None:
        async def flush(target: int) -> int:
            await asyncio.Event().wait()
            return target

        callback = Callback("flush", flush, deadline=5.0, clock=clock)
        from_a_thread(lambda: callback.reclaim(100, 0.0))
        clock.advance(6)
        error = from_a_thread(lambda: callback.reclaim(100, 0.0))
        assert isinstance(error, TimeoutError)
        assert "flush" in str(error)

    in_a_loop(body)


def test_an_async_callback_without_a_loop_is_refused_in_words() -> None:
    """Nothing is left un-awaited."""

    async def flush(target: int) -> int:
        return target

    with pytest.raises(ConfigError, match="loop"):
        Callback("flush", flush, rung=Rung.GENTLE).reclaim(1, 0.0)
