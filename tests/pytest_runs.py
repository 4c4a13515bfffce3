"""Real pytest processes on projects made for the occasion."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from commands import ended

IS_INSTALLED = any(one.name == "membudget" for one in entry_points(group="pytest11"))

_HEAD = """
import asyncio, logging, os, unittest, warnings
import pytest
kept = []
"""


class Outcome:
    """What a pytest run printed and how it ended."""

    def __init__(self, end: subprocess.CompletedProcess[str]) -> None:
        self.code = end.returncode
        self.text = end.stdout + end.stderr

    def counts(self, **expected: int) -> bool:
        """Whether the last line tells these outcomes and no failure besides."""
        last = next(line for line in reversed(self.text.splitlines()) if " in " in line)
        told = all(f"{count} {name}" in last for name, count in expected.items())
        return told and ("failed" in expected or "failed" not in last) and "error" not in last


class Runner:
    """A project of its own with one test file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pytest.ini").write_text(
            "[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n"
        )

    def __call__(self, text: str, *options: str) -> Outcome:
        (self.folder / "test_it.py").write_text(_HEAD + text)
        load = () if IS_INSTALLED else ("-p", "membudget.testing.plugin")
        return Outcome(
            ended(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *load, *options],
                {"PYTEST_ADDOPTS": "", "COLUMNS": "120"},
                cwd=self.folder,
            )
        )
