"""Who rests: a process that looks after others, and holds, computes and gains nothing itself."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import membudget
from commands import clean_environment
from fakes import MIB
from membudget.core import RISE, Level, Marks, Pressure, Reading
from membudget.governor import Governor
from membudget.governor.watch import AT_EASE, BUSY
from membudget.host.launch import LIGHT, Supervising
from membudget.host.presence import Presence
from membudget.registry import Registry

PROGRAM = Path(__file__).parents[2] / "integration" / "presence_program.py"


class Scene:
    """This process with a slot of its own, a registry, and what it holds set by hand."""

    def __init__(self, folder: Path) -> None:
        self.presence = Presence(str(folder / "ours"), "service")
        self.presence.open()
        self.registry = Registry()
        self.held, self.shared = 20 * MIB, 0
        self.supervising = Supervising(lambda: self.held, lambda: self.shared, lambda: self.now)
        governor = Governor(lambda: Reading(at=0.0, used=0), Marks(), registry=self.registry)
        governor.join(self.presence)
        governor.join(self.supervising)
        self.now = 1000.0
        self.pressure = Pressure()
        self.child: subprocess.Popen[bytes] | None = None
        self.supervising(self.pressure)

    def start_child(self) -> None:
        """A process with a slot beside ours."""
        self.child = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(Path(self.presence.place).parent), "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment(),
        )
        assert self.child.stdout is not None
        assert self.child.stdout.readline()

    def end_child(self) -> None:
        if self.child is not None:
            self.child.communicate()
            self.child = None

    def rests_after(self, seconds: float) -> bool:
        """Whether it rests once so many seconds have gone by."""
        self.now += seconds
        return self.supervising(self.pressure)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """With a child that is governed."""
    scene = Scene(tmp_path)
    scene.start_child()
    yield scene
    scene.end_child()
    scene.presence.leave()


def test_it_rests_once_it_was_calm_for_a_while_and_until_its_children_are_gone(
    scene: Scene,
) -> None:
    """What others could not do for it is done again at the next look."""
    assert not scene.rests_after(AT_EASE / 2)
    assert scene.rests_after(AT_EASE / 2)
    assert scene.rests_after(AT_EASE)
    scene.end_child()
    assert not scene.rests_after(AT_EASE)


def test_without_a_governed_child_it_never_rests(scene: Scene) -> None:
    """A child that is no Python of the launch cannot tell or let go in its place."""
    scene.end_child()
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert not any(scene.rests_after(AT_EASE) for _ in range(3))
    finally:
        other.kill()
        other.wait()


def test_what_grows_is_governed_at_once(scene: Scene) -> None:
    """Also between two looks, where the kernel or an insert woke the thread."""
    assert scene.rests_after(AT_EASE)
    scene.held += RISE
    assert not scene.rests_after(0.1)
    assert not scene.rests_after(AT_EASE / 2)


def test_what_holds_much_for_itself_is_governed_and_what_is_shared_does_not_count(
    scene: Scene,
) -> None:
    """A pool's parent with its data, and a preloading server's master."""
    scene.held += LIGHT
    assert not any(scene.rests_after(AT_EASE) for _ in range(3))
    scene.shared = LIGHT
    assert scene.rests_after(60)


def test_a_limit_of_its_own_is_its_own_to_keep_and_that_of_all_is_not(scene: Scene) -> None:
    """What the group is short of, its workers have."""
    scene.pressure = Pressure(level=Level.WARNING, used=85, limit=100, elsewhere=80)
    assert scene.rests_after(AT_EASE)
    scene.pressure = Pressure(level=Level.WARNING, used=85, limit=100)
    assert not scene.rests_after(0.1)


def test_what_fills_a_cache_is_governed_at_once_and_what_computes_at_the_next_look(
    scene: Scene,
) -> None:
    """What it holds for the program, it may have to let go of."""
    cache: membudget.Cache[int, int] = membudget.Cache("held", registry=scene.registry)
    assert scene.rests_after(AT_EASE)
    cache[1] = 1
    assert not scene.rests_after(0.1)
    cache.clear()
    scene.rests_after(0)
    assert scene.rests_after(AT_EASE)
    until = time.process_time() + 1.1 * BUSY * AT_EASE
    while time.process_time() < until:
        pass
    assert not scene.rests_after(AT_EASE)


def test_a_forked_child_is_governed_though_its_parent_rests(scene: Scene) -> None:
    """It knows nothing of itself yet."""
    assert scene.rests_after(AT_EASE)
    if (pid := os.fork()) == 0:
        os._exit(int(scene.rests_after(0.1)))
    assert os.waitpid(pid, 0)[1] == 0
