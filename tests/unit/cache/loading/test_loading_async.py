"""Loading in tasks, in several loops, and together with threads."""

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import Awaitable
from typing import Any

import pytest

from beside import PATIENCE, in_threads
from loading_scene import Held as Blocking
from loading_scene import followers, until
from membudget.cache.cache import Cache
from membudget.cache.loading import load as flights
from membudget.errors import ConfigError
from membudget.registry import Registry
from waiting import eventually

load, load_async = Cache.get_or_load, Cache.get_or_load_async


@pytest.fixture
def cache() -> Cache[Any, Any]:
    return Cache("loaded", max_entries=100, registry=Registry())


class Held:
    """A coroutine function that goes on when it is let, in any loop."""

    def __init__(self, result: object = "value") -> None:
        self.calls = 0
        self.result = result
        self.is_let = False

    async def __call__(self, key: object) -> Any:
        self.calls += 1
        while not self.is_let:  # noqa: ASYNC110  # an event belongs to one loop
            await asyncio.sleep(0.001)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def test_a_thousand_tasks_load_once(cache: Cache[Any, Any]) -> None:
    loader = Held(object())

    async def main() -> None:
        tasks = [asyncio.create_task(load_async(cache, "a", loader)) for _ in range(1000)]
        await until(lambda: followers(cache) == 999)
        loader.is_let = True
        assert all(got is loader.result for got in await asyncio.gather(*tasks))
        assert await load_async(cache, "a", loader) is loader.result

    asyncio.run(main())
    assert loader.calls == 1
    assert not cache._flights


def test_tasks_that_waited_get_the_exception_and_the_next_loads_anew(
    cache: Cache[Any, Any],
) -> None:
    loader = Held(OSError("down"))

    async def main() -> None:
        tasks = [asyncio.create_task(load_async(cache, "a", loader)) for _ in range(5)]
        await until(lambda: followers(cache) == 4)
        loader.is_let = True
        got = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(one is loader.result for one in got)
        loader.result = "up"
        assert await load_async(cache, "a", loader) == "up"

    asyncio.run(main())
    assert loader.calls == 2


def test_a_cancelled_leader_hands_over_to_a_follower(cache: Cache[Any, Any]) -> None:
    loader = Held()

    async def main() -> None:
        tasks = [asyncio.create_task(load_async(cache, "a", loader)) for _ in range(5)]
        await until(lambda: followers(cache) == 4)
        tasks[0].cancel()
        await until(lambda: loader.calls == 2)
        await until(lambda: followers(cache) == 3)
        loader.is_let = True
        assert await asyncio.gather(*tasks[1:]) == ["value"] * 4
        assert tasks[0].cancelled()

    asyncio.run(main())
    assert loader.calls == 2


def test_a_cancelled_follower_disturbs_nobody_and_leaves_nothing(cache: Cache[Any, Any]) -> None:
    """However many give up waiting, the flight does not grow."""
    loader = Held()

    async def main() -> None:
        leader = asyncio.create_task(load_async(cache, "a", loader))
        await until(lambda: loader.calls)
        for _ in range(100):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await load_async(cache, "a", loader)
        assert followers(cache) == 0
        loader.is_let = True
        assert await leader == "value"

    asyncio.run(main())
    assert loader.calls == 1


def test_a_load_that_asks_for_its_own_key_does_not_wait_for_itself(cache: Cache[Any, Any]) -> None:
    """Nor where it asks in a task or a thread that it started."""

    async def own(key: str) -> str:
        return "own"

    async def by_itself(key: str) -> str:
        return await load_async(cache, key, own)

    async def by_tasks(key: str) -> str:
        return "".join(await asyncio.gather(*[load_async(cache, key, own) for _ in range(1)]))

    async def by_a_thread(key: str) -> str:
        got: str = await asyncio.to_thread(load, cache, key, lambda _: "own")
        return got

    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            for loader in (by_itself, by_tasks, by_a_thread):
                assert await load_async(cache, loader.__name__, loader) == "own"

    asyncio.run(main())


def test_tasks_that_wait_for_each_other_end(cache: Cache[Any, Any]) -> None:
    async def own(key: str) -> str:
        return "own"

    async def crossing(key: str) -> str:
        await until(lambda: len(cache._flights) == 2)
        return await load_async(cache, "b" if key == "a" else "a", own)

    async def main() -> list[str]:
        async with asyncio.timeout(PATIENCE):
            return list(await asyncio.gather(*[load_async(cache, key, crossing) for key in "ab"]))

    assert asyncio.run(main()) == ["own", "own"]


def test_two_loops_load_once_and_each_keeps_its_futures(cache: Cache[Any, Any]) -> None:
    """Loops in debug mode refuse what is done to them from another's thread."""
    loader = Held()

    def work() -> object:
        async def main() -> list[str]:
            return list(await asyncio.gather(*[load_async(cache, "a", loader) for _ in range(10)]))

        return asyncio.run(main(), debug=True)

    def let() -> None:
        eventually(lambda: followers(cache) == 19)
        loader.is_let = True

    assert in_threads(work, work, let)[:2] == [["value"] * 10] * 2
    assert loader.calls == 1


def test_two_loops_share_what_is_not_kept(cache: Cache[Any, Any]) -> None:
    error = LookupError("no such row")
    loader = Held(error)

    def work() -> object:
        async def main() -> list[object]:
            asked = [load_async(cache, "a", loader) for _ in range(10)]
            return list(await asyncio.gather(*asked, return_exceptions=True))

        return asyncio.run(main())

    def let() -> None:
        eventually(lambda: followers(cache) == 19)
        loader.is_let = True

    got = in_threads(work, work, let)[:2]
    assert got == [[error] * 10] * 2
    assert loader.calls == 1


def test_a_load_that_takes_long_is_waited_for(
    cache: Cache[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a thread and another loop look whether its leader is still there."""
    monkeypatch.setattr("membudget.cache.loading.load.PATIENCE", 0.001)
    loader = Held()
    looks = 0

    def is_lost(flight: flights.Flight) -> bool:
        nonlocal looks
        looks += 1
        return was_lost(flight)

    was_lost = flights.Flight.is_lost
    monkeypatch.setattr(flights.Flight, "is_lost", is_lost)

    def loop() -> object:
        return asyncio.run(load_async(cache, "a", loader))

    def thread() -> object:
        eventually(lambda: loader.calls)
        return load(cache, "a", lambda _: pytest.fail("loaded"))

    def let() -> None:
        eventually(lambda: followers(cache) == 2 and looks > 50)
        loader.is_let = True

    assert in_threads(loop, loop, thread, let)[:3] == ["value"] * 3
    assert loader.calls == 1


def test_threads_and_tasks_wait_for_each_other(cache: Cache[Any, Any]) -> None:
    by_task = Held()
    by_thread = Blocking("from a thread")

    def follow() -> object:
        eventually(lambda: by_task.calls)
        return load(cache, "a", lambda _: pytest.fail("loaded"))

    def lead() -> object:
        return load(cache, "b", by_thread)

    def loop() -> object:
        async def main() -> list[str]:
            first = asyncio.create_task(load_async(cache, "a", by_task))
            await until(lambda: followers(cache) == 1)
            await until(by_thread.begun.is_set)
            second = asyncio.create_task(load_async(cache, "b", by_task))
            await until(lambda: followers(cache, "b") == 1)
            by_task.is_let = True
            by_thread.go.set()
            return [await first, await second]

        return asyncio.run(main())

    assert in_threads(loop, follow, lead) == [
        ["value", "from a thread"],
        "value",
        "from a thread",
    ]
    assert by_task.calls == 1


def test_a_plain_call_in_a_loop_does_not_wait_for_a_task_of_that_loop(
    cache: Cache[Any, Any],
) -> None:
    """The loop stands still during the call, so it would wait for ever."""
    loader = Held()

    async def main() -> None:
        leader = asyncio.create_task(load_async(cache, "a", loader))
        await until(lambda: loader.calls)
        assert load(cache, "a", lambda _: "own") == "own"
        loader.is_let = True
        assert await leader == "value"

    asyncio.run(main())
    assert cache.get("a") == "value"


def test_a_thread_does_not_wait_for_a_loop_that_stands_still_for_it(
    cache: Cache[Any, Any],
) -> None:
    """A task leads one key, a thread another, and each asks for the other's in a plain call."""
    loader = Held()
    begun = threading.Event()

    def crossing(key: str) -> object:
        begun.set()
        eventually(lambda: followers(cache, "b"))
        return load(cache, "a", lambda _: "own")

    def loop() -> object:
        async def main() -> object:
            leader = asyncio.create_task(load_async(cache, "a", loader))
            await until(lambda: loader.calls and begun.is_set())
            got = load(cache, "b", lambda _: "own")
            loader.is_let = True
            return [got, await leader]

        return asyncio.run(main())

    assert in_threads(loop, lambda: load(cache, "b", crossing)) == [["own", "value"], "own"]


def test_a_leader_whose_loop_has_stopped_is_replaced(cache: Cache[Any, Any]) -> None:
    """By those who come later, in any thread or loop, and by those who wait already."""
    loader = Held()
    loop = asyncio.new_event_loop()

    async def begin() -> asyncio.Task[Any]:
        task = asyncio.create_task(load_async(cache, "a", loader))
        await until(lambda: followers(cache) == 2)
        return task

    def by_task() -> object:
        async def main() -> object:
            return await load_async(cache, "a", follower)

        eventually(lambda: loader.calls)
        return asyncio.run(main())

    def by_thread() -> object:
        eventually(lambda: loader.calls)
        return load(cache, "a", lambda _: "new")

    async def follower(key: str) -> str:
        return "new"

    tasks: list[asyncio.Task[Any]] = []

    def lead() -> None:
        tasks.append(loop.run_until_complete(begin()))

    assert in_threads(lead, by_task, by_thread)[1:] == ["new", "new"]
    assert load(cache, "a", lambda _: "newer") == "new"
    tasks[0].cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    assert not cache._flights


def test_followers_of_a_closed_loop_harm_nobody(cache: Cache[Any, Any]) -> None:
    """A leader in a thread lands although a follower's loop is gone."""
    slow = Blocking()
    loop = asyncio.new_event_loop()
    tasks: list[asyncio.Task[Any]] = []

    async def begin() -> None:
        tasks.append(asyncio.create_task(load_async(cache, "a", Held())))
        await until(lambda: followers(cache) == 1)

    def work() -> None:
        assert slow.begun.wait(PATIENCE)
        loop.run_until_complete(begin())
        loop.close()
        slow.go.set()

    assert in_threads(lambda: load(cache, "a", slow), work)[0] == "value"
    for task in tasks:
        # Whoever closes a loop by hand has its tasks on his hands.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        task.get_coro().close()


def test_a_loader_runs_in_its_callers_context(cache: Cache[Any, Any]) -> None:
    """What it sets is there afterwards, as after calling it oneself."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def loader(key: str) -> str:
        before = variable.get()
        variable.set("set by the loader")
        return before

    async def main() -> None:
        variable.set("set by the caller")
        assert await load_async(cache, "a", loader) == "set by the caller"
        assert variable.get() == "set by the loader"

    asyncio.run(main())


def test_a_generator_is_no_value(cache: Cache[Any, Any]) -> None:
    async def loader(key: str) -> Any:
        async def items() -> Any:
            yield key

        return items()

    with pytest.raises(ConfigError, match="async_generator"):
        asyncio.run(load_async(cache, "a", loader))


def drive(coroutine: Awaitable[Any]) -> object:
    """What a coroutine gives that never waits, run without any event loop."""
    steps = coroutine.__await__()
    with pytest.raises(StopIteration) as end:
        next(steps)
    return end.value.value


def test_outside_asyncio_tasks_load_for_themselves(cache: Cache[Any, Any]) -> None:
    """Under another event loop nobody waits by asyncio's futures."""

    async def own(key: str) -> str:
        return "own"

    async def outer(key: str) -> str:
        return str(contextvars.Context().run(drive, load_async(cache, key, own)))

    assert drive(load_async(cache, "a", outer)) == "own"


def test_asyncio_is_not_imported_for_plain_loads() -> None:
    code = """
import sys
from membudget import Cache
from membudget.cache.loading.cached import cached
assert Cache("c").get_or_load("a", str.upper) == "A"
f = cached(lambda x: x)
assert f(1) == 1 == f(1)
heavy = {"asyncio", "inspect", "dataclasses", "logging", "random"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
