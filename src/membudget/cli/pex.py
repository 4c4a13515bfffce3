"""pex files: Python programs that shut out whatever is not in them, and what they let in.

One that is run with PYTHONPATH set starts itself anew with -I, unless PEX_INHERIT_PATH says that
what is installed beside it may be found, last of all. One that makes a virtual environment of
itself (--venv) runs there with -I in any case, and its own start adds PEX_EXTRA_SYS_PATH. Source:
pex 2, `pex --help-variables`, pex/pex_boot.py and the PEX_EXTRA_SYS_PATH.pth of its environments.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from membudget.core import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

_INFO = "PEX-INFO"
_TAIL = 1 << 16
_ZIP_ENDS = b"PK\5\6"
INHERIT, EXTRA = "PEX_INHERIT_PATH", "PEX_EXTRA_SYS_PATH"


class Pex(Record):
    """One pex file, or one that lies unpacked.

    Attributes:
        is_venv: Whether it runs in a virtual environment that it makes.
    """

    is_venv: bool

    def variables(self, shim: str, environ: Mapping[str, str]) -> dict[str, str]:
        """What lets the start in a folder in; what somebody has set holds."""
        if not self.is_venv and environ.get("PEX_VENV", "").lower() not in {"1", "true"}:
            return {} if INHERIT in environ else {INHERIT: "fallback"}
        return {EXTRA: os.pathsep.join([*filter(None, [environ.get(EXTRA)]), shim])}


def pex_of(path: str | None) -> Pex | None:
    """What kind of pex lies at a path, or None for anything else."""
    if not path:
        return None
    try:
        info = _info(path)
        if info is None:
            return None
        import json  # only for those that are one

        told = json.loads(info)
    except (OSError, ValueError, KeyError):
        return None
    return Pex(is_venv=bool(told.get("venv"))) if isinstance(told, dict) else None


def _info(path: str) -> str | None:
    folder, name = os.path.split(os.path.abspath(path))
    if os.path.isdir(path) or name in {"pex", "__main__.py"}:
        unpacked = os.path.join(path if os.path.isdir(path) else folder, _INFO)
        with open(unpacked, encoding="utf-8") as file:
            return file.read()
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _TAIL))
        if _ZIP_ENDS not in file.read():
            return None
    from zipfile import BadZipFile, ZipFile  # only for those that are one

    try:
        with ZipFile(path) as archive:
            return archive.read(_INFO).decode()
    except BadZipFile:
        return None
