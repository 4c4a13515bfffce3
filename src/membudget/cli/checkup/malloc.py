"""The allocator under Python, and the variables that change its ways."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from membudget.cli.checkup.finding import Finding, note, ok, warning
from membudget.probes.allocator import allocator
from membudget.probes.kernel_files import read_whole
from membudget.reclaimers.allocators import UNREACHABLE
from membudget.units import KIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from membudget.cli.checkup.surroundings import Surroundings

SUBJECT = "allocator"

_ASKED = ("jemalloc", "tcmalloc")
"""Replacements of malloc that give back when asked; mimalloc 2.0 was seen to keep it then, too."""

_ARENAS_PER_CORE = 8
_FIXED = 128 * KIB
"""Where glibc's thresholds start, and stay once one of them is set (mallopt(3))."""

_TUNABLES = {
    "MALLOC_ARENA_MAX": "glibc.malloc.arena_max",
    "MALLOC_TRIM_THRESHOLD_": "glibc.malloc.trim_threshold",
    "MALLOC_MMAP_THRESHOLD_": "glibc.malloc.mmap_threshold",
    "MALLOC_TOP_PAD_": "glibc.malloc.top_pad",
    "MALLOC_MMAP_MAX_": "glibc.malloc.mmap_max",
}
_ADJUSTING = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_",
              "MALLOC_MMAP_MAX_")  # fmt: skip


def check_allocator(around: Surroundings) -> Iterator[Finding]:
    """Who hands out memory, and whether it gives it back.

    Raises:
        ProbeError: The process's mappings cannot be read.
    """
    maps = f"{around.root}{around.folder}/maps"
    found = allocator(maps, around.environ)
    is_musl = b"/ld-musl" in (
        read_whole(maps, takes_long=True) or b""
    )  # What it found is this process's own.
    name = "musl" if is_musl and found.name == "glibc" else found.name
    if name == "glibc":
        yield ok(SUBJECT, f"glibc {found.version or ''}: gives free pages back when asked")
        yield from check_arenas(around.environ, _cores(around.pid))
        yield from check_thresholds(around.environ)
    elif name in _ASKED:
        yield ok(SUBJECT, f"{name}: gives free pages back when asked")
    else:
        yield note(
            SUBJECT,
            f"{name}: gives memory back in its own time; what is freed may count as used for long",
        )
    yield from check_libraries(read_whole(maps, takes_long=True) or b"")
    yield from check_python(around.environ)
    yield from check_preloads(around)


def check_arenas(environ: Mapping[str, str], cores: int) -> Iterator[Finding]:
    """How many arenas threads may spread over."""
    value = _asked(environ).get("MALLOC_ARENA_MAX")
    if value is not None:
        yield ok(SUBJECT, f"at most {value} arenas (MALLOC_ARENA_MAX)")
    else:
        yield note(
            SUBJECT,
            f"up to {_ARENAS_PER_CORE * cores} arenas ({_ARENAS_PER_CORE} a core): many threads "
            "that allocate in turns leave free memory behind in each",
            "with thread pools, membudget run --malloc (MALLOC_ARENA_MAX=2)",
        )


def check_thresholds(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether glibc still adjusts from which size on it maps and unmaps.

    Setting one threshold fixes all of them. Below both, arrays are mapped and cleared anew each
    time: 66 µs instead of 0.5 µs for 160 KB; with both above the arrays' size nothing changed.
    """
    asked = _asked(environ)
    given = [name for name in _ADJUSTING if name in asked]
    if not given:
        return
    pairs = ", ".join(f"{name}={asked[name]}" for name in given)
    smallest = min(asked.get(name, _FIXED) for name in _ADJUSTING[:2])
    if smallest <= _FIXED:
        yield warning(
            SUBJECT,
            f"{pairs} ends glibc's own adjusting: large arrays are up to "
            "130 times slower to allocate",
            f"unset {' and '.join(given)}: a budget trims when it is needed",
        )
    else:
        yield note(SUBJECT, f"{pairs}: glibc no longer adjusts its thresholds")


def check_libraries(mapped: bytes) -> Iterator[Finding]:
    """Which libraries hand out memory by themselves, and whether they can be asked for it.

    Args:
        mapped: The list of the process's mappings.
    """
    if b"/libarrow.so" in mapped:
        yield ok(SUBJECT, "pyarrow's pools: give free memory back when asked")
    for name, why in UNREACHABLE.items():
        if f"/_{name}".encode() in mapped:
            yield note(SUBJECT, f"{name}: {why}; what it freed may count as used for long")


def check_python(environ: Mapping[str, str]) -> Iterator[Finding]:
    """What Python itself is told about allocating."""
    asked = environ.get("PYTHONMALLOC")
    if asked == "debug" or (asked or "").endswith("_debug") or environ.get("PYTHONDEVMODE"):
        yield warning(
            SUBJECT,
            "Python's allocator runs with debug checks: more memory and time for each object",
            "unset PYTHONMALLOC and PYTHONDEVMODE outside development",
        )
    elif asked in {"malloc", "mimalloc"}:
        yield note(
            SUBJECT, f"PYTHONMALLOC={asked}: small objects are {asked}'s, and fill more slowly"
        )
    if environ.get("PYTHONTRACEMALLOC", "0") != "0":
        yield warning(
            SUBJECT,
            "PYTHONTRACEMALLOC is set: each allocation is written down, and takes several times "
            "as long",
            "unset it; trace for some seconds when a leak is suspected",
        )
    for name in _ADJUSTING:
        if (short := name.rstrip("_")) in environ:
            yield warning(
                SUBJECT, f"{short} does nothing: the name ends with _", f"unset it; see {name}"
            )


def check_preloads(around: Surroundings) -> Iterator[Finding]:
    """What is loaded into every program before it begins."""
    for path in re.split(r"[ :]+", around.environ.get("LD_PRELOAD", "")):
        if not path:
            continue
        if path.startswith("/") and around.pid is None and not os.path.exists(path):
            yield warning(SUBJECT, f"LD_PRELOAD names {path}, which is not there", "correct it")
        else:
            yield ok(SUBJECT, f"LD_PRELOAD loads {path} first")


def _asked(environ: Mapping[str, str]) -> dict[str, int]:
    """What is asked of glibc, by the variables' names; the tunables come first."""
    tunables = dict(
        pair.partition("=")[::2] for pair in environ.get("GLIBC_TUNABLES", "").split(":")
    )
    texts = {name: tunables.get(own) or environ.get(name) for name, own in _TUNABLES.items()}
    # glibc reads as far as there are digits: 64k is 64.
    read = {name: re.match(r"0[xX][0-9a-fA-F]+|\d+", text or "") for name, text in texts.items()}
    return {name: int(match[0], 0 if "x" in match[0].lower() else 10)
            for name, match in read.items() if match}  # fmt: skip


def _cores(pid: int | None) -> int:
    try:
        return len(os.sched_getaffinity(pid or 0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1
