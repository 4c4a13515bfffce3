"""Lines to the standard library's logging, or straight to standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from membudget.core import Severity
from membudget.sinks.lines import line_of, to_lines

if TYPE_CHECKING:
    from membudget.core import Event, Sink

STDERR = 2


def log_sink(name: str = "membudget") -> Sink:
    """A sink that logs each event's line on a logger, the record itself as `extra["event"]`.

    Where the program has not imported logging, warnings go to standard error, as logging's own
    handler of last resort has it, without the 1 MB and 5 ms that importing it would cost.
    """

    def sink(event: Event) -> None:
        severity = int(event.severity)
        logging = sys.modules.get("logging")
        if logging is None:
            last_resort(event)
            return
        logger = logging.getLogger(name)
        if logger.isEnabledFor(severity) and (line := line_of(event)) is not None:
            logger.log(severity, "%s", line, extra={"event": event})

    last_resort = stderr_sink(least=Severity.WARNING)
    return sink


def stderr_sink(*, least: Severity = Severity.INFO) -> Sink:
    """A sink that writes lines to standard error, by the descriptor.

    The stream object belongs to the program, which may have closed or replaced it.
    """
    where = _identity()

    def write(line: str) -> None:
        # Nobody listens, or the number is another file's by now: the program's own matter.
        with contextlib.suppress(OSError):
            if where is not None and _identity() == where:
                os.write(STDERR, f"membudget: {line}\n".encode())

    return to_lines(write, least=least)


def _identity() -> tuple[int, int] | None:
    try:
        status = os.fstat(STDERR)
    except OSError:
        return None
    return status.st_dev, status.st_ino
