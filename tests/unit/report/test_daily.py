"""The daily report: on time, whole, not for ever, and never in the program's way."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import membudget
from fakes import FakeClock
from membudget.core import Event, Failed, ReportMade
from membudget.errors import ConfigError
from membudget.governor.telling import Teller
from membudget.registry import Registry
from membudget.report import Report, report
from membudget.report.daily import EVERY, DailyReport
from membudget.report.page import BEGINS as PAGE_BEGINS
from report_scene import quiet
from waiting import eventually

BEGINS = {
    "txt": "Memory report of a\n",
    "json": '{\n "schema": "membudget.report/1"',
    "html": PAGE_BEGINS,
}


class Scene:
    """A daily report into a folder, its clock and what it told."""

    def __init__(self, folder: Path, *, keep: int = 14) -> None:
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.error: Exception | None = None
        self.folder = folder / "reports"
        self.daily = DailyReport(str(self.folder), "shop.py", keep=keep)
        governor: Any = SimpleNamespace(
            tell=Teller([self.events.append], self.clock),
            clock=self.clock,
            chores=[],
            plugins=SimpleNamespace(member={"report": self.make}.get),
        )
        self.daily.join(governor)

    def make(self) -> Report:
        if self.error is not None:
            raise self.error
        return report(quiet(30), name="shop.py")

    def turn(self, seconds: float) -> None:
        """Let time pass, and the chore have its turn."""
        self.clock.advance(seconds)
        if self.daily.due(self.clock.now()):
            self.daily.run(self.clock.now() + 0.005)
        self.daily.leave()


def test_a_report_comes_every_24_hours_in_three_forms(tmp_path: Path) -> None:
    """Not before, and an event tells where it lies."""
    scene = Scene(tmp_path)
    scene.turn(EVERY - 1)
    assert not scene.folder.exists()
    scene.turn(1)
    (event,) = eventually(lambda: scene.events)
    assert isinstance(event, ReportMade)
    assert [path.rpartition(".")[2] for path in event.paths] == ["txt", "json", "html"]
    with open(event.paths[1], encoding="utf-8") as file:
        assert json.load(file)["memory"]["samples"] == 30
    assert all("membudget-shop_py-" in path for path in event.paths)
    assert all(one.stat().st_mode & 0o77 == 0 for one in scene.folder.iterdir())
    scene.turn(10)
    assert len(scene.events) == 1


def test_what_a_killed_process_left_unfinished_goes_at_the_next_start(tmp_path: Path) -> None:
    """Not what a living one may be writing, nor what is none of ours."""
    argv = [sys.executable, "-c", "import os; print(os.getpid())"]
    dead = subprocess.run(argv, capture_output=True, check=True, text=True).stdout.strip()
    own = str(os.getpid())
    folder = tmp_path / "reports"
    folder.mkdir()
    ages = {
        f"membudget-shop_py-2026-01-01-000000-{dead}.html.part": 120.0,
        f"membudget-other-2026-01-01-000000-{dead}.json.part": 120.0,
        f"membudget-shop_py-2026-01-01-000000-{own}.html.part": 90_000.0,
        f"membudget-shop_py-2026-01-02-000000-{dead}.txt.part": 5.0,
        f"membudget-shop_py-2026-01-02-000000-{own}.txt.part": 120.0,
        f"membudget-shop_py-2026-01-02-000000-{dead}.txt": 120.0,
        f"film-{dead}.html.part": 120.0,
    }
    odd = folder / f"membudget-another-{dead}.html.part"
    odd.mkdir()  # Which no unlink removes, and the others go all the same.
    os.utime(odd, (time.time() - 90_000.0,) * 2)
    for name, age in ages.items():
        (folder / name).write_text(BEGINS[name.split(".")[1]])
        os.utime(folder / name, (time.time() - age,) * 2)
    notes = folder / f"membudget-notes-{dead}.txt.part"
    notes.write_text("dear diary")
    os.utime(notes, (time.time() - 90_000.0,) * 2)
    Scene(tmp_path)
    left = [odd.name, notes.name, *[*ages][3:]]
    assert sorted(one.name for one in folder.iterdir()) == sorted(left)


def test_only_the_newest_days_of_this_program_are_kept(tmp_path: Path) -> None:
    """What others have put there stays."""
    scene = Scene(tmp_path, keep=2)
    scene.folder.mkdir()
    for name in (
        "membudget-shop_py-2020-01-01-000000-7.html",
        "membudget-shop_py-2020-01-02-000000-7.html",
        "membudget-shop_py-2020-01-02-000000-8.txt",
        "membudget-other-2020-01-01-000000-7.html",
        "holiday.html",
    ):
        (scene.folder / name).write_text(BEGINS[name.rpartition(".")[2]])
    plan = scene.folder / "membudget-shop_py-2020-01-01-plan.txt"
    plan.write_text("dear diary")
    scene.daily.write()
    assert plan.read_text() == "dear diary"
    plan.unlink()
    left = sorted(one.name for one in scene.folder.iterdir())
    assert "membudget-shop_py-2020-01-01-000000-7.html" not in left
    assert len(left) == 2 + 2 + 3
    assert not [name for name in left if name.endswith(".part")]


def test_a_failure_is_told_and_the_next_day_is_another(tmp_path: Path) -> None:
    """A full disk or a broken figure ends nothing."""
    scene = Scene(tmp_path)
    scene.error = OSError("no space")
    scene.turn(EVERY)
    (event,) = eventually(lambda: scene.events)
    assert isinstance(event, Failed)
    assert event.where == "daily report"
    scene.error = None
    scene.turn(EVERY)
    eventually(lambda: any(isinstance(one, ReportMade) for one in scene.events))


def test_asking_for_all_chores_makes_no_report_before_its_time(tmp_path: Path) -> None:
    """`maintain()` runs every chore, due or not."""
    scene = Scene(tmp_path)
    scene.daily.run(0.0)
    scene.daily.leave()
    assert not scene.folder.exists()


def test_a_setting_asks_for_it_and_nobody_else_pays(tmp_path: Path) -> None:
    """The chore is there, makes the budget's own report, and is absent by default."""
    where = str(tmp_path / "reports")
    with membudget.start(
        "2GiB", thread=False, registry=Registry(), sinks=[], report={"directory": where}
    ) as budget:
        budget.step()
        (daily,) = [one for one in budget.governor.chores if isinstance(one, DailyReport)]
        assert len(daily.write()) == 3
    with membudget.start("2GiB", thread=False, registry=Registry(), sinks=[]) as budget:
        assert not [one for one in budget.governor.chores if isinstance(one, DailyReport)]


def test_a_process_that_never_reports_loads_nothing_of_it() -> None:
    program = (
        "import sys, membudget\n"
        "with membudget.start('2GiB') as budget:\n"
        "    budget.cache('a', max_bytes='1MiB').set(1, 'x')\n"
        "    loaded = [one for one in sys.modules if one.startswith('membudget.')]\n"
        "print([one for one in loaded if '.report' in one or '.leaks' in one])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_a_folder_that_is_none_is_told_at_the_start_and_left_alone(tmp_path: Path) -> None:
    """Not a day later; and a link is no folder, wherever it leads."""
    precious = tmp_path / "reports"
    precious.write_text("dear diary")
    scene = Scene(tmp_path)
    assert [event.where for event in scene.events if isinstance(event, Failed)] == ["daily report"]
    scene.turn(EVERY)
    assert precious.read_text() == "dear diary"
    precious.unlink()
    (elsewhere := tmp_path / "elsewhere").mkdir()
    precious.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match=r"is a link, .* set report\.directory to a folder"):
        scene.daily.write()
    assert not [*elsewhere.iterdir()]
