"""The compiled core, where there is one: a wheel has it, a source tree without a compiler has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

try:
    from membudget._native import _core
except ImportError:
    core: ModuleType | None = None
else:
    core = _core
