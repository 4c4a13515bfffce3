"""Leak checks in tests: which of nine leaks are found, and which of ten healthy functions fail.

    uv run --group bench python bench/pytest-leaks [--runs 6] [--quick] [--json]

membudget's plugin and pytest-memray's `limit_leaks` run in real pytest processes; the simple rules
in a process of their own, the functions in another order each time. pytest-memray is fetched by
`uv run --group bench --with pytest-memray`; without it, its rows are missing and that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from functions import HEALTHY, LEAKY

_HERE = Path(__file__).resolve().parent
_PLUGIN = """
import pytest
from functions import HEALTHY, LEAKY

@pytest.mark.parametrize("name", [*LEAKY, *HEALTHY])
def test(name, leak_check):
    leak_check((LEAKY.get(name) or HEALTHY[name])())
"""
_MARKER = """
import pytest
from functions import HEALTHY, LEAKY

@pytest.fixture(params=[*LEAKY, *HEALTHY])
def call(request):
    return (LEAKY.get(request.param) or HEALTHY[request.param])()

@pytest.mark.no_leak
def test(call):
    call()
"""
_MEMRAY = """
import gc
import pytest
from functions import HEALTHY, LEAKY

@pytest.fixture(params=[*LEAKY, *HEALTHY])
def call(request):
    made = (LEAKY.get(request.param) or HEALTHY[request.param])()
    for _ in range(100):
        made()
    gc.collect()
    return made

@pytest.mark.limit_leaks("{limit}")
def test(call):
    for _ in range(1200):
        call()
    gc.collect()
"""
_LIMITS = ("1 KB", "10 KB")


def main() -> int:
    """Print the table; 1 where the plugin missed a leak or failed a healthy function."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="two runs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    runs = 2 if arguments.quick else arguments.runs
    said: dict[str, Counter[str]] = {}
    took: Counter[str] = Counter()
    for seed in range(runs):
        for rule, (names, seconds) in _one_run(seed).items():
            said.setdefault(rule, Counter()).update(names)
            took[rule] += seconds
    rows = {rule: _row(counts, runs, took[rule] / runs) for rule, counts in said.items()}
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        _print(rows, runs)
    ours = [row for rule, row in rows.items() if rule.startswith("membudget")]
    return 0 if all(not row["missed"] and not row["failed"] for row in ours) else 1


def _one_run(seed: int) -> dict[str, tuple[list[str], float]]:
    """What each rule said to leak, and the seconds its whole run took."""
    found: dict[str, tuple[list[str], float]] = {
        "membudget, leak_check": _timed(_PLUGIN),
        "membudget, @no_leak": _timed(_MARKER),
    }
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    began = time.monotonic()
    end = subprocess.run(
        [sys.executable, str(_HERE / "simple.py"), str(seed)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    each = (time.monotonic() - began) / 6
    found.update({rule: (names, each) for rule, names in json.loads(end.stdout).items()})
    for limit in _LIMITS:
        try:
            found[f"pytest-memray, limit_leaks {limit}"] = _timed(
                _MEMRAY.format(limit=limit), is_memray=True
            )
        except (OSError, subprocess.CalledProcessError, ET.ParseError) as error:
            print(f"pytest-memray could not be run: {error}", file=sys.stderr)
    return found


def _timed(text: str, *, is_memray: bool = False) -> tuple[list[str], float]:
    began = time.monotonic()
    names = _failed(text, is_memray=is_memray)
    return names, time.monotonic() - began


def _failed(text: str, *, is_memray: bool) -> list[str]:
    """Run a test file and return the functions whose tests failed."""
    runner = [sys.executable, "-m", "pytest"]
    if is_memray:
        runner = ["uv", "run", "--no-project", "--python", sys.executable]
        runner += ["--with", "pytest-memray", "--with", "pytest", "python", "-m", "pytest"]
        runner += ["--memray"]
    with tempfile.TemporaryDirectory() as folder:
        test, report = Path(folder, "test_it.py"), Path(folder, "report.xml")
        test.write_text(text)
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        end = subprocess.run(
            [*runner, "-q", "-p", "no:cacheprovider", f"--junitxml={report}", str(test)],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(_HERE)},
        )
        if end.returncode not in {0, 1}:
            raise OSError((end.stdout + end.stderr)[-500:])
        cases = ET.parse(report).iter("testcase")  # noqa: S314  # our own file
        failed = [case for case in cases if case.find("failure") is not None]
        return [case.attrib["name"].partition("[")[2].removesuffix("]") for case in failed]


def _row(counts: Counter[str], runs: int, seconds: float) -> dict[str, object]:
    return {
        "found": sum(counts[name] for name in LEAKY),
        "of_leaks": runs * len(LEAKY),
        "false": sum(counts[name] for name in HEALTHY),
        "of_healthy": runs * len(HEALTHY),
        "missed": {name: runs - counts[name] for name in LEAKY if counts[name] < runs},
        "failed": {name: counts[name] for name in HEALTHY if counts[name]},
        "seconds": round(seconds, 1),
    }


def _print(rows: dict[str, dict[str, object]], runs: int) -> None:
    print(f"{len(LEAKY)} leaks and {len(HEALTHY)} healthy functions, {runs} runs\n")
    print("| rule | found | false failures | seconds a run | missed | failed though healthy |")
    print("| --- | --- | --- | --- | --- | --- |")
    for rule, row in rows.items():
        missed, failed = row["missed"], row["failed"]
        told = [
            ", ".join(f"{name} {count}x" for name, count in one.items()) or "-"
            for one in (missed, failed)
            if isinstance(one, dict)
        ]
        print(
            f"| {rule} | {row['found']} of {row['of_leaks']} | {row['false']} of "
            f"{row['of_healthy']} | {row['seconds']} | {told[0]} | {told[1]} |"
        )


if __name__ == "__main__":
    sys.exit(main())
