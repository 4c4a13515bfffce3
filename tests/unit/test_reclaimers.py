"""The reclaimers: what they let go, and when they are left alone."""

import asyncio
import gc
import math
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import MIB, FakeClock, FakeMemory, FakeReclaimer, Recorder
from membudget.core import Level, Meter, Pressure, Reclaimed, Reclaimer, Rung
from membudget.errors import ConfigError, ProbeError
from membudget.governor.floor import Floor
from membudget.governor.ladder import SETTLE, Ladder
from membudget.governor.telling import Teller
from membudget.probes import allocator
from membudget.probes.process import process_probe
from membudget.reclaimers import FULL, Collect, CollectAbove, Throttled
from membudget.reclaimers.allocators import FIRST_PAUSE, RISE, Allocators, Later, Trim
from membudget.reclaimers.allocators import LONGEST_PAUSE as LONGEST_TRIM_PAUSE
from membudget.reclaimers.program import DEADLINE, Callback
from membudget.registry import Registry


class Node:
    def __init__(self) -> None:
        self.other: object = None


def make_cycles(count: int) -> None:
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
    assert told.objects is not None
    assert told.asked == 100 * MIB
    assert not chore.due(clock.now())
    clock.advance(61)
    assert chore.due(clock.now())
    clock.advance(61)
    memory.used = 400 * MIB
    assert not chore.due(clock.now())


class FakeAllocator:
    """An allocator that holds bytes free, of which a share goes back to the kernel when asked."""

    def __init__(self, clock: FakeClock, free: int | None = 0) -> None:
        self.clock = clock
        self.free = free
        self.returnable = 0
        self.used = 1000 * MIB
        self.seconds_a_byte = 0.0
        self.calls = 0
        self.is_pressed = False
        self.trim = Trim(
            *("fake", self.release, lambda: self.used),
            free=lambda: self.free,
            is_pressed=lambda: self.is_pressed,
            clock=clock,
        )

    def release(self) -> None:
        """Give back; what is free stays free, as in malloc."""
        self.calls += 1
        self.clock.advance((self.free or 0) * self.seconds_a_byte)
        self.used -= self.returnable
        self.returnable = 0

    def ask(self, target: int = 30 * MIB) -> int | None:
        """Ask as the ladder does: what came of it, or None where it is not asked."""
        return self.trim.reclaim(target, 0.0) if self.trim.reclaimable() != 0 else None


def test_a_trim_gives_freed_blocks_back_to_the_kernel() -> None:
    """On glibc, 2 KB strings that were freed leave the process only with a trim."""
    if allocator.mallinfo() is None:
        pytest.skip(f"malloc_trim is glibc's; here is {allocator.allocator()}")
    own = process_probe().own_bytes
    malloc = Allocators(own, allocator.purgeable()).malloc
    held = [str(n).ljust(2000) for n in range(20_000)]
    keep = held[::400]
    full = own()
    del held
    assert malloc.reclaimable() is None
    claimed = malloc.reclaim(MIB, 0.0)
    assert keep
    assert full - own() > 20 * MIB
    assert malloc.given_back == claimed > 20 * MIB


def test_a_trim_that_would_pay_does_not_wait_after_one_that_did_not() -> None:
    """16 MiB more free than at the last try are worth another one at once."""
    memory = FakeAllocator(FakeClock(), free=200 * MIB)
    assert memory.ask() == 0
    memory.free = 200 * MIB + RISE - 1
    assert memory.ask() is None
    memory.free, memory.returnable = 345 * MIB, 145 * MIB
    assert memory.ask() == 145 * MIB
    assert memory.calls == 2


def test_what_was_given_back_and_freed_again_is_worth_a_try() -> None:
    """Pages that went are filled and freed: malloc's figure is as before, and they are here."""
    memory = FakeAllocator(FakeClock(), free=150 * MIB)
    memory.returnable = 150 * MIB
    assert memory.ask() == 150 * MIB
    memory.free = 20 * MIB
    assert memory.ask() is None
    memory.free = memory.returnable = 150 * MIB
    assert memory.ask() == 150 * MIB


@given(st.integers(1, 200_000))
def test_trims_that_bring_nothing_become_rare(seconds: int) -> None:
    """Asked every second for T seconds in vain, it is done about log2(T) times."""
    memory = FakeAllocator(FakeClock(), free=215 * MIB)
    began = memory.clock.time
    while (left := began + seconds - memory.clock.time) > 0:
        assert not memory.ask()
        memory.clock.advance(min(left, 1.0 if seconds < 5000 else 60.0))
    assert memory.calls <= 2 + math.log2(1 + seconds / FIRST_PAUSE) + seconds / LONGEST_TRIM_PAUSE
    memory.clock.advance(LONGEST_TRIM_PAUSE)
    memory.returnable = 50 * MIB
    assert memory.ask() == 50 * MIB


def test_a_healthy_process_is_not_stopped_for_long_by_a_trim() -> None:
    """Where the stall foreseen is over 50 ms it waits until memory is short."""
    memory = FakeAllocator(FakeClock(), free=600 * MIB)
    memory.used, memory.returnable = 2000 * MIB, 500 * MIB
    assert memory.ask() is None
    assert Later(memory.trim, Rung.AGGRESSIVE).reclaimable() is None, (
        "asked by hand, it may take longer"
    )
    memory.is_pressed = True
    assert memory.ask() == 500 * MIB


def test_the_stall_is_foreseen_by_the_last_one() -> None:
    """On a slower machine less is free before it counts as long."""
    memory = FakeAllocator(FakeClock(), free=200 * MIB)
    memory.seconds_a_byte, memory.returnable = 1.0 / (1000 * MIB), 200 * MIB
    assert memory.ask() == 200 * MIB
    memory.clock.advance(3600)
    memory.used += 100 * MIB
    memory.returnable = 100 * MIB
    assert memory.ask() is None
    memory.is_pressed = True
    assert memory.ask() == 100 * MIB


def test_what_was_given_back_before_foretells_no_stall() -> None:
    """Malloc counts it as free for good; what is freed since then decides."""
    memory = FakeAllocator(FakeClock(), free=2000 * MIB)
    memory.used, memory.returnable, memory.is_pressed = 3000 * MIB, 2000 * MIB, True
    assert memory.ask() == 2000 * MIB
    memory.is_pressed = False
    memory.free, memory.returnable = 2100 * MIB, 100 * MIB
    assert memory.ask() == 100 * MIB


def test_a_long_search_in_vain_is_not_repeated_while_the_process_is_well() -> None:
    """A heap in a million pieces takes its time although nothing goes."""
    memory = FakeAllocator(FakeClock(), free=300 * MIB)
    memory.seconds_a_byte = 0.5e-9
    assert memory.ask() == 0
    memory.free, memory.returnable = 400 * MIB, 100 * MIB
    memory.clock.advance(60)
    assert memory.ask() is None
    memory.is_pressed = True
    assert memory.ask() == 100 * MIB


def test_trims_take_a_twentieth_of_the_time_at_most() -> None:
    """However often it pays, what it costs is bounded."""
    memory = FakeAllocator(FakeClock(), free=0)
    memory.seconds_a_byte = 1e-10
    began = memory.clock.time
    spent = 0.0
    for _ in range(2000):
        memory.clock.advance(0.01)
        memory.free = 0
        memory.trim.reclaimable()
        memory.free = memory.returnable = 100 * MIB
        before = memory.clock.time
        if memory.ask() is not None:
            memory.used += 100 * MIB
        spent += memory.clock.time - before
    assert 0.02 < spent / (memory.clock.time - began) <= 0.051


def test_an_allocator_that_does_not_tell_is_asked_by_the_clock() -> None:
    """Ten seconds apart, and longer apart where nothing comes."""
    memory = FakeAllocator(FakeClock(), free=None)
    assert memory.ask() == 0
    assert memory.ask() is None
    memory.clock.advance(10)
    assert memory.ask() == 0
    memory.clock.advance(10)
    assert memory.ask() is None
    memory.clock.advance(10)
    assert memory.ask() == 0


def test_an_allocator_that_holds_nothing_is_not_asked() -> None:
    """As where there is no such allocator at all: musl has no trim."""
    memory = FakeAllocator(FakeClock(), free=0)
    assert memory.ask() is None


@pytest.mark.parametrize("seen", ["as it is", "throttled", "at a rung"])
def test_the_ladder_does_not_pause_what_paces_itself(seen: str) -> None:
    """A trim in vain, twice, would keep the next one waiting though it pays."""
    clock, registry = FakeClock(), Registry()
    memory, teller = FakeAllocator(clock, free=200 * MIB), Teller([], clock)
    meter = Meter(lambda: memory.used, registry.held_bytes)
    late: Reclaimer = Later(memory.trim, Rung.EMERGENCY)
    if seen == "throttled":
        late = Throttled(late, 1.0, clock=clock)
    elif seen == "at a rung":
        late = Throttled(late, rung=Rung.EMERGENCY)
    ladder = Ladder([late], registry, meter, teller, floor=Floor(SETTLE), clock=clock)
    pressed = Pressure(level=Level.EMERGENCY, limit=400 * MIB, excess=200 * MIB)
    for _ in range(5):
        assert ladder.relieve(pressed) == 0
        clock.advance(3600)
    assert ladder.relieve(pressed) == 0
    clock.advance(1)
    memory.free, memory.returnable = 300 * MIB, 100 * MIB
    assert ladder.relieve(pressed) == 100 * MIB


def test_a_throttled_reclaimer_is_left_alone_even_when_it_failed() -> None:
    """What raises is not asked again before its time."""
    clock = FakeClock()
    inner = FakeReclaimer(FakeMemory(clock), MIB)
    inner.error = RuntimeError("x")
    outer = Throttled(inner, 5.0, clock=clock)
    with pytest.raises(RuntimeError):
        outer.reclaim(1, 0.0)
    assert outer.reclaimable() == 0
    assert (outer.name, outer.rung) == (inner.name, inner.rung)


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
    with pytest.raises(ProbeError, match="return the bytes freed"):
        Callback("flush", lambda _: answer).reclaim(1, 0.0)


def test_a_callback_must_be_callable() -> None:
    """Refused when it is registered, not when memory is short."""
    with pytest.raises(ConfigError, match="cannot be called"):
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

        callback = Callback("flush", flush, clock=clock)
        from_a_thread(lambda: callback.reclaim(100, 0.0))
        clock.advance(DEADLINE + 1)
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
