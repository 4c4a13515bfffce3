"""The memory cgroup: its version, what the kernel did in it, and what it will do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.cli.checkup.finding import Finding, note, ok, warning
from membudget.probes.cgroup_files import Group, membership

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.cli.checkup.surroundings import Surroundings
    from membudget.probes.cgroup_files import Place

SUBJECT = "cgroup"

_FIRST_TO_GO, _NEVER = 500, -1000


def check_group(around: Surroundings) -> Iterator[Finding]:
    """Which group counts the memory, and what happened in it.

    Raises:
        ProbeError: A file of it is there and cannot be read.
    """
    places = around.groups()
    if not places:
        yield _without(around)
        return
    own = places[0]
    above = f", {len(places) - 1} above it to be seen" if len(places) > 1 else ""
    yield ok(SUBJECT, f"{_version(around, own)}, memory is counted in {own.name}{above}")
    yield from _kills(around, own)
    yield from _manner(around, places)


def check_order(around: Surroundings) -> Iterator[Finding]:
    """Whether this process is killed before others when memory is short.

    Raises:
        ProbeError: The figure is there and cannot be read.
    """
    text = around.read(f"{around.folder}/oom_score_adj")
    if text is None:
        return
    score = int(text)
    if score <= _NEVER:
        yield note(
            "oom order",
            f"oom_score_adj {score}: never killed, others are instead; where there is nobody "
            "else, all of the group stand still",
        )
    elif score >= _FIRST_TO_GO:
        yield note(
            "oom order",
            f"oom_score_adj {score}: one of the first to be killed when the machine is short",
            "in Kubernetes set requests.memory, elsewhere OOMScoreAdjust=0",
        )
    else:
        yield ok("oom order", f"oom_score_adj {score}")


def _without(around: Surroundings) -> Finding:
    found = "no memory controller can be seen: no container's limit can be found"
    hint = around.is_in_container()
    if hint is None:
        return note(SUBJECT, found, "set MEMBUDGET_LIMIT, or --limit")
    advice = "mount its cgroup on /sys/fs/cgroup, or set MEMBUDGET_LIMIT to the container's limit"
    return warning(SUBJECT, f"{found}, though this is a container ({hint})", advice)


def _version(around: Surroundings, own: Place) -> str:
    mounts = around.read("/proc/self/mountinfo") or ""
    has_unified = " - cgroup2 " in mounts
    is_classic = b"name=" in membership(around.pid, around.root)
    if own.version == 1:
        return "v1 (hybrid: v2 is mounted beside it, without memory)" if has_unified else "v1"
    return "v2 (hybrid: v1 is mounted beside it, without memory)" if is_classic else "v2"


def _kills(around: Surroundings, own: Place) -> Iterator[Finding]:
    group = Group(own, around.ram)
    kills = group.kills()
    if kills:
        yield warning(
            SUBJECT,
            f"the kernel has killed {kills} {'process' if kills == 1 else 'processes'} of it "
            "for want of memory",
            "raise its limit, or run what grows in it by `membudget run`; `dmesg` names the killed",
        )
    elif kills == 0:
        yield ok(SUBJECT, "the kernel has killed nobody in it")
    else:
        yield note(SUBJECT, "this kernel does not tell how often it killed")


def _manner(around: Surroundings, places: list[Place]) -> Iterator[Finding]:
    """Where the kernel does something else than killing one process."""
    for place in places:
        folder = place.folder.removeprefix(around.root)
        if around.read(f"{folder}/memory.oom.group") == "1":
            yield note(
                SUBJECT,
                f"memory.oom.group is set on {place.name}: the kernel kills all of it at once",
                "keep every process of it within a budget, or write 0 there",
            )
        control = around.read(f"{folder}/memory.oom_control") or ""
        if "oom_kill_disable 1" in control.splitlines():
            yield warning(
                SUBJECT,
                f"oom_kill_disable is set on {place.name}: at the limit it stands still for ever, "
                "and nothing inside it can act",
                f"write 0 to {place.folder}/memory.oom_control",
            )
