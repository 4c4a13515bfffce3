"""The leak check: a function called in rounds, and what each round leaves behind.

What is done when: `course`; the rule and its figures: `growth`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from membudget.errors import ConfigError
from membudget.testing.course import course
from membudget.testing.growth import ROUNDS, SECONDS, Asked
from membudget.testing.leftovers import has_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from membudget.testing.result import LeakResult


def check_leaks(
    function: Callable[..., object],
    *args: object,
    rounds: int = ROUNDS,
    warmup: int | None = None,
    calls: int | None = None,
    seconds: float = SECONDS,
    between: Callable[[], object] | None = None,
    name: str | None = None,
) -> LeakResult:
    """Call a function in rounds and say whether calls leave memory or anything else behind.

    After a warm-up, each round's calls are followed by a full collection; a leak is what grew in
    every round, and on in a second, longer series. Only then is it traced where it comes from.
    A healthy function costs some 1000 calls, a leaky one up to 100 times that where it is quick.
    Any thread; others should be idle, since what they allocate counts as well.

    Args:
        function: Called without keyword arguments. A coroutine function runs in `asyncio.run`.
        args: What it is called with, the same each time.
        rounds: Of the first series, 2 or more.
        warmup: Calls before, or None for half a round and at least 100.
        calls: Calls in a round, or None: 200, up to 2000 of a quick function, fewer of a slow one.
        seconds: What the first series may take; a second may take as much again.
        between: Called after each round, before it is measured, to let go of what the surroundings
            keep of each call.
        name: What the function is called in the result, or None for its own name.

    Raises:
        ConfigError: A number is not above zero, or the function is a generator function.
        Exception: What the function raises, with a note of which call it was.
    """
    asked = _asked(rounds, warmup, calls, seconds)
    call = partial(function, *args) if args else function
    name = name or name_of(function)
    if not is_coroutine_function(function):
        _check_kind(function)
        return _run(course(asked, name, between), call)
    import asyncio  # only a program with coroutines needs it

    return asyncio.run(_run_async(course(asked, name, between), call))


async def check_leaks_async(
    function: Callable[..., Awaitable[object]],
    *args: object,
    rounds: int = ROUNDS,
    warmup: int | None = None,
    calls: int | None = None,
    seconds: float = SECONDS,
    between: Callable[[], object] | None = None,
    name: str | None = None,
) -> LeakResult:
    """As `check_leaks`, for a coroutine function on the running loop, its calls one by one."""
    asked = _asked(rounds, warmup, calls, seconds)
    call = partial(function, *args) if args else function
    return await _run_async(course(asked, name or name_of(function), between), call)


def is_coroutine_function(function: object) -> bool:
    """Whether calls of it must be awaited."""
    import inspect  # loaded by every test runner, not by every program

    while isinstance(function, partial):
        function = function.func
    is_one = inspect.iscoroutinefunction
    return is_one(function) or is_one(getattr(function, "__call__", None))  # noqa: B004


def name_of(function: object) -> str:
    """A function's name for people."""
    while isinstance(function, partial):
        function = function.func
    named = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(named).replace("<locals>.", "")


def _asked(rounds: int, warmup: int | None, calls: int | None, seconds: float) -> Asked:
    if rounds < 2:  # noqa: PLR2004  # one round cannot show that growth goes on
        raise ConfigError(f"rounds {rounds} is too few to see growth go on: give 2 or more")
    if calls is not None and calls < 1:
        raise ConfigError(f"calls {calls} is not above zero: give 200, or leave it out")
    if warmup is not None and warmup < 0:
        raise ConfigError(f"warmup {warmup} is below zero: give 100, or leave it out")
    if seconds <= 0:
        raise ConfigError(f"seconds {seconds} is not above zero: give 10, or leave it out")
    return Asked(rounds=rounds, warmup=warmup, calls=calls, seconds=seconds)


def _check_kind(function: object) -> None:
    import inspect

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(
            f"{name_of(function)} is a generator function, whose body a call does not run: give a "
            "function that exhausts it"
        )


def _run(plan: Generator[int, None, LeakResult], call: Callable[[], object]) -> LeakResult:
    number = 0
    try:
        while True:
            due = next(plan)
            for _ in range(due):
                number += 1
                call()
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    except Exception as error:
        error.add_note(f"in call {number} of a leak check")
        raise
    finally:
        plan.close()


async def _run_async(plan: Generator[int, None, LeakResult], call: Callable[[], Any]) -> LeakResult:
    number = 0
    try:
        while True:
            due = next(plan)
            for _ in range(due):
                number += 1
                await call()
            await _settle()
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    except Exception as error:
        error.add_note(f"in call {number} of a leak check")
        raise
    finally:
        plan.close()


async def _settle() -> None:
    """Let callbacks of what has just ended run: transports close one turn later."""
    if has_loop():  # Another library's loop has its own ways.
        import asyncio

        for _ in range(3):
            await asyncio.sleep(0)
