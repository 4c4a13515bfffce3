"""The history file: kept over a restart, one process each, and nothing lost without a word."""

import os
import socket
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from membudget.core import Sample
from membudget.sampling.form import BEGINS, SampleRing, from_text, to_text
from membudget.sampling.keep import WRITTEN_EVERY, Keeper, Place
from sampling_scene import BEGAN, STEP, sample
from waiting import eventually

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no flock there")
DAY = 86400.0
NOW = BEGAN + 600 * STEP


class Life:
    """One life of a process with a history file."""

    def __init__(self, path: Path, *, size: int = 288) -> None:
        self.ring = SampleRing(size)
        self.told: list[str] = []
        self.recalled: list[Sample] = []
        self.keeper = Keeper(
            str(path),
            self.ring,
            DAY,
            lambda where, error: self.told.append(f"{where}: {error}"),
            recall=self.recalled.append,
            wall=lambda: NOW,
        )

    @property
    def path(self) -> str | None:
        """The file that this life has, once it has one."""
        place = self.keeper._place
        return place.path if place is not None else None

    def live(self, *samples: Sample) -> None:
        """Take these samples, each with time for the disk."""
        for one in samples:
            self.ring.add(one)
            self.keeper.after_sample()
            self.keeper._join(10.0)
            if self.keeper.due(0.0):
                self.keeper.run(float("inf"))

    def end(self, *samples: Sample) -> None:
        """Take these, and be closed."""
        self.live(*samples)
        self.keeper.close()


def lately(*numbers: int, began: float = BEGAN) -> list[Sample]:
    """Samples of an hour ago and on."""
    return [sample(580 + number, began=began) for number in numbers]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "samples"


def read(path: Path) -> list[Sample]:
    return from_text(path.read_bytes(), "a")


def test_samples_of_an_earlier_life_are_told_the_newest_first_and_ones_own_are_not(
    path: Path,
) -> None:
    """With what came and went; older files that do not tell it are read all the same."""
    earlier = [one.replace(transient=7) for one in lately(*range(18))]
    Life(path).end(*earlier)
    after = Life(path)
    after.live(*lately(18, 19, began=BEGAN + 598 * STEP))
    assert after.recalled == earlier[::-1]
    after.keeper.close()


def test_a_life_goes_on_where_the_last_one_ended(path: Path) -> None:
    """And where one ended and another began is to be seen."""
    first = Life(path)
    first.end(*lately(0, 1))
    second = Life(path)
    second.end(*lately(2, began=BEGAN + 5))
    assert second.ring.latest() == [*lately(0, 1), *lately(2, began=BEGAN + 5)]
    assert read(path) == second.ring.latest()
    assert first.told == second.told == []


def test_it_is_written_now_and_then_for_those_that_are_killed(path: Path) -> None:
    """Every third sample."""
    life = Life(path)
    life.live(*lately(*range(WRITTEN_EVERY - 1)))
    assert not path.exists()
    life.live(*lately(WRITTEN_EVERY))
    assert len(read(path)) == WRITTEN_EVERY
    life.keeper.close()


def test_what_is_older_than_a_day_or_from_the_future_is_left_out(path: Path) -> None:
    """A clock may have been set meanwhile."""
    path.write_bytes(to_text([sample(0), *lately(0), sample(900)]))
    life = Life(path)
    life.end(*lately(5))
    assert life.ring.latest() == lately(0, 5)


def test_no_more_are_kept_than_the_ring_has_room_for(path: Path) -> None:
    path.write_bytes(to_text(lately(*range(10))))
    life = Life(path, size=4)
    life.end(*lately(12))
    assert life.ring.latest() == lately(7, 8, 9, 12)


@pytest.mark.parametrize(
    "text",
    [
        to_text(lately(0))[:-3],
        b'{"membudget": "samples", "version": 2}\n',
        b'{"membudget": "samples", "version": 0}\n',
    ],
)
def test_a_file_of_ours_that_cannot_be_used_is_told_and_put_aside(path: Path, text: bytes) -> None:
    """Nothing of it is lost, and the process has a history all the same."""
    path.write_bytes(text)
    life = Life(path)
    life.end(*lately(0))
    aside = path.with_name("samples.broken")
    assert aside.read_bytes() == text
    (told,) = life.told
    assert told.startswith(f"history: {path} ")
    assert str(aside) in told
    assert read(path) == lately(0)


def test_each_file_put_aside_has_a_name_of_its_own(path: Path) -> None:
    """Up to nine; then the file stays where it is, and no history is kept."""
    for number in range(9):
        path.write_bytes(BEGINS + b"%d" % number)
        life = Life(path)
        life.live(*lately(0))
        life.keeper.close()
        path.unlink()
    assert path.with_name("samples.broken").read_bytes() == BEGINS + b"0"
    assert path.with_name("samples.broken.9").read_bytes() == BEGINS + b"8"
    path.write_bytes(BEGINS + b"ten")
    life = Life(path)
    life.end(*lately(*range(5)))
    assert path.read_bytes() == BEGINS + b"ten"
    assert "clean up" in life.told[0]


def test_two_processes_never_write_the_same_file(path: Path) -> None:
    """The second has one beside it, and whoever comes when one has ended goes on with that."""
    first, second = Life(path), Life(path)
    first.live(*lately(0))
    second.live(*lately(1, began=BEGAN + 1))
    assert first.path == str(path)
    assert second.path == f"{path}.2"
    first.keeper.close()
    third = Life(path)
    third.end(*lately(2, began=BEGAN + 2))
    second.keeper.close()
    assert read(path) == [*lately(0), *lately(2, began=BEGAN + 2)]
    assert read(path.with_name("samples.2")) == lately(1, began=BEGAN + 1)


def test_a_folder_that_is_not_there_is_told_and_stops_nothing(tmp_path: Path) -> None:
    """It is tried again at each sample, until it is there."""
    folder = tmp_path / "later"
    life = Life(folder / "samples")
    life.live(*lately(0))
    assert "No such file" in life.told[0]
    folder.mkdir()
    life.end(*lately(1))
    assert read(folder / "samples") == lately(0, 1)


def test_a_life_without_samples_leaves_no_file(path: Path) -> None:
    """Nothing was taken, so nothing is written, not even a lock."""
    life = Life(path)
    life.keeper.close()
    assert not list(path.parent.iterdir())


def test_a_lock_that_the_program_closed_is_taken_anew(path: Path) -> None:
    """As a program does that becomes a daemon; what stands in the file is not lost."""
    life = Life(path)
    life.live(*lately(0, 1, 2))
    place = life.keeper._place
    assert place is not None
    os.close(place._lock)
    other = os.open(os.devnull, os.O_RDONLY)  # It has that number now, perhaps.
    life.live(*lately(3, 4, 5))
    life.end(*lately(6, 7, 8))
    os.fstat(other)
    os.close(other)
    assert read(path) == lately(*range(9))
    assert not life.told


def test_a_place_that_another_took_after_the_program_closed_the_lock_is_left_to_it(
    path: Path,
) -> None:
    """Two histories, and neither is written over the other."""
    first = Life(path)
    first.live(*lately(0, 1, 2))
    place = first.keeper._place
    assert place is not None
    os.close(place._lock)
    other = os.open(os.devnull, os.O_RDONLY)  # It has that number now.
    second = Life(path)
    second.live(*lately(3, 4, 5, began=BEGAN + 1))
    assert second.path == str(path)
    first.live(*lately(6, 7, 8))
    first.live(*lately(9, 10, 11))
    assert first.path == f"{path}.2"
    assert read(path) == [*lately(0, 1, 2), *lately(3, 4, 5, began=BEGAN + 1)]
    first.keeper.close()
    second.keeper.close()
    os.close(other)
    assert read(path.with_name("samples.2")) == lately(0, 1, 2, *range(6, 12))


def test_a_reader_never_sees_half_a_file(path: Path) -> None:
    """What is written takes the place of what was there in one step."""
    place = Place(str(path))
    texts = [to_text(lately(*range(count))) for count in (2, 50)]
    place.write(texts[0])
    held = path.open("rb")
    place.write(texts[1])
    assert held.read() == texts[0]
    held.close()
    assert place.read() == texts[1]
    place.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_takes_a_place_of_its_own_and_leaves_the_parents(path: Path) -> None:
    """The parent's lock holds on; the child begins with its second sample."""
    life = Life(path)
    life.live(*lately(0))
    fresh = Life(path)
    place = life.keeper._place
    assert place is not None
    life.keeper.before_fork(time.monotonic() + 1)
    child = os.fork()
    if child == 0:  # pragma: no cover
        code = 1
        try:
            fresh.keeper.after_fork_in_child()
            life.keeper.after_fork_in_child()
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(place._lock)
            life.ring.clear()
            life.live(*lately(1, began=BEGAN + 1))
            is_waiting = life.path is None
            life.live(*lately(2, began=BEGAN + 1))
            life.keeper.close()
            code = 0 if is_waiting else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    other = Life(path)
    other.live(*lately(3, began=BEGAN + 3))
    assert other.path == f"{path}.2"
    other.keeper.close()
    life.keeper.close()
    assert read(path) == lately(0)
    assert read(path.with_name("samples.2"))[:2] == lately(1, 2, began=BEGAN + 1)


def test_the_end_does_not_wait_for_a_disk_that_hangs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that writes is left behind, and ends when the disk answers."""
    life = Life(path)
    life.live(*lately(0))
    answer = threading.Event()
    monkeypatch.setattr(Place, "write", lambda place, text: answer.wait(10.0))
    life.keeper.close(patience=0.05)
    assert life.keeper._is_busy()
    answer.set()
    eventually(lambda: not life.keeper._is_busy())
    life.keeper.close()


def a_document(path: Path) -> None:
    path.write_text("some: precious\n")


def a_document_of_samples(path: Path) -> None:
    """What looks like ours and is anybody's to write."""
    path.write_bytes(to_text(lately(0)))
    path.chmod(0o666)


def a_link(path: Path) -> None:
    (target := path.with_name("target")).write_text("some: precious\n")
    path.symlink_to(target)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize(
    "put", [a_document, a_document_of_samples, a_link, os.mkfifo, Path.mkdir, a_socket]
)
def test_what_is_not_ours_stays_as_it_is_and_is_told_once(
    path: Path, put: Callable[[Path], object]
) -> None:
    """A document, a link, a pipe that nobody writes, a folder: nothing is moved or made beside."""
    put(path)
    before = {one: (one.lstat().st_ino, one.lstat().st_size) for one in path.parent.iterdir()}
    life = Life(path)
    life.end(*lately(*range(2 * WRITTEN_EVERY)))
    assert {
        one: (one.lstat().st_ino, one.lstat().st_size) for one in path.parent.iterdir()
    } == before
    (told,) = life.told
    assert told.startswith(f"history: no history is kept: {path} ")


def test_what_comes_in_the_place_of_ours_later_stays_as_well(path: Path) -> None:
    """Somebody saves a document under the name, or under that of the part being written."""
    life = Life(path)
    life.live(*lately(0))
    a_document(path.with_name("samples.part"))
    life.keeper.close()
    assert path.with_name("samples.part").read_text() == "some: precious\n"
    assert len(life.told) == 1
    life = Life(path)
    life.live(*lately(0))
    a_document(path)
    life.keeper.close()
    assert path.read_text() == "some: precious\n"
    assert len(life.told) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_history_of_another_user_is_not_ours(path: Path) -> None:
    path.write_bytes(to_text(lately(0)))
    os.chown(path, 65534, 65534)
    life = Life(path)
    life.end(*lately(1))
    assert life.ring.latest() == lately(1)
    assert "belongs to user 65534" in life.told[0]


def test_a_long_history_comes_back_in_slices_the_newest_first(path: Path) -> None:
    """The governor's thread has other things to do between two; at the end all of it is there."""
    first = Life(path)
    first.end(*lately(*range(-200, 0)))
    second = Life(path)
    second.ring.add(lately(0, began=BEGAN + 5)[0])
    second.keeper.after_sample()
    second.keeper._join(10.0)
    grown = [len(second.ring)]
    while second.keeper.due(0.0):
        second.keeper.run(0.0)
        grown.append(len(second.ring))
        walls = [one.wall for one in second.ring.latest()]
        assert walls == sorted(walls)
    assert grown[-1] == 201
    assert max(later - sooner for sooner, later in pairwise(grown)) <= 16
    second.keeper.close()
