"""What the plugin's markers do around one test. Loaded with the first marked test."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, NoReturn

from membudget.errors import ConfigError, ProbeError
from membudget.probes.allocator import trim
from membudget.probes.kernel_files import status_bytes
from membudget.probes.process import process_probe
from membudget.testing.result import explain
from membudget.testing.rounds import check_leaks, check_leaks_async, has_loop, is_coroutine_function
from membudget.units import as_bytes, human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from membudget.testing.result import LeakResult

_EVERY = 0.005  # Seconds between samples where the kernel keeps no peak that can be set back
_OPTIONS = ("rounds", "warmup", "calls", "seconds")


def run_within(item: Any, mark: Any, run: Callable[[], None]) -> None:
    """Run a test and fail it if it held more than its marker allows."""
    if len(mark.args) != 1 or mark.kwargs:
        _fail(f"membudget{mark.args} does not say how much: write membudget('64MiB')")
    try:
        most = as_bytes(mark.args[0], name="membudget marker")
    except ConfigError as error:
        _fail(str(error))
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

    Whatever runs the test runs all rounds at once: fixtures, setUp and loop are the same for all.
    """
    wrong = [name for name in mark.kwargs if name not in _OPTIONS]
    if mark.args or wrong:
        told = repr(mark.args[0]) if mark.args else wrong[0]
        _fail(
            f"no_leak on {item.name} does not know {told}: it takes {', '.join(_OPTIONS)} by name"
        )
    original = getattr(item, "obj", None)
    if not callable(original):
        _fail(f"no_leak cannot call {item.name} again: put it on a test function or method")
    found: list[LeakResult] = []
    repeated = _repeated(original, item, found, mark.kwargs)
    unittest, instance = sys.modules.get("unittest"), getattr(item, "instance", None)
    is_case = unittest is not None and isinstance(instance, unittest.TestCase)
    is_kept = is_case and is_coroutine_function(original)
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
    if found:
        _checked(found[-1])


def checker(item: Any) -> Callable[..., Any]:
    """The function that the fixture `leak_check` gives to a test."""

    def leak_check(function: Callable[..., Any], *args: object, **options: Any) -> Any:
        __tracebackhide__ = True
        if is_coroutine_function(function) and has_loop():
            return later(function, *args, **options)
        with _surroundings(item.config) as between:
            result = check_leaks(function, *args, **{"between": between, **options})
        return _checked(result)

    async def later(function: Callable[..., Any], *args: object, **options: Any) -> LeakResult:
        __tracebackhide__ = True
        with _surroundings(item.config) as between:
            result = await check_leaks_async(function, *args, **{"between": between, **options})
        return _checked(result)

    return leak_check


def _checked(result: LeakResult) -> LeakResult:
    __tracebackhide__ = True
    if result.is_leak:
        _fail(explain(result))
    return result


def _fail(message: str) -> NoReturn:
    __tracebackhide__ = True
    import pytest  # there, since it runs the test

    raise pytest.fail.Exception(message, pytrace=False) from None


class _WithoutEarlierLogs(partial):  # type: ignore[type-arg]
    """A call that finds `caplog` empty each time, as the test expects it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _forget_logs()
        return super().__call__(*args, **kwargs)


def _repeated(
    original: Callable[..., Any], item: Any, found: list[LeakResult], asked: dict[str, Any]
) -> Callable[..., Any]:
    name = item.nodeid.partition("::")[2].replace("::", ".") or item.name
    call_of = _WithoutEarlierLogs if "caplog" in getattr(item, "fixturenames", ()) else partial
    if is_coroutine_function(original):

        @wraps(original)
        async def awaited(*args: Any, **kwargs: Any) -> None:
            with _surroundings(item.config) as between:
                call = call_of(original, *args, **kwargs)
                found.append(await check_leaks_async(call, between=between, name=name, **asked))

        return awaited

    @wraps(original)
    def called(*args: Any, **kwargs: Any) -> None:
        with _surroundings(item.config) as between:
            call = call_of(original, *args, **kwargs)
            found.append(check_leaks(call, between=between, name=name, **asked))

    return called


@contextmanager
def _surroundings(config: Any) -> Iterator[Callable[[], None]]:
    """Keeps what pytest keeps of each call small while a check runs; gives what to call between.

    What came before, at the first call and after the last round stays.
    """
    capture = config.pluginmanager.getplugin("capturemanager")
    output: list[str] = []
    catching = warnings.catch_warnings(record=True)
    warned: list[warnings.WarningMessage] | None = None

    def forget() -> None:
        nonlocal warned
        _forget_logs()
        if capture is not None and capture.is_globally_capturing():
            sys.stdout.flush()
            sys.stderr.flush()
            found = capture.read_global_capture()
            output.extend(() if output else (found.out, found.err))
        if warned is None:
            warned = catching.__enter__()
        elif warned:
            warned.clear()

    try:
        yield forget
    finally:
        if warned is not None:
            catching.__exit__(None, None, None)
        for stream, text in zip((sys.stdout, sys.stderr), output, strict=False):
            stream.write(text)


def _forget_logs() -> None:
    """Empty the handlers by which pytest keeps log records."""
    for handler in logging.getLogger().handlers:
        # By name: the class is pytest's own affair.
        if type(handler).__name__ == "LogCaptureHandler":
            handler.clear()  # type: ignore[attr-defined]


class HighMark:
    """The peak of this process above its start, as a context manager; other threads count as well.

    On Linux the kernel's own high-water mark, without pages of files mapped meanwhile: no peak is
    missed. Where that cannot be set back, memory is sampled every 5 ms. A collection and a trim at
    the start keep small what the allocator held free and uses now, which does not count.
    """

    def __init__(self) -> None:
        self.peak: int = 0  # Bytes above the start, at most and at the end.
        self.end: int = 0
        self.means: str = "the kernel's high-water mark"  # How it was measured.
        self._sampler: threading.Thread | None = None

    def __enter__(self) -> Self:
        gc.collect()
        trim()
        if _reset_mark():
            self._start, self._files = _resident()
            return self
        self.means = f"sampled every {_EVERY * 1000:g} ms"
        self._probe, self._over = process_probe(), threading.Event()
        self._start = self._probe().used
        self._sampler = threading.Thread(target=self._sample, name="membudget-peak", daemon=True)
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._sampler is not None:
            self._over.set()
            self._sampler.join()
            self._look()
            self._probe.close()
            return
        resident, files = _resident()
        start = self._start + max(0, files - self._files)
        self.peak = max(0, status_bytes(b"VmHWM") - start)
        self.end = max(0, resident - start)

    def _sample(self) -> None:
        with suppress(ProbeError):  # Nothing to read any more; the end will say so.
            while not self._over.wait(_EVERY):
                self._look()

    def _look(self) -> None:
        self.end = max(0, self._probe().used - self._start)
        self.peak = max(self.peak, self.end)


def _reset_mark() -> bool:
    """Set VmHWM to what is resident now (Linux 4.0, proc(5)); whether that is possible here."""
    try:
        with open("/proc/self/clear_refs", "wb", buffering=0) as file:
            file.write(b"5")
    except OSError:
        return False
    # Some sandboxes accept the write and do nothing.
    return 0 < status_bytes(b"VmHWM") <= status_bytes(b"VmRSS") + (1 << 20)


def _resident() -> tuple[int, int]:
    return status_bytes(b"VmRSS"), status_bytes(b"RssFile")
