"""pex files are known by what is in them, and let in by their own variables."""

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from membudget.cli.program import pex_variables


def zipped(path: Path, **info: object) -> str:
    """A pex file: a first line, then a zip archive."""
    path.write_bytes(b"#!/usr/bin/env python3\n")
    with ZipFile(path, "a") as archive:
        archive.writestr("__main__.py", "")
        archive.writestr("PEX-INFO", json.dumps(info))
    return str(path)


def test_a_zip_lets_in_what_is_installed_beside_it(tmp_path: Path) -> None:
    """Unless somebody has said otherwise."""
    pex = zipped(tmp_path / "app.pex")
    assert pex_variables(pex, "/shim", {}) == {"PEX_INHERIT_PATH": "fallback"}
    assert pex_variables(pex, "/shim", {"PEX_INHERIT_PATH": "false"}) == {}


def test_one_that_makes_an_environment_is_told_the_folder(tmp_path: Path) -> None:
    """Behind what it was told already; also where it lies unpacked, or a variable says so."""
    pex = zipped(tmp_path / "app.pex", venv=True)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "PEX-INFO").write_text('{"venv": true}')
    for path in (pex, str(tmp_path / "made"), str(tmp_path / "made" / "pex")):
        told = pex_variables(path, "/shim", {"PEX_EXTRA_SYS_PATH": "/a"})
        assert told == {"PEX_EXTRA_SYS_PATH": "/a:/shim"}
    told = pex_variables(zipped(tmp_path / "zip.pex"), "/shim", {"PEX_VENV": "1"})
    assert told == {"PEX_EXTRA_SYS_PATH": "/shim"}


@pytest.mark.parametrize(
    "content", [b"print(1)\n", b"", b"PK\5\6 no archive", b"#!/bin/sh\n" + b"x" * 99]
)
def test_nothing_else_is_a_pex(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "app"
    file.write_bytes(content)
    assert pex_variables(str(file), "/shim", {}) is None
    with ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", "")
    for path in (str(tmp_path / "app.zip"), str(tmp_path / "missing"), str(tmp_path), ""):
        assert pex_variables(path, "/shim", {}) is None
    (tmp_path / "PEX-INFO").write_text("no JSON")
    assert pex_variables(str(tmp_path), "/shim", {}) is None
