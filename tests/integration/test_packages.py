"""What is handed on: the wheel and the source archive hold all that the library opens."""

import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

import membudget
from commands import ended

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
WRITTEN = {
    str(path.relative_to(SRC))
    for path in [
        *(SRC / "membudget").rglob("*"),
        *(SRC / "membudget" / "help").glob("*/*.md"),  # Through links to `docs/`.
    ]
    if path.is_file() and path.suffix not in {".pyc", ".so"}
}
"""What people wrote, with the page, its licence and `py.typed`."""
SOURCES = {name for name in WRITTEN if name.endswith((".c", ".h"))}


def test_the_archives_hold_what_is_written_and_nothing_else(tmp_path: Path) -> None:
    """The source archive is made from the tree, the wheel from the source archive."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("no uv is installed")
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    away = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
    shutil.copytree(SRC, tree / "src", ignore=away, symlinks=True)
    shutil.copytree(ROOT / "docs", tree / "docs")
    done = ended(
        [uv, "build", "--offline", "--out-dir", str(tmp_path / "made"), str(tree)],
        {"MEMBUDGET_NO_NATIVE": "1"},
    )
    if done.returncode and "offline" in done.stderr + done.stdout:
        pytest.skip("uv has not kept what builds a package, and may not fetch it here")
    assert done.returncode == 0, done.stderr
    assert "membudget/help/how-to/check-health.md" in WRITTEN - SOURCES
    assert "membudget/_native/module.c" in SOURCES
    (wheel,) = (tmp_path / "made").glob("*.whl")
    (source,) = (tmp_path / "made").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if not name.endswith("/")}
        assert {name for name in files if ".dist-info/" not in name} == WRITTEN - SOURCES
        assert f"membudget-{membudget.__version__}.dist-info/METADATA" in files
    with tarfile.open(source) as packed:
        sources = [member.name.partition("/src/")[2] for member in packed if member.isfile()]
        assert {name for name in sources if name.startswith("membudget/")} == WRITTEN
