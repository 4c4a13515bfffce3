"""The compiled core, where there is one: a wheel has it, a tree without a compiler has not.

MEMBUDGET_PURE=1 asks to do without: see `cache.fallback` and `sizing.fallback`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

core: ModuleType | None = None
if os.environ.get("MEMBUDGET_PURE") != "1":
    try:
        import membudget._native._core as core
    except ImportError:  # It could not be built here.
        core = None
