"""Short folders: a socket's path has 107 bytes at most, and pytest's own folders take most."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder of the test's own, with a short path."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/tmp") as path:
        yield Path(path)
