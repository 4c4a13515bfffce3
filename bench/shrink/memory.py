"""Resident memory of this process, as the kernel counts it."""

from __future__ import annotations

import ctypes
import gc
import os

_PAGE = os.sysconf("SC_PAGE_SIZE")
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # Not everywhere.


def resident() -> int:
    """Bytes in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE


def trim() -> None:
    """Have the C allocator give back what it holds free."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def settled() -> int:
    """Bytes in memory, once garbage is collected and the allocator has been trimmed."""
    gc.collect()
    trim()
    return resident()
