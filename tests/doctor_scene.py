"""Surroundings for the doctor in trees of files."""

from pathlib import Path

from membudget.cli.checkup import Surroundings
from membudget.errors import ConfigError
from membudget.settings import resolve

LAYOUTS = Path(__file__).parent / "fixtures" / "cgroups"


def around(root: Path, **environ: str) -> Surroundings:
    """The surroundings in a tree of files."""
    error = None
    try:
        settings = resolve({}, environ)
    except ConfigError as caught:
        settings, error = resolve({}, {}), caught
    return Surroundings(pid=None, root=str(root), environ=environ, settings=settings, error=error)


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
