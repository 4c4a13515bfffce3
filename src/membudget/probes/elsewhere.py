"""Where memory lies that no holder counts, in words: for what shrinking does not lower."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from membudget.core import OWN
from membudget.probes.allocator import mallinfo
from membudget.units import human_bytes

if TYPE_CHECKING:
    from membudget.core import Reading

_BLOCK = 128
"""Bytes that one of Python's small blocks takes at most on the average; they hold 16 to 512."""

_MUCH = 1 / 4
"""Share of what is used from which on a place is named."""


def where_held(reading: Reading) -> str:
    """Who holds what is used, in words, as far as the process can tell.

    Cost: 2 µs where others hold it, else one `mallinfo2`: up to 50 ms in a fragmented heap, so ask
    seldom.
    """
    used, others, parts = reading.used, reading.elsewhere, reading.parts
    if others > used / 2:
        return _others(others, parts.get("cgroup_shmem", 0) - parts.get("shmem", 0), reading)
    heap, own = mallinfo(), parts.get(OWN)
    if heap is not None and own is not None:
        outside = own - heap.in_use - heap.free - sys.getallocatedblocks() * _BLOCK
        if outside > used * _MUCH:
            return (
                f"{human_bytes(outside)} are held outside Python's and malloc's view (a library's "
                "own allocator, mapped memory)"
            )
        if heap.free > used * _MUCH:
            return f"{human_bytes(heap.free)} lie free in malloc between blocks that are in use"
    return "the program itself holds it, where no cache of membudget's counts it"


def _others(others: int, files: int, reading: Reading) -> str:
    if "available" in reading.parts and reading.used != reading.parts.get("cgroup"):
        return f"{human_bytes(others)} are held by other programs on this machine"
    if files > others / 2:
        return (
            f"{human_bytes(files)} are files in /dev/shm or another tmpfs, or shared memory, of "
            "the memory group"
        )
    return f"{human_bytes(others)} are held by other processes of the memory group"
