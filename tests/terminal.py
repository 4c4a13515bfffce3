"""A terminal of our own: what a command writes to it, and Ctrl-C."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence

from commands import clean_environment

_PATIENCE = 120.0
_SEQUENCE = re.compile(r"\x1b\[[\d;]*[A-Za-z]")


def on_terminal(
    command: Sequence[str],
    *,
    columns: int = 80,
    environment: Mapping[str, str] | None = None,
    interrupt_at: str | None = None,
) -> tuple[str, int]:
    """What a command writes to a terminal, and its exit code; Ctrl-C is typed once a text is seen.

    The text is a pattern, searched for in all that was written so far.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    surroundings = clean_environment({"TERM": "xterm", **(environment or {})})
    for size in ("COLUMNS", "LINES"):  # They would count for more than the terminal's own.
        surroundings.pop(size, None)
    # A session of its own with this terminal, or Ctrl-C would be a letter as any other.
    session = ["/usr/bin/env", "setsid", "--ctty", "--wait", *command]
    with subprocess.Popen(session, env=surroundings, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        try:
            return _read(ours, interrupt_at), process.wait(_PATIENCE)
        finally:
            process.kill()
            os.close(ours)


def plain_lines(written: str) -> list[str]:
    """Each line that was written, those drawn over later too, without colour and movement."""
    return [_SEQUENCE.sub("", line).strip("\r") for line in written.split("\n")]


def _read(terminal: int, interrupt_at: str | None) -> str:
    written, until = b"", time.monotonic() + _PATIENCE
    with contextlib.suppress(OSError):  # Linux ends it so, once nobody else has it open.
        while time.monotonic() < until:
            if select.select([terminal], [], [], 1.0)[0]:
                written += os.read(terminal, 1 << 16)
            if interrupt_at and re.search(interrupt_at, written.decode(errors="replace")):
                os.write(terminal, b"\x03")
                interrupt_at = None
    return written.decode()
