"""What is refused as a place to spill to, or as a bound of it."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from membudget.cache.spilling import spill as spill_module
from membudget.cache.spilling.folder import SpillFolder, check_own
from membudget.cache.spilling.spill import Spill, checked_spill
from membudget.errors import ConfigError, MissingExtraError
from spill_scene import make


@pytest.mark.parametrize("directory", ["", 7, None, "a\0b", b"bytes"])
def test_what_is_no_path_is_refused(directory: Any) -> None:
    with pytest.raises(ConfigError):
        Spill(directory)
    with pytest.raises(ConfigError):
        checked_spill(directory)


def test_bounds_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_bytes of the spill"):
        Spill(tmp_path, max_bytes="100KiB")
    with pytest.raises(ConfigError, match="max_bytes of the spill"):
        Spill(tmp_path, max_bytes=-1)
    with pytest.raises(ConfigError, match="waiting"):
        Spill(tmp_path, waiting="much")
    with pytest.raises(ConfigError, match="keep"):
        Spill(tmp_path, keep="yes")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="keep=True"):
        Spill(tmp_path, key=tmp_path / "key")
    with pytest.raises(ConfigError, match=r"'/\$HOME/key' has a variable"):
        Spill(tmp_path, keep=True, key="/$HOME/key")


def test_folders_that_are_not_ones_own_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "group").mkdir()
    (tmp_path / "group").chmod(0o770)
    for name, reason in (("file", "not a folder"), ("open", "by others"), ("group", "by others")):
        with pytest.raises(ConfigError, match=reason):
            make(tmp_path, spill=tmp_path / name)
    with pytest.raises(ConfigError, match=r"cannot be used, since .* is no folder"):
        make(tmp_path, spill=tmp_path / "file" / "below")
    status = list(os.stat(tmp_path))
    status[4] += 1
    with pytest.raises(ConfigError, match="belongs to user"):
        check_own(str(tmp_path), os.stat_result(status))


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """It may lead to where others write."""
    folder = SpillFolder(Spill(tmp_path / "s"), "spilling")
    folder.end()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    os.symlink(tmp_path / "elsewhere", os.path.dirname(folder.path))
    with pytest.raises(ConfigError, match="not a folder"):
        make(tmp_path, spill=tmp_path / "s")


def test_a_cache_that_cannot_be_made_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        make(tmp_path, spill=tmp_path / "s", max_entries=-1)
    assert os.listdir(tmp_path / "s") == []


def test_without_diskcache_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diskcache", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'membudget\[spill\]'"):
        spill_module.Spill(tmp_path)
