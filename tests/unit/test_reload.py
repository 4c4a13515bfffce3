"""Settings read anew while a budget runs: what is applied, what waits, what is refused."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import membudget
from fakes import MIB, Recorder
from membudget.budget.reload import HangupHandler
from membudget.core import Failed, SettingsReloaded
from membudget.registry import Registry


class Scene:
    """A budget with a settings file, and a hangup at will."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.recorder = Recorder()
        self.write("limit: 3GiB")
        self.budget = membudget.start(
            config=file, thread=False, sinks=[self.recorder], registry=Registry()
        )
        self.handler: Any = signal.getsignal(signal.SIGHUP)

    def write(self, *lines: str) -> None:
        self.file.write_text("memory:\n" + "".join(f"  {line}\n" for line in lines))

    def hang_up(self) -> None:
        self.handler(signal.SIGHUP, None)

    def limit(self) -> int | None:
        return self.budget.step().limit


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    one = Scene(tmp_path / "membudget.yaml")
    yield one
    one.budget.stop()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_what_is_read_anew_holds_and_is_told(scene: Scene) -> None:
    """The limit at once, and `settings` say so."""
    scene.write("limit: 2GiB", "caches: {cleanup_interval: 1h}")
    scene.hang_up()
    assert scene.limit() == 2048 * MIB
    assert scene.budget.settings["limit"] == 2048 * MIB
    (told,) = scene.recorder.of(SettingsReloaded)
    assert (told.applied, told.waiting) == (("limit",), ("caches.cleanup_interval",))


def test_a_limit_that_is_taken_away_waits(scene: Scene) -> None:
    """A process is never left without one by a reload."""
    scene.write("cleanup: {settle: 2s}")
    scene.hang_up()
    assert scene.limit() == 3072 * MIB
    (told,) = scene.recorder.of(SettingsReloaded)
    assert told.waiting == ("limit",)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("limit: 1MiB", "below what the process holds"),
        ("limit: lots", "limit 'lots'"),
        ("thresholds: {low: 4GiB}", "low"),
        ("nonsense: 1", "not known"),
    ],
)
def test_what_does_not_fit_changes_nothing(scene: Scene, line: str, why: str) -> None:
    scene.write(*([line] if line.startswith("limit") else ["limit: 3GiB", line]))
    scene.hang_up()
    assert scene.limit() == 3072 * MIB
    (told,) = scene.recorder.of(Failed)
    assert why in str(told.error)


def test_a_file_that_is_gone_changes_nothing(scene: Scene) -> None:
    """Also one that became a folder."""
    scene.file.unlink()
    scene.hang_up()
    scene.file.mkdir()
    scene.hang_up()
    assert scene.limit() == 3072 * MIB
    assert len(scene.recorder.of(Failed)) >= 1


def test_nothing_is_raised_into_the_program(scene: Scene) -> None:
    """Whatever goes wrong: the handler runs between two of its instructions."""

    class Broken:
        name = "broken"

        def take_settings(self, _settings: object) -> None:
            raise MemoryError

    scene.budget.governor.join(Broken())
    before = scene.budget.settings
    scene.write("cleanup: {settle: 2s}")
    scene.hang_up()
    assert scene.budget.settings == before
    assert scene.budget.governor.floor.settle == before["cleanup.settle"]
    assert len(scene.recorder.of(Failed)) == 1


def test_a_hangup_while_reading_is_passed_over(scene: Scene) -> None:
    """A storm of them does not nest."""
    depth: list[int] = []

    class Again:
        name = "again"

        def take_settings(self, _settings: object) -> None:
            depth.append(1)
            scene.hang_up()

    scene.budget.governor.join(Again())
    scene.hang_up()
    assert depth == [1]


def test_stopped_off_the_main_thread_the_next_hangup_ends_the_program(tmp_path: Path) -> None:
    """The handler of a budget that is no more gives the signal back."""
    scene = Scene(tmp_path / "membudget.yaml")
    stopping = threading.Thread(target=scene.budget.stop)
    stopping.start()
    stopping.join()
    try:
        assert isinstance(signal.getsignal(signal.SIGHUP), HangupHandler)
        assert scene.handler._is_ended
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
