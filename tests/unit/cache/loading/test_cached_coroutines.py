"""`cached` on coroutine functions."""

import asyncio
import contextvars
import gc
import inspect
import weakref

import pytest

from fakes import FakeClock
from loading_scene import until
from membudget.cache.loading.cached import cached
from membudget.registry import Registry


class Source:
    """Gives 1, 2, 3 when it is let, or raises what it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_let = True
        self.error: Exception | None = None

    async def __call__(self, x: object = None) -> int:
        self.calls += 1
        number = self.calls
        await until(lambda: self.is_let)
        if self.error is not None:
            raise self.error
        return number


@pytest.fixture
def source() -> Source:
    return Source()


def test_it_stays_a_coroutine_function() -> None:
    @cached(registry=Registry())
    async def ask(x: int) -> int:
        """Ask."""
        return x

    assert inspect.iscoroutinefunction(ask)
    assert ask.__doc__ == "Ask."
    assert asyncio.run(ask(1)) == asyncio.run(ask(x=1)) == 1
    assert ask.cache_info()[:2] == (1, 1)


def test_many_tasks_call_it_once(source: Source) -> None:
    """Objects with `async def __call__` too."""
    ask = cached(registry=Registry())(source)
    source.is_let = False

    async def main() -> list[int]:
        tasks = [asyncio.create_task(ask("a")) for _ in range(100)]
        await until(lambda: ask.cache._flights and source.calls)
        await asyncio.sleep(0)
        source.is_let = True
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [1] * 100
    assert source.calls == 1


def test_an_unhashable_argument_is_named(source: Source) -> None:
    @cached(registry=Registry())
    async def ask(what: object) -> object:
        return what

    with pytest.raises(TypeError, match="unhashable type: 'list': argument what of"):
        asyncio.run(ask([]))


@pytest.mark.usefixtures("uncollected")
def test_a_method_keeps_its_object_not_alive() -> None:
    class Client:
        def __init__(self) -> None:
            self.calls = 0

        @cached(registry=Registry())
        async def ask(self, x: int) -> int:
            self.calls += 1
            return x

    async def main() -> weakref.ref[Client]:
        one, other = Client(), Client()
        assert await asyncio.gather(*[one.ask(1) for _ in range(3)]) == [1, 1, 1]
        assert await other.ask(1) == 1
        assert (one.calls, other.calls) == (1, 1)
        return weakref.ref(one)

    assert asyncio.run(main())() is None


def test_a_task_of_its_own_refreshes_an_old_value(clock: FakeClock, source: Source) -> None:
    """Nobody waits, one task runs for any number of callers, in the context of the first."""
    ask = cached(ttl=10, stale=5, registry=Registry(), clock=clock)(source)

    async def main() -> None:
        assert await ask("a") == 1
        clock.advance(11)
        source.is_let = False
        assert await asyncio.gather(*[ask("a") for _ in range(20)]) == [1] * 20
        assert await ask("a") == 1
        assert len(asyncio.all_tasks()) == 2
        gc.collect()  # Nobody but us holds the task.
        source.is_let = True
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert await ask("a") == 2

    asyncio.run(main())
    assert source.calls == 2


def test_a_refresh_runs_in_its_callers_context(clock: FakeClock) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    @cached(ttl=10, stale=5, registry=Registry(), clock=clock)
    async def ask() -> int:
        return variable.get()

    async def main() -> None:
        await ask()
        clock.advance(11)
        variable.set(7)
        assert await ask() == 0
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert await ask() == 7

    asyncio.run(main())


def test_a_refresh_that_fails_leaves_the_old_value_and_is_told(
    clock: FakeClock, source: Source
) -> None:
    """By the chore alone: asyncio has nothing to complain of."""
    own = Registry()
    ask = cached(ttl=10, stale=5, registry=own, clock=clock)(source)
    complaints: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        assert await ask() == 1
        clock.advance(11)
        source.error = OSError("down")
        assert await ask() == 1
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert await ask() == 1
        assert source.calls == 2
        gc.collect()
        clock.advance(4)
        with pytest.raises(OSError, match="down"):
            await ask()

    asyncio.run(main())
    assert not complaints
    (chore,) = own.chores()
    with pytest.raises(OSError, match="down"):
        chore.run(clock.now() + 1)


def test_a_loop_that_ends_in_the_middle_of_a_refresh_is_no_harm(
    clock: FakeClock, source: Source
) -> None:
    ask = cached(ttl=10, stale=5, registry=Registry(), clock=clock)(source)
    assert asyncio.run(ask()) == 1
    clock.advance(11)
    source.is_let = False
    assert asyncio.run(ask()) == 1
    source.is_let = True

    async def main() -> int:
        assert await ask() == 1
        await until(lambda: len(asyncio.all_tasks()) == 1)
        return await ask()

    assert asyncio.run(main()) > 1
    assert not ask.cache._flights


def test_exceptions_are_kept_where_asked(clock: FakeClock, source: Source) -> None:
    ask = cached(keep_errors=30, registry=Registry(), clock=clock)(source)
    source.error = OSError("down")

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(OSError, match="down"):
                await ask()
        clock.advance(30)
        source.error = None
        assert await ask() == 2

    asyncio.run(main())
