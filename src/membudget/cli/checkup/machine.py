"""What the machine and the interpreter do about memory: swap, stalls, promises, pages, malloc."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from membudget._native import core
from membudget.cli.checkup import Finding, note, ok, warning
from membudget.probes.allocator import allocator
from membudget.probes.kernel_files import read_whole
from membudget.probes.process import PRESSURE, stalled_share
from membudget.reclaimers.allocators import UNREACHABLE
from membudget.units import KIB, human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from membudget.cli.checkup import Surroundings

_STALLED = 0.10  # Share of a minute waited for memory that is told; systemd-oomd kills at 60 %.
_PROMISED = 0.90
_NEVER_REFUSES, _STRICT = "1", "2"
_ASKED = ("jemalloc", "tcmalloc")  # They give back when asked; mimalloc 2.0 was seen to keep it.
_ARENAS_PER_CORE = 8
_FIXED = 128 * KIB  # Where glibc's thresholds start, and stay once one of them is set (mallopt(3)).
_ARENAS = "MALLOC_ARENA_MAX"
_ADJUSTING = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_",
              "MALLOC_MMAP_MAX_")  # fmt: skip
"""What ends glibc's adjusting; the first two are the thresholds."""


def check_swap(around: Surroundings) -> Iterator[Finding]:
    """Whether memory can be moved out, and so out of sight."""
    total = around.meminfo("SwapTotal")
    if total is None:
        yield note("this system does not tell")
        return
    if not total:
        yield ok("none: nothing hides pressure, and what does not fit is killed at once")
        return
    size = human_bytes(total)
    for group in around.groups():
        folder = group.folder.removeprefix(around.root)
        both = around.read(f"{folder}/memory.memsw.limit_in_bytes")  # v1 has one limit for both.
        if around.read(f"{folder}/memory.swap.max") == "0" or both == str(group.limit()):
            yield ok(f"{size}, which this group may not use")
            return
    out = around.process().parts.get("swap", 0) if around.pid is not None else 0
    gone = f", {human_bytes(out)} of this process is there" if out else ""
    zswap = around.read("/sys/module/zswap/parameters/enabled") == "Y"
    compressed = "; zswap packs pages before that" if zswap else ""
    yield note(
        f"{size}{gone}: what is swapped out counts as used, and a process gets slow before it is "
        f"killed{compressed}",
        "forbid it to the group: memory.swap.max 0, MemorySwapMax=0 (systemd), --memory-swap equal "
        "to --memory (Docker)",
    )


def check_stalls(around: Surroundings) -> Iterator[Finding]:
    """Whether the kernel tells how long tasks wait for memory, and wakes those who ask."""
    own = [group for group in around.groups()[:1] if group.version != 1]
    paths = [*(f"{group.folder}/memory.pressure" for group in own), f"{around.root}{PRESSURE}"]
    told = [(path, share) for path in paths if (share := stalled_share(path)) is not None]
    if told:
        path, share = told[0]
        found = f"stalls are told by {path}: {share:.0%} of the last minute"
        if share >= _STALLED:
            yield warning(found, "memory is short there: see who holds it")
        else:
            yield ok(found)
    else:
        yield note(
            "the kernel tells of no stalls (PSI): no wake-ups by it, none in reports; the budget "
            "is kept without",
            "where you want them, boot with psi=1",
        )
    watch = around.environ.get("MEMORY_PRESSURE_WATCH")
    if watch == "/dev/null":
        yield note("the service manager switched its wake-ups off (/dev/null)")
    elif watch is not None:
        yield ok(f"the service manager wakes us by {watch} (MEMORY_PRESSURE_WATCH)")
    else:
        yield ok("no MEMORY_PRESSURE_WATCH by systemd; it is not needed")


def check_promises(around: Surroundings) -> Iterator[Finding]:
    """Whether the kernel promises more memory than it has."""
    text = around.read("/proc/sys/vm/overcommit_memory")
    if text is None:
        return
    if text == _NEVER_REFUSES:
        yield note(
            "vm.overcommit_memory 1: nothing is ever refused, so no MemoryError comes before the "
            "kill",
            "--brake has memory refused in time",
        )
    elif text == _STRICT:
        limit, promised = around.meminfo("CommitLimit") or 0, around.meminfo("Committed_AS") or 0
        found = (
            f"vm.overcommit_memory 2: {human_bytes(promised)} of {human_bytes(limit)} is promised "
            f"(overcommit_ratio {around.read('/proc/sys/vm/overcommit_ratio')})"
        )
        if promised >= _PROMISED * limit:
            yield warning(
                f"{found}: forks and big requests are about to fail",
                "raise vm.overcommit_ratio, or set vm.overcommit_memory to 0",
            )
        else:
            yield note(f"{found}; the fork of a large process may be refused")
    else:
        yield ok("vm.overcommit_memory 0: only what is obviously too much is refused")


def check_huge_pages(around: Surroundings) -> Iterator[Finding]:
    """Whether small needs are met with 2 MiB pages."""
    text = around.read("/sys/kernel/mm/transparent_hugepage/enabled")
    if text is None:
        return
    if (chosen := text.partition("[")[2].partition("]")[0]) == "always":
        yield note(
            "transparent huge pages: always; a page of 2 MiB stays resident for one object in it, "
            "so less comes back after a cleanup",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        )
    else:
        yield ok(f"transparent huge pages: {chosen}")


def check_allocator(around: Surroundings) -> Iterator[Finding]:
    """What hands out memory, and whether it gives it back."""
    maps = f"{around.root}/proc/{around.pid or 'self'}/maps"
    found, mapped = allocator(maps, around.environ), read_whole(maps, takes_long=True) or b""
    # What was found may be this process's own.
    name = "musl" if b"/ld-musl" in mapped and found.name == "glibc" else found.name
    if name == "glibc":
        yield ok(f"glibc {found.version or ''}: gives free pages back when asked")
        try:
            cores = len(os.sched_getaffinity(around.pid or 0))
        except (AttributeError, OSError):
            cores = os.cpu_count() or 1
        yield from check_glibc(around.environ, cores)
    elif name in _ASKED:
        yield ok(f"{name}: gives free pages back when asked")
    else:
        yield note(
            f"{name}: gives memory back in its own time; what is freed may count as used for long"
        )
    if b"/libarrow.so" in mapped:
        yield ok("pyarrow's pools: give free memory back when asked")
    for library, why in UNREACHABLE.items():
        if f"/_{library}".encode() in mapped:
            yield note(f"{library}: {why}; what it freed may count as used for long")
    yield from check_variables(around.environ)
    yield from check_preloads(around)


def check_glibc(environ: Mapping[str, str], cores: int) -> Iterator[Finding]:
    """How many arenas threads spread over, and whether glibc still adjusts its thresholds."""
    asked = _asked(environ)
    if _ARENAS in asked:
        yield ok(f"at most {asked[_ARENAS]} arenas ({_ARENAS})")
    else:
        yield note(
            f"up to {_ARENAS_PER_CORE * cores} arenas ({_ARENAS_PER_CORE} a core): many threads "
            "that allocate in turns leave free memory behind in each",
            f"with thread pools, membudget run --malloc ({_ARENAS}=2)",
        )
    # Setting one fixes all; above them arrays are mapped anew: 66 µs instead of 0.5 for 160 KB.
    given = [name for name in _ADJUSTING if name in asked]
    pairs = ", ".join(f"{name}={asked[name]}" for name in given)
    if given and min(asked.get(name, _FIXED) for name in _ADJUSTING[:2]) <= _FIXED:
        yield warning(
            f"{pairs} ends glibc's own adjusting: large arrays are up to "
            "130 times slower to allocate",
            f"unset {' and '.join(given)}: a budget trims when it is needed",
        )
    elif given:
        yield note(f"{pairs}: glibc no longer adjusts its thresholds")


def _asked(environ: Mapping[str, str]) -> dict[str, int]:
    """What is asked of glibc, by the variables' names; the tunables come first."""
    tunables = dict(
        pair.partition("=")[::2] for pair in environ.get("GLIBC_TUNABLES", "").split(":")
    )
    asked = {}
    for name in (_ARENAS, *_ADJUSTING):
        own = name.removeprefix("MALLOC_").rstrip("_").lower()
        text = tunables.get(f"glibc.malloc.{own}") or environ.get(name) or ""
        # glibc reads as far as there are digits: 64k is 64.
        if match := re.match(r"0[xX][0-9a-fA-F]+|\d+", text):
            asked[name] = int(match[0], 0 if "x" in match[0].lower() else 10)
    return asked


def check_variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    """What Python itself is told about allocating."""
    asked = environ.get("PYTHONMALLOC", "")
    if asked.endswith("debug") or environ.get("PYTHONDEVMODE"):
        yield warning(
            "Python's allocator runs with debug checks: more memory and time for each object",
            "unset PYTHONMALLOC and PYTHONDEVMODE outside development",
        )
    elif asked in {"malloc", "mimalloc"}:
        yield note(f"PYTHONMALLOC={asked}: small objects are {asked}'s, and fill more slowly")
    if environ.get("PYTHONTRACEMALLOC", "0") != "0":
        yield warning(
            "PYTHONTRACEMALLOC is set: each allocation is written down, and takes several times "
            "as long",
            "unset it; trace for some seconds when a leak is suspected",
        )
    for name in _ADJUSTING:
        if (short := name.rstrip("_")) in environ:
            yield warning(f"{short} does nothing: the name ends with _", f"unset it; see {name}")


def check_preloads(around: Surroundings) -> Iterator[Finding]:
    """What is loaded into every program before it begins."""
    for path in filter(None, re.split(r"[ :]+", around.environ.get("LD_PRELOAD", ""))):
        if path.startswith("/") and around.pid is None and not os.path.exists(path):
            yield warning(f"LD_PRELOAD names {path}, which is not there", "correct it")
        else:
            yield ok(f"LD_PRELOAD loads {path} first")


def check_python(around: Surroundings) -> Iterator[Finding]:
    """Which Python it is."""
    if around.pid is not None:
        try:
            yield ok(f"process {around.pid} runs {os.readlink(f'/proc/{around.pid}/exe')}")
        except OSError as error:
            yield note(f"what process {around.pid} runs is not told ({error.strerror})")
        return
    name, version = platform.python_implementation(), platform.python_version()
    yield ok(f"{name} {version} ({sys.executable})")
    if core is None:
        yield note(
            "no compiled core: caches are plain Python, slower, and LRU whatever their policy",
            "unset MEMBUDGET_PURE; pip install --only-binary=membudget membudget",
        )
    if "free-threading" in sys.version:
        if getattr(sys, "_is_gil_enabled", lambda: True)():
            yield note("a free-threaded build, with the GIL switched on")
        else:
            found = "a free-threaded build without GIL: budgets were not measured on it"
            yield warning(found, "PYTHON_GIL=1")
    if around.environ.get("PYTHONSAFEPATH"):
        yield ok("PYTHONSAFEPATH is set; a budget starts all the same")
    if home := around.environ.get("PYTHONHOME"):
        yield note(
            f"PYTHONHOME is {home}: every Python takes its library from there",
            "unset it unless all of them are of that version",
        )
    if sys.platform != "linux" and find_spec("psutil") is None:
        yield warning(f"psutil is missing, and {sys.platform} is read by it", "pip install psutil")
