"""What pytest keeps of each call: log records, output, warnings.

Of a hundred thousand calls it would keep as much a hundred thousand times, which grows and is no
leak of the program's.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Surroundings:
    """Keeps them small while a check runs, as a context manager that gives what to call.

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
