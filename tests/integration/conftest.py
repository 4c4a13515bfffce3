"""Folders with a short path, for the sockets that programs make there."""

from __future__ import annotations

from unit.host.conftest import tmp_path

__all__ = ["tmp_path"]
