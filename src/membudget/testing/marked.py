"""What the plugin's markers do around one test. Loaded with the first marked test."""

from __future__ import annotations

import warnings
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

from membudget.errors import ConfigError
from membudget.testing.holding import Holding
from membudget.testing.rounds import (
    check_leaks,
    check_leaks_async,
    is_coroutine_function,
    name_of,
)
from membudget.testing.words import explain
from membudget.units import as_bytes, human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.testing.result import LeakResult

_OPTIONS = ("rounds", "warmup", "calls", "seconds")


def run_within(item: Any, mark: Any, run: Callable[[], None]) -> None:
    """Run a test and fail it if it held more than it may.

    Args:
        item: The test.
        mark: The marker, with the size as text or bytes.
        run: Runs it.
    """
    if len(mark.args) != 1 or mark.kwargs:
        _fail(f"membudget{mark.args} does not say how much: write membudget('64MiB')")
    try:
        most = as_bytes(mark.args[0], name="membudget marker")
    except ConfigError as error:
        _fail(str(error))
    with Holding() as holding:
        run()
    if holding.peak > most:
        _fail(
            f"{item.name} held {human_bytes(holding.peak)} more than at its start, and may hold "
            f"{human_bytes(most)}\n"
            f"  at its end {human_bytes(holding.end)} of it were left ({holding.means})"
        )


def run_in_rounds(item: Any, mark: Any, run: Callable[[], None]) -> None:
    """Run a test with its function replaced by one that calls it in rounds.

    Whatever runs the test, pytest, unittest or a plugin for coroutines, runs all rounds at once, so
    fixtures, setUp and event loop are the same for all calls.

    Args:
        item: The test.
        mark: The marker with the numbers.
        run: Runs it.
    """
    options = _options(item, mark)
    original = getattr(item, "obj", None)
    if not callable(original):
        _fail(f"no_leak cannot call {item.name} again: put it on a test function or method")
    found: list[LeakResult] = []
    reads_logs = "caplog" in getattr(item, "fixturenames", ())
    called = _without_earlier_logs(original) if reads_logs else original
    repeated = _repeated(called, found, {**options, "between": Surroundings(item).forget})
    instance = _test_case(item)
    is_kept = instance is not None and is_coroutine_function(original)
    item.obj = repeated
    try:
        if is_kept:  # unittest looks its coroutine methods up on the instance.
            setattr(instance, item.name, repeated)
        run()
    except ConfigError as error:
        _fail(f"no_leak: {error}")
    finally:
        item.obj = original
        if is_kept:
            delattr(instance, item.name)
    if found and found[-1].is_leak:
        _fail(explain(found[-1]))


def checker(item: Any) -> Callable[..., Any]:
    """The function that the fixture `leak_check` gives to a test.

    Args:
        item: The test.
    """
    between = Surroundings(item).forget

    def leak_check(function: Callable[..., Any], *args: object, **options: Any) -> Any:
        __tracebackhide__ = True
        options = {"between": between, **options}
        if is_coroutine_function(function) and _has_loop():
            return _checked_later(function, args, options)
        return _checked(check_leaks(function, *args, **options))

    return leak_check


async def _checked_later(
    function: Callable[..., Any], args: tuple[object, ...], options: dict[str, Any]
) -> LeakResult:
    __tracebackhide__ = True
    return _checked(await check_leaks_async(function, *args, **options))


def _checked(result: LeakResult) -> LeakResult:
    __tracebackhide__ = True
    if result.is_leak:
        _fail(explain(result))
    return result


class Surroundings:
    """What pytest keeps of each call of a test: log records, output, warnings.

    Of a thousand calls it would keep a thousandfold, which is growth and no leak of the program's.

    Args:
        item: The test.
    """

    def __init__(self, item: Any) -> None:
        self._capture = item.config.pluginmanager.getplugin("capturemanager")

    def forget(self) -> None:
        """Let go of it; after a round."""
        forget_logs()
        if self._capture is not None and self._capture.is_globally_capturing():
            self._capture.read_global_capture()


def forget_logs() -> None:
    """Empty the handlers by which pytest keeps log records."""
    import logging

    for handler in logging.getLogger().handlers:
        # By name: the class is pytest's own affair.
        if type(handler).__name__ in {"LogCaptureHandler", "_LiveLoggingStreamHandler"}:
            clear = getattr(handler, "clear", None)
            if clear is not None:
                clear()


def _without_earlier_logs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, with `caplog` empty at each call, as the test expects it."""
    if is_coroutine_function(function):

        @wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            forget_logs()
            return await function(*args, **kwargs)

        return awaited

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        forget_logs()
        return function(*args, **kwargs)

    return called


def _repeated(
    original: Callable[..., Any], found: list[LeakResult], options: dict[str, Any]
) -> Callable[..., Any]:
    name = name_of(original)
    if is_coroutine_function(original):

        @wraps(original)
        async def awaited(*args: Any, **kwargs: Any) -> None:
            async def once() -> None:
                await original(*args, **kwargs)

            with _Hushed(options["between"]) as between:
                asked = {**options, "between": between, "name": name}
                found.append(await check_leaks_async(once, **asked))

        return awaited

    @wraps(original)
    def called(*args: Any, **kwargs: Any) -> None:
        with _Hushed(options["between"]) as between:
            asked = {**options, "between": between, "name": name}
            found.append(check_leaks(lambda: original(*args, **kwargs), **asked))

    return called


class _Hushed:
    """Lets the first warnings through and forgets those of later rounds.

    Args:
        forget: What else to do after a round.
    """

    def __init__(self, forget: Callable[[], None]) -> None:
        self._forget = forget
        self._catching = warnings.catch_warnings(record=True)
        self._log: list[warnings.WarningMessage] | None = None

    def __enter__(self) -> Callable[[], None]:
        return self._between

    def __exit__(self, *exception: object) -> None:
        if self._log is not None:
            self._catching.__exit__(*exception)  # type: ignore[arg-type]

    def _between(self) -> None:
        if self._log is None:
            self._log = self._catching.__enter__()
        if self._log:
            self._log.clear()
        self._forget()


def _options(item: Any, mark: Any) -> dict[str, Any]:
    wrong = [name for name in mark.kwargs if name not in _OPTIONS]
    if mark.args or wrong:
        told = repr(mark.args[0]) if mark.args else wrong[0]
        _fail(f"no_leak on {item.name} does not know {told}: it takes {', '.join(_OPTIONS)} by name")
    return dict(mark.kwargs)


def _test_case(item: Any) -> Any:
    """The unittest.TestCase that a test belongs to, or None."""
    import sys

    unittest = sys.modules.get("unittest")
    instance = getattr(item, "instance", None)
    is_one = unittest is not None and isinstance(instance, unittest.TestCase)
    return instance if is_one else None


def _has_loop() -> bool:
    import sys

    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def _fail(message: str) -> NoReturn:
    __tracebackhide__ = True
    import pytest  # there, since it runs the test

    pytest.fail(message, pytrace=False)
