"""Lines to the standard library's logging, or straight to standard error."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from membudget.core import Severity
from membudget.sinks.lines import line_of, to_lines

if TYPE_CHECKING:
    from membudget.core import Event, Sink

STDERR = 2


def log_sink(name: str = "membudget") -> Sink:
    """A sink that logs each event's line on a logger, the record itself as `extra["event"]`."""
    import logging  # 1 MB and 5 ms that only those pay who log

    logger = logging.getLogger(name)

    def sink(event: Event) -> None:
        severity = int(event.severity)
        if logger.isEnabledFor(severity) and (line := line_of(event)) is not None:
            logger.log(severity, "%s", line, extra={"event": event})

    return sink


def stderr_sink(*, least: Severity = Severity.INFO) -> Sink:
    """A sink that writes lines to standard error, by the descriptor.

    The stream object belongs to the program, which may have closed or replaced it.
    """

    def write(line: str) -> None:
        with contextlib.suppress(OSError):  # Nobody listens: the program's own matter.
            os.write(STDERR, f"membudget: {line}\n".encode())

    return to_lines(write, least=least)
