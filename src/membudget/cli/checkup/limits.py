"""Every limit that stands over a process: which of them rules, and what happens at it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from membudget.brake import LAUNCH_DATA_LIMIT
from membudget.cli.checkup import Finding, Grade, note, ok, warning
from membudget.cli.config import in_words
from membudget.cli.lookup import find, shared_groups
from membudget.core import Record
from membudget.errors import MembudgetError
from membudget.probes.cgroup import membership
from membudget.probes.process import share_of_machine, system_probe
from membudget.settings import DEFAULT
from membudget.settings.table import SETTINGS
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.cli.checkup import Surroundings
    from membudget.probes.cgroup import Group

_WARNING = SETTINGS["thresholds.warning"].default
_EMERGENCY = SETTINGS["thresholds.emergency"].default
_LITTLE_ROOM = 0.9  # Share of a group's limit that leaves little to the others in it.
_SCARCE = 0.05  # Share of the machine's memory, available, that is short: earlyoom kills at 10 %.
_FIRST_TO_GO, _NEVER = 500, -1000
_KILLS = "the kernel kills there"
_SLOWS = "the kernel slows it down there until nothing goes forward"


class Bound(Record):
    """One limit in bytes: who keeps it, what happens at it, and what is used of it, if known."""

    size: int
    source: str
    effect: str
    used: int | None = None
    is_group: bool = False


def check_settings(around: Surroundings) -> Iterator[Finding]:
    """Each setting that is not the default, and where it came from."""
    if around.error is not None:
        yield warning(
            f"{around.error}; no budget starts with these",
            "mend it; `membudget config check` tells all that is wrong with a file",
        )
        return
    changed = [(key, one) for key, one in around.settings.origins.items() if one != DEFAULT]
    for key, origin in changed:
        yield ok(f"{key} {in_words(around.settings, key)} ({origin})")
    if not changed:
        yield ok("all are the defaults")


def room(around: Surroundings) -> int | None:
    """Bytes free below the tightest group's limit, or None where none has one."""
    return min((bound.size - (bound.used or 0) for bound in _of_groups(around)), default=None)


def check_limits(around: Surroundings) -> Iterator[Finding]:
    """Each limit on a line; the smallest one rules."""
    kept = [*_of_groups(around), *_of_process(around)]
    found = list(kept)
    limit, ram = around.settings["limit"], around.meminfo("MemTotal")
    if limit is not None:
        source = f"the settings ({around.settings.origins['limit']})"
        used = None if around.pid is None else around.process().used
        effect = "caches are emptied below it"
        found.append(Bound(size=limit, source=source, effect=effect, used=used))
    real = [bound for bound in found if ram is None or bound.size <= ram]
    smallest = min(real, key=lambda bound: bound.size, default=None)
    for bound in found:
        yield _told(bound, rules=bound is smallest)
    if limit is not None:
        yield from _unkept(around, limit, ram, kept)
    names = [*map(_called, around.groups()), "RLIMIT_DATA", "RLIMIT_AS"]
    without = [name for name in names if not any(one.source.endswith(name) for one in kept)]
    if without:
        yield ok(f"without a limit: {', '.join(without)}")
    ignored, _hard = around.resource_limit("RLIMIT_RSS")
    if ignored is not None:
        yield note(
            f"{human_bytes(ignored)} by RLIMIT_RSS, which Linux has ignored since 2.4.30",
            "use --limit, or the limit of a cgroup",
        )
    reading = system_probe(around.root or "/")()
    total, available = reading.limit or 0, reading.parts["available"]
    rules = " rules" if smallest is None else ""
    text = f"{human_bytes(total)} of RAM{rules}: {human_bytes(available)} available"
    if available < _SCARCE * total:
        advice = "end what is not needed, before the kernel chooses"
        yield warning(f"{text}, which is scarce", advice)
    else:
        yield ok(text)
    if smallest is None:
        most = share_of_machine(total, available)
        yield note(
            "no limit is set: only the whole machine's memory is watched, and caches take "
            f"{human_bytes(most)} at most",
            "set one: membudget run --limit 400MiB, MEMBUDGET_LIMIT, or the container's",
        )


def _of_groups(around: Surroundings) -> list[Bound]:
    found: list[Bound] = []
    groups = around.groups()
    for group in groups:
        used = group.use()["cgroup"]
        group.close()
        for name, size in group.limits().items():
            source = _called(group) if group.version == 1 else f"{name} of {_called(group)}"
            effect = _SLOWS if name == "memory.high" else _KILLS
            found.append(Bound(size=size, source=source, effect=effect, used=used, is_group=True))
    inherited = groups[0].inherited_limit() if groups else None
    if inherited is not None and all(inherited < bound.size for bound in found):
        source = f"a group above {_called(groups[-1])}, which cannot be seen from here"
        found.append(Bound(size=inherited, source=source, effect=_KILLS, used=used, is_group=True))
    return found


def _called(group: Group) -> str:
    return f"cgroup v{group.version} {group.name}"


def _of_process(around: Surroundings) -> Iterator[Bound]:
    for name, part in (("RLIMIT_DATA", "data"), ("RLIMIT_AS", "vms")):
        soft, _hard = around.resource_limit(name)
        if name == "RLIMIT_DATA":
            # But for the brake, which stands close above what is mapped on purpose.
            told = around.environ.get(LAUNCH_DATA_LIMIT)
            if told is not None and around.settings["brake"]:
                soft = int(told) if told.isdigit() else None
            elif around.brake is not None and around.brake["is_armed"]:
                soft = None
        if soft is not None:
            used = None if around.pid is None else around.process().parts.get(part)
            effect = "memory is refused there (MemoryError)"
            yield Bound(size=soft, source=name, effect=effect, used=used)


def _told(bound: Bound, *, rules: bool) -> Finding:
    text = f"{human_bytes(bound.size)} by {bound.source}{' rules' if rules else ''}"
    share = (bound.used or 0) / max(1, bound.size)
    if bound.used is not None:
        text += f": {human_bytes(bound.used)} used ({share:.0%})"
    if share < _WARNING:
        return ok(text)
    grade = Grade.DANGER if share >= _EMERGENCY else Grade.WARNING
    advice = "raise the limit, or free memory now"
    if bound.is_group:
        advice += "; `membudget memory` shows who holds it"
    return Finding(grade=grade, found=f"{text}; {bound.effect}", advice=advice)


def _unkept(
    around: Surroundings, limit: int, ram: int | None, kept: list[Bound]
) -> Iterator[Finding]:
    """What of a configured limit can never be had."""
    told = f"the configured {human_bytes(limit)}"
    if ram is not None and limit > ram:
        yield warning(
            f"{told} is above the {human_bytes(ram)} of RAM, so it never rules; the kernel kills "
            "first",
            f"set MEMBUDGET_LIMIT below {human_bytes(ram)}",
        )
    if not kept:
        return
    least = min(kept, key=lambda bound: bound.size)
    size, keeper = human_bytes(least.size), "the cgroup" if least.is_group else least.source
    others = max(0, (least.used or 0) - around.process().used) if least.is_group else 0
    if limit > least.size:
        yield warning(
            f"{told} is above the {size} of {keeper}, so it never rules; {least.effect}",
            f"set MEMBUDGET_LIMIT below {size}, or leave it out: the smaller limit is found "
            "without it",
        )
    elif limit + others > least.size:
        yield warning(
            f"{told} and the {human_bytes(others)} that others hold in {keeper} are more than its "
            f"{size}",
            f"lower the limit by {human_bytes(limit + others - least.size)} or more, or raise "
            "that of the group",
        )
    elif least.is_group and limit > _LITTLE_ROOM * least.size:
        yield note(
            f"{told} leaves {human_bytes(least.size - limit)} of {keeper} to children, page "
            "tables and sockets",
            f"leave a tenth: {human_bytes(least.size * _LITTLE_ROOM)} or less",
        )


def check_group(around: Surroundings) -> Iterator[Finding]:
    """Which group counts the memory, what the kernel did in it, and what it will do."""
    groups = around.groups()
    if not groups:
        found = "no memory controller can be seen: no container's limit can be found"
        if (hint := around.container_mark()) is None:
            yield note(found, "set MEMBUDGET_LIMIT, or --limit")
        else:
            yield warning(
                f"{found}, though this is a container ({hint})",
                "mount its cgroup on /sys/fs/cgroup, or set MEMBUDGET_LIMIT to the container's "
                "limit",
            )
        return
    own = groups[0]
    if own.version == 1:
        version, other = "v1", "v2"
        is_hybrid = " - cgroup2 " in (around.read("/proc/self/mountinfo") or "")
    else:
        version, other = "v2", "v1"
        is_hybrid = b"name=" in membership(around.pid, around.root)
    if is_hybrid:
        version += f" (hybrid: {other} is mounted beside it, without memory)"
    above = f", {len(groups) - 1} above it to be seen" if len(groups) > 1 else ""
    yield ok(f"{version}, memory is counted in {own.name}{above}")
    kills = own.kills()
    if kills:
        yield warning(
            f"the kernel has killed {kills} {'process' if kills == 1 else 'processes'} of it "
            "for want of memory",
            "raise its limit, or run what grows in it by `membudget run`; `dmesg` names the killed",
        )
    elif kills == 0:
        yield ok("the kernel has killed nobody in it")
    else:
        yield note("this kernel does not tell how often it killed")
    seen = {group.identity for group in groups}
    with suppress(MembudgetError, OSError):  # The check of the folder tells of that.
        yield from (ok(told) for group, told in shared_groups(find()) if group in seen)
    for group in groups:
        folder, name = group.folder.removeprefix(around.root), group.name
        if around.read(f"{folder}/memory.oom.group") == "1":
            yield note(
                f"memory.oom.group is set on {name}: the kernel kills all of it at once",
                "keep every process of it within a budget, or write 0 there",
            )
        control = around.read(f"{folder}/memory.oom_control") or ""
        if "oom_kill_disable 1" in control.splitlines():
            yield warning(
                f"oom_kill_disable is set on {name}: at the limit it stands still for ever, and "
                "nothing inside it can act",
                f"write 0 to {group.folder}/memory.oom_control",
            )


def check_order(around: Surroundings) -> Iterator[Finding]:
    """Whether this process is killed before others when memory is short."""
    text = around.read(f"/proc/{around.pid or 'self'}/oom_score_adj")
    if text is None:
        return
    told = f"oom_score_adj {text}"
    if int(text) <= _NEVER:
        yield note(
            f"{told}: never killed, others are instead; where there is nobody "
            "else, all of the group stand still"
        )
    elif int(text) >= _FIRST_TO_GO:
        yield note(
            f"{told}: one of the first to be killed when the machine is short",
            "in Kubernetes set requests.memory, under systemd OOMScoreAdjust=0",
        )
    else:
        yield ok(told)


def check_container(around: Surroundings) -> Iterator[Finding]:
    """Whether this is a container, and whether it has a limit."""
    hint = around.container_mark()
    if hint is None:
        yield ok("none that can be seen")
    elif room(around) is not None:
        yield ok(f"{hint}; its group has a limit")
    elif "KUBERNETES_SERVICE_HOST" in around.environ:
        yield warning(
            f"{hint}, and no limit is found: the pod may use the whole node, and is evicted first",
            "set resources.limits.memory in its manifest",
        )
    else:
        advice = "docker run --memory 512m, or deploy.resources.limits.memory in compose"
        yield note(f"{hint}, and no limit is found", advice)
