"""What the kernel of this machine does about memory: swap, stalls, promises, huge pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.cli.checkup.finding import Finding, note, ok, warning
from membudget.probes.system import PATH, read_stall
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.cli.checkup.surroundings import Surroundings

_STALLED = 0.10
"""Share of a minute spent waiting for memory that is worth telling; systemd-oomd kills at 60 %."""

_PROMISED = 0.90
_NEVER_REFUSES, _STRICT = 1, 2


def check_swap(around: Surroundings) -> Iterator[Finding]:
    """Whether memory can be moved out, and so out of sight.

    Raises:
        ProbeError: A file is there and cannot be read.
    """
    total = around.kilobytes("/proc/meminfo", "SwapTotal")
    if total is None:
        yield note("swap", "this system does not tell")
        return
    if not total:
        yield ok("swap", "none: nothing hides pressure, and what does not fit is killed at once")
        return
    size = human_bytes(total)
    if _is_swap_forbidden(around):
        yield ok("swap", f"{size}, which this group may not use")
        return
    out = around.own("VmSwap") if around.pid is not None else None
    zswap = around.read("/sys/module/zswap/parameters/enabled") == "Y"
    compressed = "; zswap packs pages before that" if zswap else ""
    gone = f", {human_bytes(out)} of this process is there" if out else ""
    yield note(
        "swap",
        f"{size}{gone}: what is swapped out counts as used, and a process gets slow before it is "
        f"killed{compressed}",
        "forbid it to the group: memory.swap.max 0, MemorySwapMax=0 (systemd), --memory-swap equal "
        "to --memory (Docker)",
    )


def _is_swap_forbidden(around: Surroundings) -> bool:
    for place in around.groups():
        folder = place.folder.removeprefix(around.root)
        if around.read(f"{folder}/memory.swap.max") == "0":
            return True
        both = around.read(f"{folder}/memory.memsw.limit_in_bytes")
        if both is not None and both == around.read(f"{folder}/memory.limit_in_bytes"):
            ram = around.ram
            if ram is None or int(both) <= ram:
                return True
    return False


def check_stalls(around: Surroundings) -> Iterator[Finding]:
    """Whether the kernel tells how long tasks wait for memory, and wakes those who ask.

    Raises:
        ProbeError: The group cannot be read.
    """
    paths = [f"{around.root}{PATH}"]
    paths[:0] = [
        f"{place.folder}/memory.pressure" for place in around.groups()[:1] if place.version != 1
    ]
    for path in paths:
        stall = read_stall(path)
        if stall is None:
            continue
        found = f"stalls are told by {path}: {stall.some60:.0%} of the last minute"
        if stall.some60 >= _STALLED:
            yield warning("pressure", found, "memory is short there: see who holds it")
        else:
            yield ok("pressure", found)
        break
    else:
        yield note(
            "pressure",
            "the kernel tells of no stalls (PSI): no wake-ups by it, none in reports; the budget "
            "is kept without",
            "where you want them, boot with psi=1",
        )
    watch = around.environ.get("MEMORY_PRESSURE_WATCH")
    if watch == "/dev/null":
        yield note("pressure", "the service manager switched its wake-ups off (/dev/null)")
    elif watch is not None:
        yield ok("pressure", f"the service manager wakes us by {watch} (MEMORY_PRESSURE_WATCH)")
    else:
        yield ok("pressure", "no MEMORY_PRESSURE_WATCH by systemd; it is not needed")


def check_promises(around: Surroundings) -> Iterator[Finding]:
    """Whether the kernel promises more memory than it has.

    Raises:
        ProbeError: A file is there and cannot be read.
    """
    text = around.read("/proc/sys/vm/overcommit_memory")
    if text is None:
        return
    mode = int(text)
    if mode == _STRICT:
        yield _strict(around)
    elif mode == _NEVER_REFUSES:
        yield note(
            "overcommit",
            "vm.overcommit_memory 1: nothing is ever refused, so no MemoryError comes before the "
            "kill",
            "--brake has memory refused in time",
        )
    else:
        yield ok("overcommit", "vm.overcommit_memory 0: only what is obviously too much is refused")


def _strict(around: Surroundings) -> Finding:
    limit = around.kilobytes("/proc/meminfo", "CommitLimit") or 0
    promised = around.kilobytes("/proc/meminfo", "Committed_AS") or 0
    ratio = around.read("/proc/sys/vm/overcommit_ratio")
    found = (
        f"vm.overcommit_memory 2: {human_bytes(promised)} of {human_bytes(limit)} is promised "
        f"(overcommit_ratio {ratio})"
    )
    if promised >= _PROMISED * limit:
        advice = "raise vm.overcommit_ratio, or set vm.overcommit_memory to 0"
        return warning("overcommit", f"{found}: forks and big requests are about to fail", advice)
    return note("overcommit", f"{found}; the fork of a large process may be refused")


def check_huge_pages(around: Surroundings) -> Iterator[Finding]:
    """Whether small needs are met with 2 MiB pages.

    Raises:
        ProbeError: The file is there and cannot be read.
    """
    text = around.read("/sys/kernel/mm/transparent_hugepage/enabled")
    if text is None:
        return
    chosen = text.partition("[")[2].partition("]")[0]
    if chosen == "always":
        yield note(
            "huge pages",
            "transparent huge pages: always; a page of 2 MiB stays resident for one object in it, "
            "so less comes back after a cleanup",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        )
    else:
        yield ok("huge pages", f"transparent huge pages: {chosen}")
