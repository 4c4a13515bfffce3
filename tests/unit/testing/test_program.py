"""Programs judged by the floors of their use."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from membudget.testing.program import floors_of, watch_program

_PROGRAM = """
import sys, time
kept = []
began = time.monotonic()
while (passed := time.monotonic() - began) < float(sys.argv[2]):
    while sys.argv[1] == "leaks" and len(kept) < passed * 100:  # By the clock, however busy.
        kept.append(bytearray(b"x") * 100_000)
    bytearray(b"x") * 3_000_000
    time.sleep(0.005)
sys.exit(int(sys.argv[3]))
"""


def test_floors_leave_out_the_start_and_what_comes_and_goes() -> None:
    """The least of each stretch of the last two thirds."""
    times = [float(second) for second in range(31)]
    uses = [1000 if second % 2 else 10 + second // 10 for second in range(31)]
    assert floors_of(times, uses, 2) == (11, 12)


def test_too_few_samples_give_no_floors() -> None:
    """A stretch needs three."""
    assert floors_of([0.0, 1.0, 2.0, 3.0], [1, 2, 3, 4], 2) == ()
    assert floors_of([], [], 2) == ()


def test_programs_are_judged_when_they_end_and_when_their_time_is_over() -> None:
    """A leak and none, each by itself before its time, and ended; a busy machine takes longer."""
    kinds = ["keeps", "leaks", "keeps", "leaks"]
    for seconds in (3.0, 12.0, 40.0):
        spans = [str(seconds), str(seconds), "600", "600"]
        with ThreadPoolExecutor(4) as pool:
            commands = [
                [sys.executable, "-c", _PROGRAM, kind, span, "0"]
                for kind, span in zip(kinds, spans, strict=True)
            ]
            limits = [seconds * 2, seconds * 2, seconds, seconds]
            results = list(pool.map(watch_program, commands, limits, [4] * 4))
        verdicts = [one.verdict for one in results]
        if verdicts == ["no leak", "leak"] * 2:
            break
    assert verdicts == ["no leak", "leak"] * 2
    ended, _, stopped, leaked = results
    assert [one.code for one in results] == [0, 0, None, None]
    assert ended.took < seconds * 2
    assert ended.peak > 3_000_000
    assert len(stopped.floors) == 4
    assert leaked.growth > 1 << 20 > stopped.growth


def test_children_count_and_are_ended_too() -> None:
    """A shell passes no signal on."""
    command = f"{sys.executable} -c 'import time; kept = bytearray(30_000_000); time.sleep(60)'; :"
    result = watch_program(["sh", "-c", command], 2.0, 3)
    assert result.peak > 30_000_000


def test_a_program_that_ends_at_once_is_too_short() -> None:
    program = "import time; kept = b'x' * 30_000_000; time.sleep(1); raise SystemExit(3)"
    result = watch_program([sys.executable, "-c", program], 10.0, 4)
    assert (result.verdict, result.code) == ("too short to tell", 3)
    assert result.peak > 30_000_000
    assert result.took > 1
    assert result.samples > 0


def test_what_cannot_be_started_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        watch_program(["no-such-command-here"], 1.0, 4)
