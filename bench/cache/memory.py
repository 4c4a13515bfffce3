"""Resident memory of this process, as the kernel counts it."""

from __future__ import annotations

import ctypes
import gc
import os

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE


def settled() -> int:
    """The same, once garbage is collected and what the allocator holds free is given back."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # Not everywhere.
    if trim is not None:
        trim(0)
    return resident()
