"""What is handed on: the wheel and the source archive hold all that the library opens."""

import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from commands import ended

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
NEEDED = {
    str(path.relative_to(SRC))
    for path in [
        SRC / "membudget" / "py.typed",
        *(SRC / "membudget" / "page").rglob("*"),
        *(SRC / "membudget" / "help").glob("*/*.md"),  # Through links to `docs/`.
    ]
    if path.is_file()
}


def test_both_archives_hold_the_page_its_licence_and_the_topics_of_help(tmp_path: Path) -> None:
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
    assert {"membudget/page/page.js", "membudget/help/how-to/check-health.md"} < NEEDED
    (wheel,) = (tmp_path / "made").glob("*.whl")
    (source,) = (tmp_path / "made").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) >= NEEDED
    with tarfile.open(source) as packed:
        names = {name.partition("/src/")[2] for name in packed.getnames()}
        assert names >= NEEDED
