"""What the processes of a launch have told: each thing once, whoever sees it first."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from membudget.host import TOLD, identity_of, launch_mark, sweep
from membudget.host.launch import Told


class Wall:
    """Unix seconds that stand still."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def mark(tmp_path: Path) -> str:
    """Where the processes launched by this one may note things."""
    found = launch_mark(str(tmp_path / "meet"))
    assert found is not None
    return found


def elsewhere(told: Told, subject: str, seconds: float = 600) -> bool:
    """Whether it is news to another process, which then has told it."""
    pid = os.fork()
    if pid == 0:  # pragma: no cover  # in the child
        os._exit(told.is_news(subject, seconds, again=True))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_what_one_has_told_is_no_news_to_another(mark: str) -> None:
    """Until it is old; another level is, and so is the same one of another group."""
    wall = Wall()
    told = Told(mark, wall)
    assert told.is_news("WARNING group", 600)
    assert not elsewhere(told, "WARNING group")
    assert elsewhere(told, "NORMAL group")
    assert elsewhere(told, "WARNING other group")
    assert not told.is_news("NORMAL group", 600, again=True)
    wall.now += 601
    assert elsewhere(told, "WARNING group")


def test_to_the_one_who_told_it_it_is_news_again_where_that_is_wanted(mark: str) -> None:
    """A level that comes back is; the limit kept is not, when a program starts anew."""
    told = Told(mark, Wall())
    for _ in range(3):
        assert told.is_news("WARNING group", 600, again=True)
    assert told.is_news("start 400 MiB", 3600)
    assert not told.is_news("start 400 MiB", 3600)


def test_of_many_that_see_it_at_once_one_tells(mark: str) -> None:
    """Whoever has the lock first."""
    told = [Told(mark, Wall()) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        news = list(pool.map(lambda one: one.is_news("WARNING group", 600), told))
    assert sum(news) == 1


def test_where_it_cannot_be_known_it_is_news(mark: str, tmp_path: Path) -> None:
    """No folder, a link to somebody's file, which stays as it is, or rubbish."""
    assert Told(f"{tmp_path}/missing/x", Wall()).is_news("WARNING group", 600)
    precious = tmp_path / "precious"
    precious.write_text("mine\n")
    Path(mark + TOLD).symlink_to(precious)
    for _ in range(2):
        assert Told(mark, Wall()).is_news("WARNING group", 600)
    assert precious.read_text() == "mine\n"
    Path(mark + TOLD).unlink()
    Path(mark + TOLD).write_bytes(b"\xff\tx\ty\n\n\t\t\nz" * 9000)
    assert Told(mark, Wall()).is_news("WARNING group", 600)
    assert not Told(mark, Wall()).is_news("WARNING group", 600)


def test_names_that_hold_anything_divide_nothing(mark: str) -> None:
    """Tabs and line ends are blanks, and the file does not grow."""
    one = Told(mark, Wall())
    for number in range(100):
        assert one.is_news(f"g\t{number}\n" + "a\tb\n" * 100, 600)
        assert not one.is_news(f"g\t{number}\n" + "a\tb\n" * 100, 600)
    assert Path(mark + TOLD).stat().st_size <= 8192


def test_notes_of_the_living_stay_and_those_of_the_dead_are_swept(mark: str) -> None:
    """By whom the launch is called after."""
    living = Path(mark + TOLD)
    assert Told(mark, Wall()).is_news("WARNING group", 600)
    dead = living.with_name(identity_of().replace(started=1).stem + TOLD)
    dead.write_text("WARNING group\t7\t1.0\n")
    assert sweep(str(living.parent)) == 1
    assert os.listdir(living.parent) == [living.name]


def test_there_is_no_place_where_none_is_wanted_or_can_be_had(tmp_path: Path) -> None:
    """Each process tells what it sees, then."""
    (tmp_path / "file").touch()
    assert launch_mark("none") is None
    assert launch_mark(str(tmp_path / "file")) is None
