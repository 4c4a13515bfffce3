"""Who must not be bound by the brake: children, forked or started."""

import sys
from pathlib import Path

import pytest

from brake_scene import KEPT_FREE, LIMIT, FakeLimits, Machine
from fakes import MIB, FakeClock
from membudget.brake import LAUNCH_DATA_LIMIT, Children, note_launch_limit, restore_launch_limit
from membudget.brake.brake import EASED, SETTLED
from membudget.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the brake is Linux's")


def test_a_child_is_made_under_the_old_limit(machine: Machine) -> None:
    """It stands for a few milliseconds, a tick is asked for, and the next one ends it."""
    machine.arm()
    braked = machine.limits.soft
    sys.audit("subprocess.Popen", "program", [], None, None)
    assert machine.limits.soft is None
    assert machine.tick(EASED / 2) is None
    assert machine.wakes == 2
    assert machine.tick(EASED) == braked


def test_a_forked_child_is_free_for_a_while_and_then_braked_for_itself(machine: Machine) -> None:
    """With its own baseline: a child that execs at once is never bound."""
    machine.arm()
    machine.brake.after_fork_in_child()
    assert machine.limits.soft is None
    machine.data += 40 * MIB
    assert machine.tick(SETTLED / 2) is None
    machine.tick(SETTLED)
    assert machine.room() == LIMIT - machine.used - KEPT_FREE


def test_a_forked_child_without_room_stays_free_and_says_so_once(machine: Machine) -> None:
    machine.arm()
    machine.brake.after_fork_in_child()
    machine.used = LIMIT
    with pytest.raises(ConfigError, match="no room"):
        machine.tick(SETTLED)
    assert machine.tick() is None


def test_children_born_with_our_limit_get_the_old_one(tmp_path: Path) -> None:
    """Those of every thread, and what they have started themselves; nobody else's limit moves."""
    limits = FakeLimits()
    ours, theirs = (100 * MIB, None), (90 * MIB, None)
    limits.limits |= {1: ours, 2: ours, 3: ours, 4: theirs, 5: ours}
    tree = {"self/task/7": "1 4 6", "self/task/8": "2", "1/task/1": "3", "4/task/4": "5"}
    for folder, pids in tree.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "children").write_text(pids)
    (tmp_path / "2" / "task").mkdir(parents=True)
    (tmp_path / "3" / "task").mkdir(parents=True)
    Children(limits, str(tmp_path)).look([100 * MIB], 300 * MIB)
    freed = (300 * MIB, None)
    assert limits.limits == {0: (None, None), 1: freed, 2: freed, 3: freed, 4: theirs, 5: ours}


def test_children_are_looked_for_once_a_second_and_each_only_once(tmp_path: Path) -> None:
    """However often the loop ticks; with many threads more rarely still."""
    limits, clock = FakeLimits(), FakeClock()
    folder = tmp_path / "self" / "task" / "7"
    folder.mkdir(parents=True)
    (tmp_path / "1" / "task").mkdir(parents=True)
    children = Children(limits, str(tmp_path), clock.now)
    children.look([5], None)
    (folder / "children").write_text("1")
    limits.limits[1] = (5, None)
    sets = []
    for _ in range(4):
        clock.advance(0.5)
        children.look([5], None)
        sets.append(limits.sets)
    assert sets == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("noted", "soft", "hard", "then"),
    [
        ("none", 100, None, None),
        ("none", 100, 500, 500),
        ("300", 100, None, 300),
        ("300", 100, 200, 200),
        ("50", 100, None, 100),
        ("300", None, None, None),
        ("soon", 100, None, 100),
        ("", 100, None, 100),
    ],
)
def test_a_launched_python_has_its_launchers_limit_back(
    noted: str, soft: int | None, hard: int | None, then: int | None
) -> None:
    """Only ever raised, and never above the hard one; what is no number is nobody's note."""
    limits = FakeLimits(soft, hard)
    restore_launch_limit({LAUNCH_DATA_LIMIT: noted}, limits)
    assert limits.limits[0] == (then, hard)


@pytest.mark.parametrize("soft", [None, 12345])
def test_the_launch_limit_survives_the_environment(soft: int | None) -> None:
    environ: dict[str, str] = {}
    note_launch_limit(environ, FakeLimits(soft))
    limits = FakeLimits(1)
    restore_launch_limit(environ, limits)
    assert limits.soft == soft
