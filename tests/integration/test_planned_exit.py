"""The exit that the ladder may ask for: how a real program leaves."""

import subprocess
import sys
import textwrap
import time

import pytest

from commands import clean_environment, ended

PROGRAM = """
    import atexit, signal, sys, threading, time
    from membudget.reclaimers.program import PlannedExit

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
    result = ended([sys.executable, "-c", textwrap.dedent(PROGRAM), str(deadline), way])
    return result.returncode, result.stdout, time.monotonic() - began


@pytest.mark.parametrize("way", ["handles SIGTERM", "knows nothing"])
def test_a_program_that_is_asked_leaves_by_its_own_way_with_our_code(way: str) -> None:
    """Also out of a long sleep, and long before the deadline; its own exit handlers run."""
    code, output, took = leave(way, deadline=250)
    assert (code, output) == (75, "ready\nown handlers ran\n")
    assert took < 200


def test_a_deaf_program_is_ended_after_the_deadline() -> None:
    code, output, _ = leave("is deaf", deadline=0.5)
    assert (code, output) == (75, "ready\n")


STUCK = """
    import signal, sys, threading
    from membudget.reclaimers.program import PlannedExit

    signal.signal(signal.SIGTERM, lambda *_: None)
    planned = PlannedExit(0.2)
    threading.Timer(0.2, planned.begin).start()
    while True:
        print("x" * 1000)
"""


def test_a_program_stuck_in_a_print_that_nobody_reads_is_ended_as_well() -> None:
    """It holds its stream's lock, for which a flush of ours would wait with it."""
    environment = clean_environment()
    environment.pop("PYTHONUNBUFFERED", None)  # Without a buffer there is no such lock.
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STUCK)], stdout=subprocess.PIPE, env=environment
    ) as process:
        try:
            assert process.wait(100) == 75
        finally:
            process.kill()


NO_THREADS = """
    import resource, signal, sys, threading
    from membudget.core import native
    from membudget.reclaimers.program import PlannedExit

    signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))

    def begin():
        go.wait()
        planned.begin()

    go, planned = threading.Event(), PlannedExit(2.0)
    governor = threading.Thread(target=begin)
    governor.start()
    room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    threading.stack_size(1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (room + (64 << 20), resource.RLIM_INFINITY))
    try:
        native.start_new_thread(print, ())
        sys.exit("a thread was to be had")
    except RuntimeError:
        go.set()
    while True:
        signal.pause()
"""


def test_where_no_thread_is_to_be_had_a_program_is_asked_and_ended_all_the_same() -> None:
    """Memory is what is short at that moment, and a thread takes some."""
    result = ended([sys.executable, "-c", textwrap.dedent(NO_THREADS)])
    assert (result.returncode, result.stdout, result.stderr) == (75, "asked\n", "")


OVER_ITS_LIMIT = """
    import signal, sys, time
    import membudget

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    last = {"exit": True, "max_attempts": 1, "cooldown": "0.1s", "dump": False}
    membudget.start("200MiB", sinks=[], emergency=last)
    held = [b"x" * (1 << 20) for _ in range(220)]
    time.sleep(100)
"""


def test_a_program_that_its_budget_asks_to_leave_ends_with_our_code() -> None:
    """Its own handler ends it well, which whoever restarts it must not take for its end."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OVER_ITS_LIMIT)],
        timeout=100,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == 75
