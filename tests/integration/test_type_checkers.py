"""pyright and ty say of the programs in `tests/typing` what mypy says, where it checks all."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[1] / "typing"
OPTIONS = {
    "pyright": ["--pythonpath", sys.executable],
    "ty": ["check", "--python", sys.executable, "--output-format", "concise"],
}


@pytest.mark.parametrize("checker", OPTIONS)
def test_errors_are_seen_where_they_are_and_nowhere_else(checker: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    shutil.copytree(PAGES, tmp_path / "pages")
    (tmp_path / "pyrightconfig.json").write_text('{"enableTypeIgnoreComments": false}')
    (tmp_path / "ty.toml").write_text("[analysis]\nrespect-type-ignore-comments = false\n")
    command = [sys.executable, "-m", checker, *OPTIONS[checker]]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    errors = re.findall(r"(\w+\.py):(\d+):\d+(?: -|:) error", ran.stdout)
    wrong = {
        (page.name, number)
        for page in PAGES.glob("*.py")
        for number, line in enumerate(page.read_text().splitlines(), 1)
        if "# type: ignore[" in line and f"# not {checker}" not in line
    }
    assert {(page, int(number)) for page, number in errors} == wrong, ran.stdout


def test_what_is_public_has_types_that_all_checkers_read_alike(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    # It looks for packages where the first `python` of the path does.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    command = [sys.executable, "-m", "pyright", "--verifytypes", "membudget", "--ignoreexternal"]
    ran = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, check=False
    )
    assert not ran.returncode, ran.stdout.decode()
