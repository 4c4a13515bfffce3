"""A presence: made when opened, kept across pauses, healed where lost, removed when closed."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import membudget
from membudget.core import Pressure
from membudget.errors import ControlError
from membudget.governor.watch import Doorbell
from membudget.host import SOCKET, identity_of
from membudget.host.client import ask
from membudget.host.presence import Presence
from membudget.host.slot import living
from membudget.registry import Registry
from waiting import eventually

OWN = identity_of()


def write(presence: Presence, used: int = 1) -> None:
    """What a governor writes after a step."""
    presence.write(
        Pressure(used=used, source="process"), peak=2, governed=0, reclaimed=0, wall=1.7e9
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ours"


@pytest.fixture
def presence(folder: Path) -> Iterator[Presence]:
    """The presence of this process, not yet open."""
    presence = Presence(str(folder), "service")
    yield presence
    presence.leave()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_nothing_happens_before_it_is_opened(presence: Presence, folder: Path) -> None:
    """Writing and closing find nothing to do."""
    write(presence)
    presence.leave()
    assert not folder.exists()


def test_an_open_presence_is_found_and_a_closed_one_leaves_nothing(
    presence: Presence, folder: Path
) -> None:
    """Slot and socket come and go together."""
    presence.open()
    write(presence, used=7)
    assert names(folder) == {f"{OWN.stem}.slot", f"{OWN.stem}.sock"}
    ((identity, figures),) = living(str(folder))
    assert (identity, figures.used, figures.name) == (OWN, 7, "service")
    presence.leave()
    presence.leave()
    write(presence)
    assert names(folder) == set()


def test_the_thread_may_rest_without_closing_the_door(presence: Presence) -> None:
    """A bell closed before a fork leaves the socket as it is, for the next bell."""
    first = presence.open()
    bell = Doorbell()
    bell.listen([first])
    bell.close()
    assert presence.open().fileno() == first.fileno()


def test_a_bell_forgets_a_presence_closed_meanwhile(presence: Presence) -> None:
    """The thread may still wait when the budget ends: it neither fails nor spins."""
    bell = Doorbell()
    bell.listen([presence.open()])
    presence.leave()
    assert bell.wait(0) == ["control socket"]
    assert bell.wait(0) == []
    bell.close()


def test_what_was_removed_is_made_again_at_the_next_opening(
    presence: Presence, folder: Path
) -> None:
    """Until then the program goes on unharmed."""
    for _ in range(2):
        presence.open()
        shutil.rmtree(folder)
        write(presence)
    presence.open()
    write(presence)
    assert len(living(str(folder))) == 1
    os.unlink(folder / f"{OWN.stem}.sock")
    presence.open()
    assert f"{OWN.stem}.sock" in names(folder)
    assert len(living(str(folder))) == 1


def test_what_the_dead_left_is_swept_at_the_first_opening(presence: Presence, folder: Path) -> None:
    """A host whose processes are killed every night does not fill up."""
    folder.mkdir(mode=0o700)
    (folder / f"{OWN.replace(started=1).stem}.slot").touch()
    presence.open()
    assert names(folder) == {f"{OWN.stem}.slot", f"{OWN.stem}.sock"}


def test_a_refused_folder_leaves_nothing_open(presence: Presence, folder: Path) -> None:
    """The error goes to the caller, and a later opening may succeed."""
    folder.touch()
    with pytest.raises(ControlError, match="is no folder"):
        presence.open()
    write(presence)
    folder.unlink()
    presence.open()


def test_a_slot_is_kept_where_no_socket_can_be_had(tmp_path: Path) -> None:
    """In a folder whose name is too long for sockets, the figures can still be read."""
    folder = tmp_path / ("x" * 100)
    presence = Presence(str(folder), "service")
    for _ in range(2):
        with pytest.raises(ControlError, match="may have 107 bytes"):
            presence.open()
        write(presence)
        assert len(living(str(folder))) == 1
    presence.leave()


def test_a_relative_folder_is_the_one_it_was_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon goes to / before its first opening."""
    monkeypatch.chdir(tmp_path)
    presence = Presence("ours", "service")
    monkeypatch.chdir("/")
    presence.open()
    assert len(names(tmp_path / "ours")) == 2
    presence.leave()


def test_threads_may_open_write_and_close_at_once(presence: Presence, folder: Path) -> None:
    """Whatever comes first, nothing fails and nothing stays behind."""
    failures: list[BaseException] = []

    def use(*calls: Any) -> None:
        try:
            for _ in range(100):
                for call in calls:
                    call()
        except BaseException as error:  # noqa: BLE001  # any failure at all fails the test
            failures.append(error)

    threads = [
        threading.Thread(target=use, args=(presence.open, presence.leave)),
        threading.Thread(target=use, args=(presence.leave, presence.open)),
        threading.Thread(target=use, args=(lambda: write(presence),)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    presence.leave()
    assert failures == []
    assert names(folder) == set()


def test_a_child_makes_its_own_even_where_nobody_told_it_of_the_fork(
    presence: Presence, folder: Path
) -> None:
    """It finds the files it holds to be its parent's, and leaves them."""
    presence.open()
    pid = os.fork()
    if pid == 0:
        try:
            presence.open()
            is_right = len(names(folder)) == 4
            presence.leave()
            os._exit(0 if is_right and len(names(folder)) == 2 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert names(folder) == {f"{OWN.stem}.slot", f"{OWN.stem}.sock"}


def test_a_plugin_that_joins_a_running_budget_is_asked_too(folder: Path) -> None:
    """What a program adds of its own comes after the start."""

    class Greeter:
        name = "greeter"

        def commands(self) -> dict[str, Any]:
            return {"greet": lambda arguments: {"greeted": arguments["whom"]}}

    agent = str(folder)
    with membudget.start(
        "4GiB", sinks=[], agent={"directory": agent}, registry=Registry()
    ) as budget:
        eventually(lambda: folder.exists() and any(folder.glob(f"*{SOCKET}")))
        budget.governor.join(Greeter())
        assert ask(OWN, "greet", {"whom": "us"}, folder=str(folder)) == {"greeted": "us"}
        with pytest.raises(ControlError, match="greet"):
            ask(OWN, "nothing", folder=str(folder))
