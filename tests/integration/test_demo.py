"""`membudget demo`: the main job, as a newcomer meets it."""

import json

from commands import membudget


def test_the_demo_keeps_its_worker_inside_the_limit() -> None:
    """A line a second, a summary, and an exit code that says whether it was kept."""
    result = membudget("demo", "--for", "3s", "--limit", "100MiB")
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert any("without a budget: over the limit" in line for line in lines)
    assert sum(" entries " in line for line in lines) >= 3
    assert lines[-1].startswith("with a budget: kept; peak ")


def test_the_demo_speaks_json_for_scripts() -> None:
    """Every line is an object, the last one the summary."""
    result = membudget("demo", "--for", "2s", "--limit", "100MiB", "--json")
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    summary = objects[-1]["summary"]
    assert summary["kept"]
    assert summary["twin"]["reached_limit"]
    assert summary["peak"] <= 100 << 20


def test_a_limit_too_small_for_the_demo_is_refused_in_one_line() -> None:
    """No worker is started."""
    result = membudget("demo", "--limit", "10MiB")
    assert result.returncode == 64
    assert result.stderr.count("\n") == 1
