"""`membudget config`: a real process, what it prints and how it exits."""

import json
from pathlib import Path

import pytest

from commands import membudget
from membudget.settings.file import schema
from membudget.settings.table import SETTINGS

BAD = """memory:
  limit: 400
  thresholds:
    warnin: 80%
    rss: {warning: 2GiB, critical: 1GiB}
  cleanup: {auto: maybe}
"""


def test_a_good_file_is_told_in_one_line(tmp_path: Path) -> None:
    """Named by argument or by the environment."""
    file = tmp_path / "membudget.toml"
    file.write_text('[memory]\nlimit = "400MiB"\nbrake = true\n')
    for result in (
        membudget("config", "check", str(file)),
        membudget("config", "check", environment={"MEMBUDGET_CONFIG": str(file)}),
    ):
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == f"{file}: 2 settings, all good\n"


def test_all_that_is_wrong_is_told_a_line_each(tmp_path: Path) -> None:
    """In the form that editors turn into links, with the exit code for wrong settings."""
    file = tmp_path / "membudget.yaml"
    file.write_text(BAD)
    result = membudget("config", "check", str(file))
    assert (result.returncode, result.stdout) == (64, "")
    told = [line.removeprefix(f"{file}:") for line in result.stderr.splitlines()]
    assert told[0].startswith("2: limit '400' has no unit")
    assert told[1].startswith("4: thresholds.warnin is not known")
    assert told[2].startswith("6: cleanup.auto 'maybe' is not a switch")
    assert "thresholds are out of order: rss.critical=1GiB is below rss.warning=2GiB" in told[3]
    assert len(told) == 4


def test_marks_are_not_said_to_be_out_of_order_where_one_cannot_be_read(tmp_path: Path) -> None:
    """The default that stands in for it was never meant."""
    file = tmp_path / "a.yaml"
    file.write_text("memory:\n  thresholds: {low: 85%, warning: 0.9}\n")
    told = membudget("config", "check", str(file)).stderr.splitlines()
    assert len(told) == 1
    assert 'write a share as "90%"' in told[0]


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        (
            "thresholds: {warning: 900TiB, critical: 901TiB}",
            "thresholds are out of order for a limit",
        ),
        ("limit: 1MiB", "the limit of 1.00 MiB (configured) is below what is held already"),
    ],
)
def test_what_cannot_be_kept_on_this_machine_is_told(
    tmp_path: Path, setting: str, why: str
) -> None:
    """A start would go on without it, and say so; a check is where it can still be mended."""
    file = tmp_path / "a.yaml"
    file.write_text(f"memory:\n  {setting}\n")
    result = membudget("config", "check", str(file))
    assert result.returncode == 64
    assert result.stderr.startswith(f"{file}: {why}")
    assert len(result.stderr.splitlines()) == 1


def test_no_file_to_check_is_told_in_one_line() -> None:
    for result in (
        membudget("config", "check"),
        membudget("config", "check", "nowhere.yaml"),
        membudget("config", "explain", "--config", "nowhere.yaml"),
        membudget("config", "explain", "limi"),
        membudget("config", "explain", "limit", "limi"),
    ):
        assert (result.returncode, result.stdout) == (64, "")
        assert result.stderr.count("\n") == 1


def test_explain_shows_each_value_and_where_it_came_from(tmp_path: Path) -> None:
    """In aligned columns, in the form in which a file would say it."""
    file = tmp_path / "membudget.yaml"
    file.write_text("memory:\n  limit: 1024MiB\n")
    environment = {"MEMBUDGET_CLEANUP_SETTLE": "90s", "MEMBUDGET_CONFIG": str(file)}
    result = membudget("config", "explain", environment=environment)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(SETTINGS)
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in lines}
    assert rows["limit"] == ["1GiB", f"file {file}:2"]
    assert rows["cleanup.settle"] == ["90s", "environment MEMBUDGET_CLEANUP_SETTLE"]
    assert rows["thresholds.low"] == ["70%", "default"]
    assert len({line.index(line.split(maxsplit=2)[2]) for line in lines}) == 1


def test_explain_shows_one_setting_or_a_section() -> None:
    """One comes with its meaning and its variable."""
    one = membudget("config", "explain", "brake").stdout.splitlines()
    assert one[0].split() == ["brake", "false", "default"]
    assert "MEMBUDGET_BRAKE" in one[1]
    section = membudget("config", "explain", "thresholds.rss").stdout.splitlines()
    assert [line.split()[0].rpartition(".")[2] for line in section] == [
        "warning",
        "critical",
        "emergency",
    ]
    told = json.loads(membudget("config", "explain", "caches", "--json").stdout)
    assert told["caches.adopt"]["value"] == []
    assert told["caches.adopt"]["origin"] == "default"


def test_explain_takes_any_number_of_keys() -> None:
    """Each once, in the order given; each one's own line of meaning says whose it is."""
    keys = ("thresholds.warning", "limit", "thresholds.rss", "thresholds.warning")
    lines = membudget("config", "explain", *keys[:3]).stdout.splitlines()
    names = [line.split()[0] for line in lines]
    rss = [f"thresholds.rss.{mark}" for mark in ("warning", "critical", "emergency")]
    assert names == ["thresholds.warning", "limit", *rss, "thresholds.warning:", "limit:"]
    assert lines[-1].endswith("MEMBUDGET_LIMIT")
    told = json.loads(membudget("config", "explain", *keys, "--json").stdout)
    assert list(told) == ["thresholds.warning", "limit", *rss]


def test_the_schema_is_printed_as_json() -> None:
    for options in ((), ("--json",)):
        assert json.loads(membudget("config", "schema", *options).stdout) == schema()


def test_to_explain_nothing_is_loaded_that_keeps_a_budget() -> None:
    """A look at the settings takes no longer for what a start would load."""
    result = membudget("config", "explain", environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.returncode == 0
    assert "membudget.settings.table" in result.stderr
    assert "membudget.budget.plugins" not in result.stderr


def test_a_foreign_file_is_converted_and_what_comes_out_is_good(tmp_path: Path) -> None:
    """To standard output or a new file; 0 where all has a place here, 1 where some has not."""
    theirs, ours = tmp_path / "monitor.json", tmp_path / "ours.yaml"
    theirs.write_text('{"monitoring": {"snapshot_interval_ms": 5000}, "max_memory_mb": 4096}')
    result = membudget("config", "convert", str(theirs), "--out", str(ours))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert membudget("config", "check", str(ours)).stdout == f"{ours}: 2 settings, all good\n"
    theirs.write_text('{"max_memory_mb": 4096, "alerts": {"cooldown_ms": 60000}}')
    result = membudget("config", "convert", str(theirs))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("no equivalent: alerts.cooldown_ms: 60000 -- a sink decides")
    assert "limit: 4GiB  # max_memory_mb: 4096\n" in result.stdout


def test_what_cannot_be_converted_is_an_error_and_nothing_is_overwritten(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "monitor.json", tmp_path / "ours.yaml"
    ours.write_text("precious")
    theirs.write_text("{}")
    for given, why in (
        ((str(theirs), "--out", str(ours)), "is there already"),
        ((str(theirs), "--out", str(tmp_path / "ours.json")), "name it .yaml"),
        ((str(tmp_path / "none.yaml"),), "there is no such file"),
    ):
        result = membudget("config", "convert", *given)
        assert (result.returncode, result.stdout) == (64, "")
        assert why in result.stderr
    assert ours.read_text() == "precious"
