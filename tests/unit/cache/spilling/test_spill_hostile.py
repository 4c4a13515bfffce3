"""What somebody else puts into a spilling cache's folder: never unpickled, followed or removed."""

import contextlib
import os
import pickle
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beside import in_child, in_threads
from membudget.cache.spilling.folder import SEAL_BYTES, user_key
from membudget.cache.spilling.spill import Spill
from membudget.cache.spilling.spilled import SpilledCache
from membudget.errors import ConfigError, MembudgetError
from membudget.ownership import safe_way
from membudget.registry import Registry

grp = pytest.importorskip("grp", reason="not a Unix")
pwd = pytest.importorskip("pwd", reason="not a Unix")

LARGE = 100_000
"""Bytes of a value that has a file of its own."""


class Marker:
    """A pickle that tells when somebody loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class Scene:
    """A cache of one entry in memory, its folder, and what a hostile pickle would leave."""

    def __init__(self, tmp_path: Path, *, keep: bool = False, name: str = "pages") -> None:
        self.mark = tmp_path / "mark"
        self.registry = Registry()
        key = tmp_path / "key" if keep else None
        spill = Spill(tmp_path / "s", keep=keep, key=key)
        self.cache: SpilledCache[Any, Any] = SpilledCache(
            name, max_entries=1, registry=self.registry, spill=spill
        )
        self.payload = pickle.dumps(Marker(self.mark))

    @property
    def folder(self) -> Path:
        directory = self.cache.spill_stats().directory
        assert directory is not None
        return Path(directory)

    @contextlib.contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        with (
            contextlib.closing(sqlite3.connect(self.folder / "cache.db")) as connection,
            connection,
        ):
            yield connection

    def spill(self, **values: Any) -> None:
        for name, value in values.items():
            self.cache.set(name, value)
        self.cache.set("in memory", 1)
        assert self.cache.flush_spill()

    def told(self) -> list[str]:
        """What a governor would tell."""
        found = []
        for chore in self.registry.chores():
            while chore.due(0.0):
                with pytest.raises(MembudgetError) as error:
                    chore.run(0.0)
                found.append(str(error.value))
        return found

    def end(self) -> None:
        """As when the process ends in good order."""
        self.cache._disk.close()


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_pickle_that_this_cache_did_not_write_is_a_miss_and_told_once(
    tmp_path: Path, size: int
) -> None:
    scene = Scene(tmp_path)
    scene.spill(a=os.urandom(size), b=os.urandom(size), c=1)
    with scene.database() as database:
        if size == LARGE:
            for file in scene.folder.glob("*.val"):
                file.write_bytes(file.read_bytes()[:SEAL_BYTES] + scene.payload)
        else:
            for mode, before in ((1, b""), (4, bytes(SEAL_BYTES))):
                database.execute(
                    "UPDATE Cache SET mode = ?, value = ?", (mode, before + scene.payload)
                )
    assert scene.cache.get("a") is scene.cache.get("b") is None
    assert not scene.mark.exists()
    assert scene.cache.spill_stats().failed == 2
    assert scene.cache.spill_stats().state == "on"
    (told,) = scene.told()
    assert "did not write" in told
    scene.spill(d="new")
    assert scene.cache["d"] == "new"
    assert not scene.told()
    scene.end()


def test_a_value_in_the_place_of_another_is_a_miss(tmp_path: Path) -> None:
    """A seal holds for one number of one cache."""
    first, second = Scene(tmp_path), Scene(tmp_path, name="others")
    first.spill(a="of a", b="of b")
    second.spill(a="of another", b="of another")
    with first.database() as database, second.database() as others:
        values = [value for (value,) in database.execute("SELECT value FROM Cache ORDER BY key")]
        for number, value in zip((1, 2, 3), values[1:] + values[:1], strict=False):
            database.execute("UPDATE Cache SET value = ? WHERE rowid = ?", (value, number))
        others.execute("UPDATE Cache SET value = ?", (values[0],))
    for scene in (first, second):
        assert scene.cache.get("a") is scene.cache.get("b") is None
        scene.end()


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO Cache (key, raw) VALUES (x'8004', 0)",
        "INSERT INTO Cache (key, raw) VALUES ('text', 1)",
        "UPDATE Cache SET filename = '../../precious', value = NULL, mode = 4",
        "UPDATE Cache SET filename = '/etc/hostname', value = NULL",
        "UPDATE Cache SET filename = x'00', value = NULL",
        "UPDATE Cache SET value = 12, mode = 1",
        "UPDATE Cache SET value = 'text', mode = 3",
        "DELETE FROM Cache",
    ],
)
def test_a_database_that_somebody_changed_leads_nowhere(tmp_path: Path, change: str) -> None:
    """Files that it names are neither read nor removed, and no key of it is unpickled."""
    scene = Scene(tmp_path, keep=True)
    scene.spill(a="value", b="value")
    precious = scene.folder.parent.parent / "precious"
    precious.write_text("dear diary")
    with scene.database() as database:
        database.execute(change)
    assert scene.cache.get("a") in (None, "value")
    scene.cache.delete("b")
    assert scene.cache.flush_spill()
    assert precious.exists()
    scene.end()
    later = Scene(tmp_path, keep=True)
    assert later.cache.get("a") in (None, "value")
    later.spill(a="new", b="new")
    assert precious.read_text() == "dear diary"
    later.end()


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO Settings VALUES ('disk_evil', 1)",
        "UPDATE Settings SET value = 'x; ATTACH' WHERE key = 'sqlite_cache_size'",
        "CREATE TRIGGER evil AFTER DELETE ON Cache BEGIN DELETE FROM Cache; END",
        "CREATE VIEW evil AS SELECT 1",
        "DROP TABLE Settings",
    ],
)
def test_a_kept_database_of_another_shape_is_not_opened(tmp_path: Path, change: str) -> None:
    """Diskcache does what its settings say, and SQLite what its triggers do."""
    scene = Scene(tmp_path, keep=True)
    scene.spill(a="value")
    folder = scene.folder
    scene.end()
    with contextlib.closing(sqlite3.connect(folder / "cache.db")) as database, database:
        database.execute(change)
    later = Scene(tmp_path, keep=True)
    assert later.cache.get("a") is None
    (told,) = later.told()
    assert "begins with an empty disk" in told
    later.spill(a="new")
    assert later.cache["a"] == "new"
    later.end()


def test_an_index_that_was_not_sealed_here_is_not_unpickled(tmp_path: Path) -> None:
    for before in (b"", bytes(16), bytes(48)):
        scene = Scene(tmp_path, keep=True)
        scene.spill(a="value")
        index = scene.folder / "index.pickle"
        scene.end()
        index.write_bytes(before + scene.payload)
        later = Scene(tmp_path, keep=True)
        assert later.cache.get("a") is None
        assert "not written with this user's key" in later.told()[0]
        later.end()
    assert not scene.mark.exists()
    others = Scene(tmp_path, keep=True, name="others")
    others.spill(a="of another")
    folder = others.folder
    others.end()
    scene = Scene(tmp_path, keep=True)
    scene.spill(a="value")
    index = scene.folder / "index.pickle"
    scene.end()
    shutil.copy(folder / "index.pickle", index)
    later = Scene(tmp_path, keep=True)
    assert later.cache.get("a") is None
    later.end()


def test_no_number_is_given_again_among_what_is_kept(tmp_path: Path) -> None:
    """Bytes once written under it could be put back for another key."""
    scene = Scene(tmp_path, keep=True)
    scene.spill(kept=1, **{f"k{number}": number for number in range(20)})
    highest = max(row.number or 0 for row in scene.cache._ledger.rows.values())
    for number in range(20):
        scene.cache.delete(f"k{number}")
    scene.end()
    later = Scene(tmp_path, keep=True)
    later.spill(new=1)
    assert (later.cache._ledger.rows["new"].number or 0) > highest
    later.end()


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_journal_that_was_there_first_is_not_replayed(tmp_path: Path, *, is_kept: bool) -> None:
    """SQLite would write into the database what it says."""
    scene = Scene(tmp_path, keep=is_kept)
    if is_kept:
        scene.spill(a=1)
        scene.end()
        scene = Scene(tmp_path, keep=True)
    (scene.folder / "cache.db-journal").write_bytes(b"journal")
    scene.spill(b=1)
    assert scene.cache.spill_stats().state.startswith("off: ")
    assert "cache.db-journal was put there by somebody else" in scene.told()[0]
    scene.end()


def test_a_database_that_was_there_first_is_not_opened(tmp_path: Path) -> None:
    """The folder was made empty, and somebody else's is in it at the first use."""
    scene = Scene(tmp_path)
    with scene.database() as database:
        database.execute("CREATE TABLE Settings (key TEXT, value)")
        database.execute("INSERT INTO Settings VALUES ('_directory', '/etc')")
    scene.spill(a=1)
    assert scene.cache.spill_stats().state.startswith("off: ")
    assert "was put there by somebody else" in scene.told()[0]
    scene.end()


@pytest.mark.parametrize("when", ["before it is opened", "while it is closed"])
def test_a_folder_on_the_way_that_others_may_write_to_later_turns_it_off(
    tmp_path: Path, when: str
) -> None:
    """It was looked at when the cache was made; it is looked at again when it is used."""
    (tmp_path / "way").mkdir()
    scene = Scene(tmp_path / "way")
    if when == "while it is closed":
        scene.spill(a=1)
        scene.cache._disk._store.close()  # type: ignore[union-attr]  # as around a fork
    (tmp_path / "way").chmod(0o777)
    scene.spill(b=1)
    assert scene.cache.spill_stats().state.startswith("off: ConfigError")
    assert "who could put another there" in scene.told()[0]
    (tmp_path / "way").chmod(0o700)
    scene.end()


@pytest.mark.parametrize(
    ("mode", "is_taken"), [(0o777, False), (0o775, False), (0o1777, True), (0o755, True)]
)
def test_a_folder_below_one_that_others_may_rename_in_is_refused(
    tmp_path: Path, mode: int, *, is_taken: bool
) -> None:
    """Unless it is sticky: there each may rename only his own. Nothing is made there before."""
    (tmp_path / "way").mkdir()
    (tmp_path / "way").chmod(mode)
    try:
        if is_taken:
            Scene(tmp_path / "way").end()
        else:
            with pytest.raises(ConfigError, match=r"may be written to by others .*chmod go-w /.*"):
                Scene(tmp_path / "way" / "deep")
            assert not [*(tmp_path / "way").iterdir()]
    finally:
        (tmp_path / "way").chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_below_another_users_is_refused(tmp_path: Path) -> None:
    """Who owns a folder may rename what is in it, and change its rights."""
    (tmp_path / "way").mkdir()
    os.chown(tmp_path / "way", 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to user 65534, who could put another there"):
        Scene(tmp_path / "way")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("mode", "is_taken"), [(0o775, True), (0o777, False)])
def test_a_folder_that_a_users_own_group_may_write_to_will_do(mode: int, *, is_taken: bool) -> None:
    """Many systems make all folders so; nobody else is in that group."""
    user = next((one for one in pwd.getpwall() if 0 < one.pw_uid == one.pw_gid), None)
    if user is None or grp.getgrgid(user.pw_gid).gr_name != user.pw_name:
        pytest.skip("no user has a group of its own")
    with tempfile.TemporaryDirectory() as way:
        os.chown(way, user.pw_uid, user.pw_gid)
        os.chmod(way, mode)

        def act() -> None:
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            if is_taken:
                safe_way(f"{way}/s")
            else:
                with pytest.raises(ConfigError):
                    safe_way(f"{way}/s")

        assert in_child(act)


def test_links_on_the_way_are_resolved_once_and_the_folder_is_none(tmp_path: Path) -> None:
    """Where a link on the way leads later makes no difference; the folder itself is no link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    scene = Scene(tmp_path / "link")
    assert scene.folder.is_relative_to(tmp_path / "real")
    scene.end()
    (tmp_path / "s").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="is a link"):
        Scene(tmp_path)


def public(path: Path) -> None:
    user_key(str(path))
    path.chmod(0o644)


def short(path: Path) -> None:
    user_key(str(path))
    os.truncate(path, 20)


def document(path: Path) -> None:
    path.write_text("dear diary")
    path.chmod(0o600)


def link(path: Path) -> None:
    user_key(str(path.with_name("elsewhere")))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("put", [public, short, document, link, os.mkfifo, Path.mkdir])
def test_a_key_that_is_not_the_users_alone_keeps_nothing(
    tmp_path: Path, put: Callable[[Path], object]
) -> None:
    put(tmp_path / "key")
    before = (tmp_path / "key").lstat()
    scene = Scene(tmp_path, keep=True)
    scene.spill(a=1)
    assert scene.cache["a"] == 1
    (told,) = scene.told()
    assert "keeps nothing on its disk" in told
    scene.end()
    after = (tmp_path / "key").lstat()
    assert (after.st_ino, after.st_size, after.st_mode) == (
        before.st_ino,
        before.st_size,
        before.st_mode,
    )


def test_whoever_makes_the_key_all_have_the_same(tmp_path: Path) -> None:
    """It is there whole or not at all, and nothing is left beside it."""
    keys = in_threads(*[lambda: user_key(str(tmp_path / "key"))] * 8)
    assert len(set(keys)) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["key"]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
