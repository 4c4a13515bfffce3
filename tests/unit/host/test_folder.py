"""The shared folder: ours alone or refused, and swept of nothing but the dead."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from membudget.errors import ControlError
from membudget.host import Identity, check_readable, claim_folder, identity_of, sweep
from membudget.host.slot import Slot
from membudget.ownership import default_folder

OWN = identity_of()
DEAD = OWN.replace(pid=OWN.pid, started=OWN.started + 1)
"""Our number, in another life."""

OF_ANOTHER_BOOT = OWN.replace(boot="00000000")
ELSEWHERE = OWN.replace(namespace=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(claim_folder(str(tmp_path / "ours")))


@pytest.fixture
def held(folder: Path, request: pytest.FixtureRequest) -> Iterator[Identity]:
    """An identity whose slot is locked, as by a process that lives."""
    identity: Identity = request.param
    slot = Slot(str(folder), identity, "held")
    yield identity
    slot.close()


def leave(folder: Path, identity: Identity, *, slot: bool = True) -> list[Path]:
    """The files that a killed process leaves."""
    left = [folder / f"{identity.stem}.sock"]
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(left[0]))
    if slot:
        left.append(folder / f"{identity.stem}.slot")
        left[1].touch()
    return left


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_default_depends_on_the_user_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without an environment and a shell with one meet in the same folder."""
    expected = default_folder()
    for name in ("XDG_RUNTIME_DIR", "TMPDIR", "HOME"):
        monkeypatch.setenv(name, "/elsewhere")
    assert default_folder() == expected == default_folder(os.geteuid())
    assert default_folder(0) == "/run/membudget"
    assert default_folder(4_000_000) == "/tmp/membudget-4000000"  # noqa: S108  # only named


def test_a_missing_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    """Whatever the umask, nobody else may enter; claiming it again changes nothing."""
    before = os.umask(0)
    try:
        path = claim_folder(str(tmp_path / "ours") + "/")
    finally:
        os.umask(before)
    assert path == str(tmp_path / "ours")
    assert mode(Path(path)) == 0o700
    assert claim_folder(path) == path


def test_an_open_folder_is_closed_only_where_nothing_else_lies_in_it(folder: Path) -> None:
    """A folder that a system shares is refused, not taken away from everybody."""
    leave(folder, DEAD)
    folder.chmod(0o755)
    claim_folder(str(folder))
    assert mode(folder) == 0o700
    (folder / "precious").touch()
    folder.chmod(0o755)
    with pytest.raises(ControlError, match=r"mode 755.*set agent.directory to a folder of your"):
        claim_folder(str(folder))
    assert mode(folder) == 0o755


def test_a_sticky_folder_is_never_closed(folder: Path) -> None:
    """An empty /tmp stays everybody's, whoever asks for it."""
    folder.chmod(0o1777)
    with pytest.raises(ControlError, match=r"mode 1777"):
        claim_folder(str(folder))
    assert mode(folder) == 0o1777


def test_a_link_is_refused_wherever_it_leads(folder: Path, tmp_path: Path) -> None:
    """Somebody may have laid it in /tmp to have us write elsewhere, with a slash or without."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    for path in (str(link), f"{link}/"):
        with pytest.raises(ControlError, match=r"is a link.*agent\.directory"):
            claim_folder(path)


def test_a_file_and_a_place_in_nowhere_are_refused(tmp_path: Path) -> None:
    """The message says which and what to set."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ControlError, match=r"file is no folder: set agent\.directory"):
        claim_folder(str(file))
    for path in (tmp_path / "missing" / "ours", file / "ours"):
        with pytest.raises(ControlError, match=r"cannot be made or opened \(.*agent\.directory"):
            claim_folder(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    """Its owner could read and change all that we put there."""
    os.chown(folder, 65534, 65534)
    with pytest.raises(
        ControlError, match=r"belongs to user 65534, not to 0: set agent\.directory"
    ):
        claim_folder(str(folder))


@pytest.mark.parametrize("dead", [DEAD, OF_ANOTHER_BOOT, ELSEWHERE])
def test_what_the_dead_left_is_swept(folder: Path, dead: Identity) -> None:
    """Slot and socket go together; the second sweep finds nothing."""
    leave(folder, dead)
    assert sweep(str(folder)) == 2
    assert list(folder.iterdir()) == []
    assert sweep(str(folder)) == 0


@pytest.mark.parametrize("held", [OWN, DEAD, OF_ANOTHER_BOOT, ELSEWHERE], indirect=True)
def test_what_is_locked_stays(folder: Path, held: Identity) -> None:
    """A lock is a sign of life even where all other signs speak against it."""
    left = leave(folder, held)
    assert sweep(str(folder)) == 0
    assert all(path.exists() for path in left)
    left[0].unlink()


def test_a_running_process_keeps_its_files_even_unlocked(folder: Path) -> None:
    """It may just be making them, or be on its way through an exec."""
    left = [*leave(folder, OWN), *leave(folder, identity_of(os.getppid()), slot=False)]
    assert sweep(str(folder)) == 0
    assert all(path.exists() for path in left)


def test_a_socket_whose_slot_is_gone_goes_too(folder: Path) -> None:
    """A process makes its slot first, so nobody is on his way to that socket."""
    leave(folder, ELSEWHERE, slot=False)
    assert sweep(str(folder)) == 1
    assert list(folder.iterdir()) == []


def test_what_is_none_of_ours_stays(folder: Path, tmp_path: Path) -> None:
    """Unknown names, folders, links and other kinds of files are left alone, and not followed."""
    target = tmp_path / "target"
    target.touch()
    (folder / f"{DEAD.stem}.slot").symlink_to(target)
    (folder / f"{OF_ANOTHER_BOOT.stem}.slot").mkdir()
    (folder / f"{ELSEWHERE.stem}.sock").touch()
    for name in ("notes.slot", "x.sock", DEAD.stem, f"{DEAD.stem}.txt", ".slot"):
        (folder / name).touch()
    os.mkfifo(folder / f"{OWN.replace(started=1).stem}.slot")
    before = sorted(folder.iterdir())
    assert sweep(str(folder)) == 0
    assert sorted(folder.iterdir()) == before
    assert target.exists()


def test_sweeping_where_there_is_no_folder_does_nothing(tmp_path: Path) -> None:
    """Somebody may have removed it."""
    assert sweep(str(tmp_path / "missing")) == 0


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_may_write_to_is_not_looked_into(folder: Path, mode: int) -> None:
    """Its slots may be made up, and so may be the processes that they tell of."""
    check_readable(str(folder))
    folder.chmod(mode)
    with pytest.raises(ControlError, match="by others: what it tells may be made up: set agent"):
        check_readable(str(folder))


def test_a_link_to_a_folder_is_not_looked_into(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    for path in (link, tmp_path / "missing"):
        with pytest.raises(ControlError):
            check_readable(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_looked_into_only_for_that_users_processes(
    folder: Path,
) -> None:
    """Who made it first, under the name that ours would have, could tell of processes of ours."""
    os.chown(folder, 65534, 65534)
    check_readable(str(folder), 65534)
    for uid in (None, 65533):
        with pytest.raises(ControlError, match="belongs to user 65534: what it tells may be made"):
            check_readable(str(folder), uid)
