"""The allocator under Python: which one it is, what it holds free, and how to make it give back."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from functools import cache

from membudget._native import core
from membudget.core import OWN, Record
from membudget.probes.kernel_files import read_whole
from membudget.units import human_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from ctypes import CDLL
    from typing import Any

    from membudget.core import Purgeable, Reading

_REPLACEMENTS = ("jemalloc", "tcmalloc", "mimalloc")
_PURGES = ("mallctl", "mi_collect", "MallocExtension_ReleaseFreeMemory")
_MALLINFO_FIELDS = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
    "keepcost",
)  # fmt: skip


class Allocator(Record):
    """Who hands out memory here, glibc's version, and what PYTHONMALLOC asks for, if anything."""

    name: str
    version: str | None
    python: str | None


class Mallinfo(Record):
    """What glibc holds, in bytes."""

    in_use: int  # Handed out and not yet freed, blocks with a mapping of their own included.
    free: int  # Freed and kept for later; trimming does not lower it, though the pages go.
    took: float  # Seconds: every free block is walked, 56 ms with 126,000. Ask seldom once slow.


def allocator(maps: str = "/proc/self/maps", environ: Mapping[str, str] | None = None) -> Allocator:
    """The allocator of this process. Cost: 0.1 to 1 ms, by the number of its mappings.

    A replacement ("jemalloc", "tcmalloc", "mimalloc") counts when a library of its name is mapped,
    which a preload does. A ProbeError where the list of mappings is there and cannot be read.
    """
    mapped = os.fsdecode(read_whole(maps, takes_long=True) or b"")
    version = glibc_version()
    name = next((name for name in _REPLACEMENTS if f"/lib{name}" in mapped), None)
    if name is None:
        name = "glibc" if version else "musl" if "/ld-musl" in mapped else "other"
    asked = (os.environ if environ is None else environ).get("PYTHONMALLOC")
    return Allocator(
        name=name,
        version=version if name == "glibc" else None,
        python=None if sys.flags.ignore_environment else asked or None,
    )


def mallinfo() -> Mallinfo | None:
    """What glibc holds now, or None where its mallinfo2 is missing (before 2.33, or not glibc).

    Any thread; holds the arenas' locks one after the other. Cost: 1 µs and more, see `took`.
    """
    began = time.monotonic()
    if core is not None and hasattr(core, "mallinfo"):
        sizes = core.mallinfo()
    else:
        ask = getattr(libc(), "mallinfo2", None)
        found = ask() if ask is not None else None
        sizes = found and (found.uordblks + found.hblkhd, found.fordblks)
    if sizes is None:
        return None
    return Mallinfo(in_use=sizes[0], free=sizes[1], took=time.monotonic() - began)


def in_use() -> int | None:
    """Bytes that glibc has handed out, or None where it does not tell; as `mallinfo`."""
    heap = mallinfo()
    return None if heap is None else heap.in_use


def trim() -> bool:
    """Make glibc and Python give free pages back to the kernel; whether any went.

    Any thread. Others that allocate wait meanwhile: 55 to 120 ms for each GB to go. Of Python's
    own allocator that is what it took since `purgeable` was asked first.
    """
    if core is not None:
        pools = core.pools_trim()
        return bool(core.trim()) or pools > 0
    give_back = getattr(libc(), "malloc_trim", None)
    return bool(give_back(0)) if give_back is not None else False


def purgeable() -> list[Purgeable]:
    """Who can be asked to give back: the C library's malloc first, then what stands in for it.

    The latter is found by the symbols that a preload brings. Any thread may ask; others that
    allocate may wait meanwhile.
    """

    def malloc_free() -> int | None:
        pools = core.pools_free() if core is not None else 0
        if (heap := mallinfo()) is not None:
            return heap.free + pools
        return None if glibc_version() is not None else pools

    if core is not None:
        core.pools_watch()

    found: list[Purgeable] = [("malloc trim", trim, malloc_free)]
    if core is not None and hasattr(core, "has_symbol") and not any(map(core.has_symbol, _PURGES)):
        return found  # Without ctypes, which takes 2 ms and 0.5 MB.
    library = libc()
    if (control := getattr(library, "mallctl", None)) is not None:
        found.append(_jemalloc(control))
    if (collect := getattr(library, "mi_collect", None)) is not None:
        found.append(("mimalloc", lambda: collect(1), lambda: None))
    if (release := getattr(library, "MallocExtension_ReleaseFreeMemory", None)) is not None:
        found.append(("tcmalloc", release, lambda: None))
    return found


def _jemalloc(control: Any) -> Purgeable:
    """Jemalloc 5, whose number 4096 means all arenas. What it holds free is exact; 0.14 ms."""
    import ctypes  # libc() has

    pointer = ctypes.c_void_p
    control.argtypes = [ctypes.c_char_p, pointer, pointer, pointer, ctypes.c_size_t]
    value, size = ctypes.c_size_t(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_size_t))
    new = ctypes.c_uint64(1)

    def read(name: bytes) -> int:
        wrong = control(name, ctypes.byref(value), ctypes.byref(size), None, 0)
        return 0 if wrong else value.value

    def free() -> int | None:
        # Counts are those of the last time that the epoch was moved on.
        control(b"epoch", None, None, ctypes.byref(new), ctypes.sizeof(new))
        pages = read(b"stats.arenas.4096.pdirty") + read(b"stats.arenas.4096.pmuzzy")
        return pages * read(b"arenas.page")

    def release() -> object:
        return control(b"arena.4096.purge", None, None, None, 0)

    return "jemalloc", release, free


@cache
def libc() -> CDLL | None:
    """The C library, loaded with ctypes at the first call in 10 ms; None on Windows, or without."""
    try:
        import ctypes  # 10 ms that a start must not pay
    except ImportError:
        return None
    if os.name == "nt":
        return None
    library = ctypes.CDLL(None)
    if hasattr(library, "mallinfo2"):
        fields = [(field, ctypes.c_size_t) for field in _MALLINFO_FIELDS]
        library.mallinfo2.restype = type("mallinfo2", (ctypes.Structure,), {"_fields_": fields})
    if hasattr(library, "malloc_trim"):
        library.malloc_trim.argtypes = [ctypes.c_size_t]
    return library


@cache
def load_unwinder() -> None:
    """Have the library loaded by which glibc ends a thread amid its work; once, in 0.2 ms.

    glibc aborts the process where it finds no address space for its 84 KiB by then.
    """
    if glibc_version() is not None and (library := libc()) is not None:
        with suppress(OSError):
            type(library)("libgcc_s.so.1")


def glibc_version() -> str | None:
    """The version of the C library where that is glibc, such as "2.36"; else None."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):
        # Not POSIX, a name this C library does not know, or a value it does not have.
        return None
    name, _, version = (text or "").partition(" ")
    return version if name == "glibc" else None


_BLOCK = 128  # Bytes of one of Python's small blocks at most, on the average: they hold 16 to 512.
_MUCH = 1 / 4  # Share of what is used from which on a place is named.


def where_held(reading: Reading) -> str:
    """Who holds what is used and no holder counts, in words, as far as the process can tell.

    Where that is this process, one `mallinfo2`: up to 50 ms in a fragmented heap, so ask seldom.
    """
    used, others, parts = reading.used, reading.elsewhere, reading.parts
    if others > used / 2:
        what = human_bytes(others)
        if "available" in parts and used != parts.get("cgroup"):
            return f"{what} are held by other programs on this machine"
        files = parts.get("cgroup_shmem", 0) - parts.get("shmem", 0)
        if files > others / 2:
            return (
                f"{human_bytes(files)} are files in /dev/shm or another tmpfs, or shared memory, "
                "of this memory group"
            )
        return f"{what} are held by other processes of this memory group"
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
    return "the program itself holds it, outside membudget's caches"
