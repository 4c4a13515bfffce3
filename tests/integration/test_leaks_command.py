"""`membudget leaks` on real recordings: changes, the last verdict, exit codes."""

import gzip
import json
import os
from pathlib import Path

import pytest

from commands import membudget

TRACES = os.path.join(
    os.path.dirname(__file__), *("..", "..", "bench", "data", "leak-corpus", "traces")
)


def trace(name: str) -> str:
    """The path of a recorded trace."""
    path = os.path.join(TRACES, f"{name}.csv.gz")
    if not os.path.exists(path):
        pytest.skip("the traces are part of a checkout only")
    return path


def first_rows(name: str, count: int, folder: Path) -> str:
    with gzip.open(trace(name), "rt", encoding="ascii") as file:
        rows = file.readlines()[: count + 1]
    path = folder / "begin.csv"
    path.write_text("".join(rows), encoding="ascii")
    return str(path)


def test_a_leak_is_told_as_it_became_surer() -> None:
    """A line for each change, then the last verdict; 2 at high."""
    found = membudget("leaks", "--samples", trace("p003"))
    assert (found.returncode, found.stderr) == (2, "")
    changes, _, last = found.stdout.partition("\n\n")
    levels = [line.split()[2] for line in changes.splitlines()]
    assert levels[-3:] == ["low", "medium", "high"]
    assert "verdict     leak in Python objects, high confidence" in last


def test_exit_codes_follow_the_last_verdict(tmp_path: Path) -> None:
    """Eight hours of the leak are medium: 1; a healthy trace: 0."""
    assert membudget("leaks", "--samples", first_rows("p003", 960, tmp_path)).returncode == 1
    assert membudget("leaks", "--samples", trace("p041")).returncode == 0


def test_json_has_changes_and_last() -> None:
    found = json.loads(membudget("leaks", "--samples", trace("p003"), "--json").stdout)
    assert found["changes"][-1]["confidence"] == found["last"]["confidence"] == "high"
    assert found["last"]["rate_bytes_per_hour"] / 2**20 == pytest.approx(4.478, rel=0.15)
    assert not found["is_dated"]


def test_bounds_are_laid_over_the_parts(tmp_path: Path) -> None:
    """A file as a label has it; a part that is not there is an error."""
    bounds = tmp_path / "bounds.yaml"
    bounds.write_text("bounded: {users: {max_items: 500, bytes_per_item: 60}}\n")
    code = membudget("leaks", "--samples", trace("p003"), "--bounds", str(bounds)).returncode
    assert code == 2
    bounds.write_text("usurers: {max_items: 500}\n")
    found = membudget("leaks", "--samples", trace("p003"), "--bounds", str(bounds))
    assert found.returncode == 64
    assert "known: by_id, users" in found.stderr


@pytest.mark.parametrize("command", ["leaks", "report"])
@pytest.mark.parametrize("text", ["t_s,rss_kb\n", "CMDLINE python app.py\n"])
def test_a_recording_of_nothing_is_an_error(tmp_path: Path, command: str, text: str) -> None:
    """A check that looks at an empty file must not pass."""
    path = tmp_path / "samples"
    path.write_text(text, encoding="ascii")
    found = membudget(command, "--samples", str(path))
    assert (found.returncode, found.stdout) == (64, "")
    assert "holds no samples" in found.stderr
    assert "give a recording" in found.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--samples"),
        (("--samples", "/nowhere"), "cannot be read"),
        (("--samples", __file__), "begins no kind of file that is known"),
        (("--samples", __file__, "--every", "30"), "has no unit"),
    ],
)
def test_wrong_usage_is_64_and_one_line(words: tuple[str, ...], says: str) -> None:
    """The value, the rule, what to try."""
    found = membudget("leaks", *words)
    assert found.returncode == 64
    assert says in found.stderr
    assert len(found.stderr.splitlines()) == 1
