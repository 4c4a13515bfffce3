"""The sinks: one line each for what a user feels, and no more lines than needed."""

import errno
import logging
import os
import signal
import sys
import threading

import pytest

from fakes import MIB, Recorder
from membudget.core import (
    AdmissionRefused,
    Event,
    Failed,
    FloorFound,
    Late,
    LeakSuspected,
    Level,
    LimitExceeded,
    Pressure,
    PressureChanged,
    ProtectionTried,
    Reading,
    Reclaimed,
    Rung,
    Sampled,
    Severity,
    Started,
    Stopped,
)
from membudget.sinks import LONGEST, STDERR, StandardError, line_of, log_sink, merged, stderr_sink
from unread import fill_standard_error, unread_standard_error

READING = Reading(at=0.0, used=24 * MIB, limit=400 * MIB, source="configured")
PRESSED = Pressure(
    level=Level.WARNING,
    used=324 * MIB,
    limit=400 * MIB,
    growth=12.0 * MIB,
    seconds_left=6.3,
    cause="warning",
)


def round_of(at: float, claimed: int = MIB, by: str = "cache prices") -> Reclaimed:
    return Reclaimed(
        at=at, by=by, rung=Rung.MODERATE, asked=2 * MIB, claimed=claimed, measured=MIB, took=0.012
    )


def test_the_decisions_a_user_feels_are_one_line_each() -> None:
    """Start, change of level, cleanup, end: read aloud, they make sense."""
    stopped = Stopped(
        at=9.0,
        peak=371 * MIB,
        limit=400 * MIB,
        reclaimed=1200 * MIB,
        levels={"NORMAL": 18.0, "WARNING": 2.0},
        lasted=20.0,
    )
    changed = PressureChanged(at=1.0, before=Level.NORMAL, pressure=PRESSED)
    assert [line_of(event) for event in (Started(at=0.0, reading=READING), changed)] == [
        "limit 400 MiB (configured); 24.0 MiB used now (6 %)",
        "NORMAL → WARNING: 324 MiB of 400 MiB (81 %), +12.0 MiB/s, limit in 6.3 s",
    ]
    assert line_of(round_of(1.0)) == (
        "cache prices at MODERATE: asked to free 2.00 MiB, freed 1.00 MiB in 12 ms; "
        "memory use fell by 1.00 MiB"
    )
    assert line_of(stopped) == (
        "stopped: peak 371 MiB of 400 MiB; freed 1.17 GiB; levels NORMAL 18 s, WARNING 2.0 s"
    )


@pytest.mark.parametrize(
    "event",
    [
        Started(at=0.0, reading=READING.replace(limit=None)),
        ProtectionTried(at=0.0, attempt=1, most=3, outcome="not enough"),
        AdmissionRefused(at=0.0, asked=MIB, room=0, waited=0.5),
        LimitExceeded(at=0.0, name="trades", used=5, limit=3, unit="items"),
        LimitExceeded(at=0.0, name="trades", used=5 * MIB, limit=3 * MIB),
        Late(at=0.0, by=1.2),
        Failed(at=0.0, where="probe", error=OSError("gone"), times=3),
    ],
)
def test_every_other_event_has_a_line_without_breaks(event: Late) -> None:
    """One line, and no Python in it."""
    line = line_of(event)
    assert line
    assert "\n" not in line
    assert "None" not in line


def test_a_suspicion_is_told_with_what_is_known_and_taken_back() -> None:
    """One with nothing but a rate has a line, too."""
    bare = LeakSuspected(at=0.0, rate=12.0 * MIB, culprit="", confidence="low")
    full = bare.replace(
        culprit="app.book", confidence="high", kind="native growth", reason="+12 MiB/h over 6 h."
    )
    assert line_of(bare) == "a leak is suspected (low confidence): +12.0 MiB/h"
    assert line_of(full) == (
        "a leak is suspected (high confidence, native growth, in app.book): +12 MiB/h over 6 h; "
        "`membudget report` tells more"
    )
    assert (
        line_of(full.replace(confidence="none"))
        == "a leak is no longer suspected: +12 MiB/h over 6 h."
    )
    severities = [bare.replace(confidence=one).severity for one in ("none", "low", "medium")]
    assert severities == [Severity.INFO, Severity.INFO, Severity.WARNING]


@pytest.mark.parametrize(
    ("in_force", "told", "untold"),
    [
        ({}, ["a higher limit, `membudget run --brake`", "--restart`"], []),
        ({"is_braked": True}, ["a higher limit, `membudget run --restart`"], ["--brake"]),
        ({"ends": True}, ["a higher limit, `membudget run --brake`"], ["--restart"]),
        ({"is_braked": True, "ends": True}, ["helps: a higher limit; look at"], ["membudget"]),
    ],
)
def test_what_is_in_force_is_not_advised(
    in_force: dict[str, bool], told: list[str], untold: list[str]
) -> None:
    event = FloorFound(at=0.0, pressure=PRESSED, kept=0, is_last=True, culprit="app.book")
    line = line_of(event.replace(**in_force)) or ""
    assert all(words in line for words in told)
    assert not any(words in line for words in untold)


def test_samples_are_not_told_in_words() -> None:
    """They are for the ring and the report."""
    assert line_of(Sampled(at=0.0, reading=READING, pressure=PRESSED, governed=0)) is None


def test_quiet_leaves_out_what_is_not_severe(capfd: pytest.CaptureFixture[str]) -> None:
    """A level below CRITICAL is WARNING's severity; EMERGENCY is CRITICAL's."""
    sink = stderr_sink(least=Severity.ERROR)
    sink(PressureChanged(at=1.0, before=Level.NORMAL, pressure=PRESSED))
    assert not capfd.readouterr().err
    sink(
        PressureChanged(
            at=1.0, before=Level.NORMAL, pressure=PRESSED.replace(level=Level.EMERGENCY)
        )
    )
    assert len(capfd.readouterr().err.splitlines()) == 1


HOSTILE = "x\nmembudget: EMERGENCY: forged \x1b[31m\u2028\u202e\ud800" + "y" * 100_000


def test_no_event_forges_a_line_whoever_named_its_parts() -> None:
    """One line each, printable and not endless, on standard error as in the log module."""
    events: list[Event] = [
        Failed(at=0.0, where=f"reclaimer {HOSTILE}", error=ValueError(HOSTILE)),
        LimitExceeded(at=0.0, name=HOSTILE, used=9, limit=5, unit="items"),
        round_of(0.0, by=HOSTILE),
        Started(at=0.0, reading=READING.replace(source=HOSTILE), note=HOSTILE),
        ProtectionTried(at=0.0, attempt=1, most=3, outcome=HOSTILE),
        LeakSuspected(at=0.0, rate=1.0, confidence="high", reason=HOSTILE, culprit=HOSTILE),
        PressureChanged(at=0.0, before=Level.NORMAL, pressure=PRESSED.replace(cause=HOSTILE)),
    ]
    for event in events:
        line = line_of(event)
        assert line is not None
        assert line.isprintable()
        assert len(line) <= LONGEST
        assert line.count("membudget: EMERGENCY") == line.count("x membudget: EMERGENCY")


def test_an_error_whose_words_cannot_be_had_is_told_all_the_same() -> None:
    """Its `__str__` is the program's own."""

    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert line_of(Failed(at=0.0, where="sink", error=OddError())) == (
        "sink failed: OddError: a OddError without words"
    )


def test_rounds_within_a_second_are_one_line() -> None:
    """A hundred rounds a second are told as the first and the sum of the rest."""
    recorder = Recorder()
    sink = merged(recorder)
    for step in range(150):
        sink(round_of(step / 100))
    sink(PressureChanged(at=2.0, before=Level.NORMAL, pressure=PRESSED))
    rounds = [event for event in recorder.events if isinstance(event, Reclaimed)]
    assert len(rounds) == 3
    assert sum(event.claimed for event in rounds) == 150 * MIB
    assert isinstance(recorder.events[-1], PressureChanged)


def test_two_reclaimers_are_told_apart() -> None:
    """Only rounds of the same one are summed up."""
    recorder = Recorder()
    sink = merged(recorder)
    sink(round_of(0.0, by="a"))
    sink(round_of(0.0, by="b"))
    assert [event.by for event in recorder.events if isinstance(event, Reclaimed)] == ["a", "b"]


def test_lines_go_to_the_programs_logging_with_the_event(caplog: pytest.LogCaptureFixture) -> None:
    """Handlers get the severity, the line and the record itself."""
    event = PressureChanged(at=1.0, before=Level.NORMAL, pressure=PRESSED)
    with caplog.at_level(logging.INFO, logger="membudget"):
        log_sink()(event)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.__dict__["event"] is event


def test_lines_go_to_standard_error_by_the_descriptor(capfd: pytest.CaptureFixture[str]) -> None:
    """The program may have replaced its stream objects."""
    stderr_sink()(Started(at=0.0, reading=READING))
    assert (
        capfd.readouterr().err == "membudget: limit 400 MiB (configured); 24.0 MiB used now (6 %)\n"
    )


def test_a_pipe_that_nobody_reads_holds_up_nobody_and_the_loss_is_told_once() -> None:
    """Lines are left out while it is full; the first that goes through says how many."""
    with unread_standard_error() as unread:
        out = StandardError()
        filled = fill_standard_error()
        out.write("lost")
        out.write("lost as well")
        assert os.get_blocking(STDERR), "the mode is other processes' too"
        while filled:
            filled -= len(os.read(unread, filled))
        out.write("told")
        out.write("told again")
        assert os.read(unread, 4096) == (
            b"membudget: 2 lines lost while nobody read standard error\ntold\ntold again\n"
        )


def test_a_line_longer_than_a_pipe_takes_at_once_is_cut() -> None:
    """At a character; the rest would wait for a reader."""
    with unread_standard_error() as unread:
        StandardError().write("→" * 100_000)
        written = os.read(unread, 1 << 16)
        assert len(written) <= 4096
        assert set(written.decode()) == {"→", "\n"}


def test_a_pipe_whose_reader_has_gone_is_not_written_to() -> None:
    """A program with the system's own handling of SIGPIPE would be ended by our line."""
    with unread_standard_error():
        source, target = os.pipe()
        os.dup2(target, STDERR)
        os.close(target)
        os.close(source)
        out = StandardError()
        pid = os.fork()
        if pid == 0:  # pragma: no cover  # in the child
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            out.write("to nobody")
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0


def test_another_file_under_the_number_gets_no_lines() -> None:
    """A program that closes standard error may have its data under that number."""
    with unread_standard_error():
        out = StandardError()
        source, target = os.pipe()
        os.dup2(target, STDERR)
        out.write("text of ours")
        os.set_blocking(source, False)
        with pytest.raises(BlockingIOError) as caught:
            os.read(source, 1)
        assert caught.value.errno == errno.EAGAIN
        for end in (source, target):
            os.close(end)


def test_a_forked_child_tells_its_lines_whatever_the_parent_was_writing() -> None:
    """The lock may have been taken by a thread that the child does not have."""
    with unread_standard_error() as unread:
        out = StandardError()
        out._lock.acquire()
        pid = os.fork()
        if pid == 0:  # pragma: no cover  # in the child
            out.write("child")
            os._exit(0)
        os.waitpid(pid, 0)
        out._lock.release()
        os.set_blocking(unread, False)
        assert os.read(unread, 100) == b"child\n"


def test_rounds_told_by_many_threads_lose_nothing_and_raise_nothing() -> None:
    """Refusals are told on the program's threads, beside the rounds of the governor."""
    told: list[int] = []
    failed: list[Exception] = []

    def count(event: object) -> None:
        if isinstance(event, Reclaimed):
            told.append(event.claimed)

    sink = merged(count)

    def tell(number: int) -> None:
        try:
            for step in range(3000):
                if number:
                    sink(round_of(step / 1000, claimed=1, by=f"cache {step % 5}"))
                else:
                    sink(Late(at=0.0, by=1.0))
        except Exception as error:  # noqa: BLE001  # whatever it is, it fails the test below
            failed.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=tell, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    sink(Late(at=9.0, by=1.0))
    assert not failed
    assert sum(told) == 9000
