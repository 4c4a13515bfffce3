"""Lines for weeks: little to read at rest, all of it counted, and what matters at once."""

import os
import re

from fakes import MIB
from membudget.budget.launch import HOUR, MOST, Condensed
from membudget.core import (
    AdmissionRefused,
    Event,
    Failed,
    Late,
    LeakSuspected,
    Level,
    LimitForeseen,
    Pressure,
    PressureChanged,
    Reading,
    Reclaimed,
    Rung,
    Sampled,
    Severity,
    Stopped,
)

DAY = 24 * HOUR
READING = Reading(at=0.0, used=24 * MIB, limit=400 * MIB, source="configured")
LEAK = LeakSuspected(at=0.0, rate=12.0 * MIB, culprit="app.book", confidence="medium")
FORESEEN = LimitForeseen(
    at=0.0, seconds_left=7200.0, soonest=3600.0, latest=None, rate=20.0 * MIB, used=300 * MIB,
    limit=400 * MIB,
)  # fmt: skip
STOPPED = Stopped(
    at=DAY, peak=371 * MIB, limit=400 * MIB, reclaimed=0, levels={"NORMAL": DAY}, lasted=DAY
)


class Reader:
    """Reads the lines, each with the time of the event after which it came."""

    def __init__(self, least: Severity = Severity.INFO) -> None:
        self.now = 0.0
        self.lines: list[tuple[float, str]] = []
        self._sink = Condensed(lambda line: self.lines.append((self.now, line)), least=least)

    def __call__(self, event: Event) -> None:
        self.now = event.at
        self._sink(event)

    def about(self, text: str) -> list[str]:
        return [line for _, line in self.lines if text in line]


def trimmed(at: float, by: str = "malloc trim") -> Reclaimed:
    return Reclaimed(
        at=at, by=by, rung=Rung.GENTLE, asked=MIB, claimed=MIB, measured=MIB, took=0.001
    )


def changed(at: float, before: Level, after: Level) -> PressureChanged:
    pressure = Pressure(level=after, used=300 * MIB, limit=400 * MIB)
    return PressureChanged(at=at, before=before, pressure=pressure)


def sampled(at: float) -> Sampled:
    """What passes every five minutes and has no line."""
    return Sampled(at=at, reading=READING, pressure=Pressure(), governed=0)


def quiet_day() -> list[Event]:
    """What a process tells that has little to do: trims, flutter about a mark, a slow machine."""
    events: list[Event] = []
    for at in range(60, int(DAY), 60):
        minute = at // 60
        if minute % 5 == 0:
            events.append(sampled(at))
        if minute % 7 == 0:
            events.append(trimmed(at))
        if minute % 11 == 0:
            events.append(trimmed(at, by="full gc"))
        if minute % 13 == 0:
            events.append(Late(at=at, by=1.5, times=minute // 13))
        if minute % 20 == 0:
            events.append(changed(at, Level.NORMAL, Level.WARNING))
            events.append(changed(at + 5, Level.WARNING, Level.NORMAL))
        events.append(Failed(at=at + 6, where="probe", error=OSError("gone")))
    return events


def times_of(lines: list[str], unit: str) -> int:
    return sum(int(found[1]) if (found := re.search(unit, line)) else 1 for line in lines)


def test_a_quiet_day_is_at_most_twenty_lines_an_hour_and_every_event_is_in_one() -> None:
    """Counted in whatever hour one looks; the last ones come with the summary."""
    reader = Reader()
    day = quiet_day()
    for event in day:
        reader(event)
    times = [at for at, _ in reader.lines]
    for begin in times:
        assert sum(begin <= at < begin + HOUR for at in times) <= MOST
    reader(STOPPED)
    by_name = {"malloc trim": 0, "full gc": 0}
    for event in day:
        if isinstance(event, Reclaimed):
            by_name[event.by] += 1
    for name, count in by_name.items():
        assert times_of(reader.about(name), r"\((\d+) times within") == count
    levels = sum(isinstance(event, PressureChanged) for event in day)
    changes = reader.about("→") + reader.about("changes of level")
    assert times_of(changes, r"^(\d+) changes") == levels
    failures = sum(isinstance(event, Failed) for event in day)
    assert times_of(reader.about("probe failed"), r"failed \((\d+) times\)") == failures
    assert reader.lines[-1][1].startswith("stopped: peak 371 MiB")


def test_what_matters_is_told_at_once_amid_any_noise() -> None:
    """A leak, a limit foreseen, a level that is graver than all before, and its end."""
    reader = Reader()
    for second in range(1200):
        reader(trimmed(second, by=f"cache {second % 40}"))
    assert len(reader.lines) == MOST
    for event in (
        LEAK.replace(at=1200.0),
        FORESEEN.replace(at=1201.0),
        changed(1202, Level.NORMAL, Level.CRITICAL),
        changed(1203, Level.CRITICAL, Level.NORMAL),
        Failed(at=1204.0, where="probe", error=OSError("gone")),
    ):
        before = len(reader.lines)
        reader(event)
        assert len(reader.lines) > before


def test_flutter_between_two_levels_is_told_twice_and_then_counted() -> None:
    """The line that counts says how far it went, and where it stands."""
    reader = Reader()
    for second in range(0, 300, 4):
        reader(changed(second, Level.NORMAL, Level.WARNING))
        reader(changed(second + 2, Level.WARNING, Level.NORMAL))
    reader(sampled(600))
    told = [line for _, line in reader.lines]
    assert told[0].startswith("NORMAL → WARNING: ")
    assert len(told) < 10
    assert times_of(told, r"^(\d+) changes") == 150
    counting = [line for line in told if "changes of level" in line]
    for line in counting:
        assert re.match(r"\d+ changes of level within .*, up to WARNING; now ", line)
    assert counting
    assert "NORMAL: 300 MiB of 400 MiB (75 %)" in told[-1]


def test_a_kind_that_was_quiet_for_an_hour_is_told_at_once_again() -> None:
    """There is no latch: pauses grow only while it repeats."""
    reader = Reader()
    for second in range(900):
        reader(trimmed(second))
    reader(sampled(8000))
    told = len(reader.lines)
    reader(trimmed(20000))
    assert len(reader.lines) == told + 1
    assert "times" not in reader.lines[-1][1]


def test_the_quiet_are_told_what_takes_longer_than_the_night_to_mend() -> None:
    """A leak that is sure enough, a limit foreseen; nothing that is taken back, nor a trim."""
    reader = Reader(least=Severity.ERROR)
    for event in (
        trimmed(1), changed(2, Level.NORMAL, Level.WARNING), LEAK.replace(confidence="low"),
        LEAK, LEAK.replace(confidence="none"), FORESEEN, FORESEEN.replace(seconds_left=None),
        STOPPED,
    ):  # fmt: skip
        reader(event)
    told = [line for _, line in reader.lines]
    assert len(told) == 2
    assert told[0].startswith("a leak is suspected (medium")
    assert "will be reached" in told[1]


def test_refusals_held_are_summed_up() -> None:
    reader = Reader()
    for second in range(60):
        reader(AdmissionRefused(at=second, asked=MIB, room=0, waited=0.0, times=3))
    reader(STOPPED)
    refused = reader.about("refused")
    assert times_of(refused, r"\((\d+) requests since") == 180


def test_a_forked_child_does_not_tell_what_its_parent_holds() -> None:
    """The parent does, and a lock that was taken at the fork holds nobody up."""
    lines: list[str] = []
    sink = Condensed(lines.append)
    sink(trimmed(1))
    sink(trimmed(2))
    sink._lock.acquire()
    pid = os.fork()
    if pid == 0:  # pragma: no cover  # in the child
        lines.clear()
        sink(STOPPED)
        os._exit(0 if len(lines) == 1 else 1)
    sink._lock.release()
    assert os.waitpid(pid, 0)[1] == 0
    sink(STOPPED)
    assert len(lines) == 3
