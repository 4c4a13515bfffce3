"""The exit that the ladder may ask for: how a real program leaves."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

from commands import clean_environment

PROGRAM = """
    import atexit, signal, sys, threading, time
    from membudget.reclaimers.exit import PlannedExit

    planned = PlannedExit(float(sys.argv[1]))
    atexit.register(planned.end)
    atexit.register(lambda: print("own handlers ran", flush=True))
    way = sys.argv[2]
    if way == "handles SIGTERM":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("ready", flush=True)
    threading.Timer(0.1, planned.begin).start()
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            if way != "is deaf":
                raise
"""


def leave(way: str, deadline: float) -> tuple[int, str, float]:
    """Exit code, output and seconds of a program that is asked to leave."""
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(deadline), way],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
        check=False,
    )
    return result.returncode, result.stdout, time.monotonic() - began


@pytest.mark.parametrize("way", ["handles SIGTERM", "knows nothing"])
def test_a_program_that_is_asked_leaves_by_its_own_way_with_our_code(way: str) -> None:
    """Also out of a long sleep, and long before the deadline; its own exit handlers run."""
    code, output, took = leave(way, deadline=50)
    assert (code, output) == (75, "ready\nown handlers ran\n")
    assert took < 40


def test_a_deaf_program_is_ended_after_the_deadline() -> None:
    """With the same code."""
    code, output, _ = leave("is deaf", deadline=0.5)
    assert (code, output) == (75, "ready\n")
