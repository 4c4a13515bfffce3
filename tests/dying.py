"""A program that dies in a different way each time it is started, as a list tells.

Arguments: the ways, comma-separated, and a file that remembers the lives there were. After
the last one it ends well.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

REASONS = {
    "oom": "killed by the kernel for want of memory",
    "other": "meanwhile the kernel killed another process",
    "kill": "killed by somebody with signal 9 (SIGKILL)",
    "fault": "ended by signal 11 (SIGSEGV)",
    "term": "ended by signal 15 (SIGTERM)",
    "error": "ended by itself with exit code 1",
    "code": "ended by itself with exit code 3",
    "orphan": "ended by itself with exit code 4",
    "left": "left by the ladder's exit (75)",
    "asked": "left by the ladder's exit (75)",
    "deaf": "left by the ladder's exit (75)",
}
"""What the supervisor should say, by the way of dying."""

_SIGNALS = {"kill": signal.SIGKILL, "fault": signal.SIGSEGV, "term": signal.SIGTERM}
_TOO_MUCH = "held = b'x' * (1 << 30)"


def starts(counter: Path) -> list[float]:
    """When each life began, in monotonic seconds."""
    return [float(line) for line in counter.read_text().splitlines()] if counter.exists() else []


def main(ways: list[str], counter: Path) -> None:
    lives = len(starts(counter))
    with counter.open("a") as file:
        file.write(f"{time.monotonic()}\n")
    if lives < len(ways):
        _die(ways[lives])


def _die(way: str) -> None:
    if way in _SIGNALS:
        os.kill(os.getpid(), _SIGNALS[way])
    elif way == "oom":
        exec(_TOO_MUCH)  # noqa: S102  # text of our own, shared with the child below
    elif way == "other":
        subprocess.run([sys.executable, "-S", "-c", _TOO_MUCH], check=True)
    elif way == "orphan":
        subprocess.Popen(["/bin/sleep", "1000"])
        sys.exit(4)
    elif way == "left":
        sys.exit(75)
    elif way in ("asked", "deaf"):
        _outgrow(is_deaf=way == "deaf")
    elif way == "code":
        sys.exit(3)
    raise RuntimeError("an error of the program's own")


def _outgrow(*, is_deaf: bool) -> None:
    """Hold what nothing can free until the ladder asks to leave, or makes it."""
    held = os.urandom(1 << 20) * 63
    until = time.monotonic() + 40
    while held and time.monotonic() < until:
        try:
            time.sleep(0.05)  # Asking does not interrupt a long sleep.
        except KeyboardInterrupt:
            if not is_deaf:
                sys.exit(75)


if __name__ == "__main__":
    main(sys.argv[1].split(","), Path(sys.argv[2]))
