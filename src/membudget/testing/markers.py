"""What the plugin's markers do around one test. Loaded with the first marked test."""

from __future__ import annotations

import logging
import sys
import warnings
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, NoReturn

from membudget.errors import ConfigError
from membudget.testing.leftovers import has_loop
from membudget.testing.peak import HighMark
from membudget.testing.result import explain
from membudget.testing.rounds import check_leaks, check_leaks_async, is_coroutine_function
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
    most = _size(mark.args[0])
    with HighMark() as high:
        run()
    if high.peak > most:
        _fail(
            f"{item.name} held {human_bytes(high.peak)} more than at its start, and may hold "
            f"{human_bytes(most)}\n"
            f"  at its end {human_bytes(high.end)} of it were left ({high.means})"
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
    repeated = _repeated(original, item, found, options)
    instance = _test_case(item)
    is_kept = instance is not None and is_coroutine_function(original)
    item.obj = repeated
    wrong = ""
    try:
        if is_kept:  # unittest looks its coroutine methods up on the instance.
            setattr(instance, item.name, repeated)
        run()
    except ConfigError as error:
        wrong = f"no_leak: {error}"
    finally:
        item.obj = original
        if is_kept:
            delattr(instance, item.name)
    if wrong:
        _fail(wrong)
    if found and found[-1].is_leak:
        _fail(explain(found[-1]))


def checker(item: Any) -> Callable[..., Any]:
    """The function that the fixture `leak_check` gives to a test.

    Args:
        item: The test.
    """

    def leak_check(function: Callable[..., Any], *args: object, **options: Any) -> Any:
        __tracebackhide__ = True
        if is_coroutine_function(function) and has_loop():
            return _check_later(item, function, args, options)
        with Surroundings(item.config) as between:
            result = check_leaks(function, *args, **{"between": between, **options})
        return _checked(result)

    return leak_check


async def _check_later(
    item: Any, function: Callable[..., Any], args: tuple[object, ...], options: dict[str, Any]
) -> LeakResult:
    __tracebackhide__ = True
    with Surroundings(item.config) as between:
        result = await check_leaks_async(function, *args, **{"between": between, **options})
    return _checked(result)


def _checked(result: LeakResult) -> LeakResult:
    __tracebackhide__ = True
    if result.is_leak:
        _fail(explain(result))
    return result


class _WithoutEarlierLogs(partial):  # type: ignore[type-arg]
    """A call that finds `caplog` empty each time, as the test expects it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        forget_logs()
        return super().__call__(*args, **kwargs)


def _repeated(
    original: Callable[..., Any], item: Any, found: list[LeakResult], options: dict[str, Any]
) -> Callable[..., Any]:
    name = item.nodeid.partition("::")[2].replace("::", ".") or item.name
    reads_logs = "caplog" in getattr(item, "fixturenames", ())
    call_of = _WithoutEarlierLogs if reads_logs else partial
    if is_coroutine_function(original):

        @wraps(original)
        async def awaited(*args: Any, **kwargs: Any) -> None:
            with Surroundings(item.config) as between:
                call = call_of(original, *args, **kwargs)
                found.append(await check_leaks_async(call, between=between, name=name, **options))

        return awaited

    @wraps(original)
    def called(*args: Any, **kwargs: Any) -> None:
        with Surroundings(item.config) as between:
            call = call_of(original, *args, **kwargs)
            found.append(check_leaks(call, between=between, name=name, **options))

    return called


def _size(given: int | str) -> int:
    try:
        return as_bytes(given, name="membudget marker")
    except ConfigError as error:
        wrong = str(error)
    return _fail(wrong)  # Outside, or it would be shown as a failure while handling another.


def _options(item: Any, mark: Any) -> dict[str, Any]:
    wrong = [name for name in mark.kwargs if name not in _OPTIONS]
    if mark.args or wrong:
        told = repr(mark.args[0]) if mark.args else wrong[0]
        _fail(
            f"no_leak on {item.name} does not know {told}: it takes {', '.join(_OPTIONS)} by name"
        )
    return dict(mark.kwargs)


def _test_case(item: Any) -> Any:
    """The unittest.TestCase that a test belongs to, or None."""
    unittest = sys.modules.get("unittest")
    instance = getattr(item, "instance", None)
    is_one = unittest is not None and isinstance(instance, unittest.TestCase)
    return instance if is_one else None


def _fail(message: str) -> NoReturn:
    __tracebackhide__ = True
    import pytest  # there, since it runs the test

    pytest.fail(message, pytrace=False)


class Surroundings:
    """Keeps what pytest keeps of each call small while a check runs: logs, output, warnings.

    Of a hundred thousand calls it would keep as much a hundred thousand times, which grows and is
    no leak of the program's. A context manager that gives what to call between the rounds.
    What was printed before and at the first call stays, as do its warnings; of the others only what
    came after the last round does.

    Args:
        config: pytest's configuration.
    """

    def __init__(self, config: Any) -> None:
        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._output: tuple[str, str] | None = None
        self._catching = warnings.catch_warnings(record=True)
        self._warned: list[warnings.WarningMessage] | None = None

    def __enter__(self) -> Callable[[], None]:
        return self.forget

    def __exit__(self, *_: object) -> None:
        if self._warned is not None:
            self._catching.__exit__(None, None, None)
        for stream, text in zip((sys.stdout, sys.stderr), self._output or (), strict=False):
            stream.write(text)

    def forget(self) -> None:
        """Let go of what the last calls brought."""
        forget_logs()
        self._forget_output()
        if self._warned is None:
            self._warned = self._catching.__enter__()
        elif self._warned:
            self._warned.clear()

    def _forget_output(self) -> None:
        if self._capture is None or not self._capture.is_globally_capturing():
            return
        sys.stdout.flush()
        sys.stderr.flush()
        found = self._capture.read_global_capture()
        if self._output is None:
            self._output = found.out, found.err


def forget_logs() -> None:
    """Empty the handlers by which pytest keeps log records."""
    for handler in logging.getLogger().handlers:
        # By name: the class is pytest's own affair.
        if type(handler).__name__ == "LogCaptureHandler":
            handler.clear()  # type: ignore[attr-defined]
