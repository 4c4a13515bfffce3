"""Every limit that stands over a process, which of them rules, and how much of it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.brake.children import LAUNCH_DATA_LIMIT
from membudget.cli.checkup.finding import Finding, Grade, note, ok, warning
from membudget.core import Record
from membudget.probes.cgroup_files import Group
from membudget.probes.kernel_files import unexpected
from membudget.probes.system import system_probe
from membudget.settings.table import SETTINGS
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.cli.checkup.surroundings import Surroundings
    from membudget.probes.cgroup_files import Place

SUBJECT = "limits"

_FILES = {1: ("memory.limit_in_bytes",), 2: ("memory.max", "memory.high")}
_WARNING = SETTINGS["thresholds.warning"].default
_EMERGENCY = SETTINGS["thresholds.emergency"].default

_LITTLE_ROOM = 0.9
"""Share of a group's limit from which a process leaves little to the others in it."""

_SCARCE = 0.05
"""Share of the machine's memory below which what is available is short: earlyoom kills at 10 %."""

_KILLED = "the kernel kills there"
_THROTTLED = "the kernel slows it down there until nothing goes forward"
_REFUSED = "memory is refused there (MemoryError)"


class Bound(Record):
    """One limit.

    Attributes:
        size: Bytes.
        source: Who keeps it, in full.
        keeper: Who keeps it, in short.
        effect: What happens at it.
        used: Bytes used of it, or None where that is not known.
        is_group: Whether others share it.
    """

    size: int
    source: str
    keeper: str
    effect: str
    used: int | None = None
    is_group: bool = False

    @property
    def share(self) -> float:
        """How much of it is used, 0 where that is not known."""
        return (self.used or 0) / max(1, self.size)


def bounds(around: Surroundings) -> list[Bound]:
    """All limits there are but the machine's own memory.

    Raises:
        ProbeError: One is there and cannot be read.
    """
    return [*_of_groups(around), *_of_process(around), *_configured(around)]


def room(around: Surroundings) -> int | None:
    """Bytes free below the tightest group's limit, or None where none has one.

    Raises:
        ProbeError: A limit is there and cannot be read.
    """
    return min((bound.size - (bound.used or 0) for bound in _of_groups(around)), default=None)


def check_limits(around: Surroundings) -> Iterator[Finding]:
    """Each limit on a line; the smallest one rules.

    Raises:
        ProbeError: One is there and cannot be read.
    """
    found = bounds(around)
    ram = around.ram
    real = [bound for bound in found if ram is None or bound.size <= ram]
    smallest = min(real, key=lambda bound: bound.size, default=None)
    for bound in found:
        yield _told(bound, rules=bound is smallest)
    yield from _configured_too_high(around, found)
    yield from _absent(around, found)
    yield from _ignored(around)
    yield from _machine(around, rules=smallest is None)
    if smallest is None:
        yield note(
            SUBJECT,
            "no limit is set: only the whole machine's memory is judged",
            "set one: membudget run --limit 400MiB, MEMBUDGET_LIMIT, or the container's",
        )


def _of_groups(around: Surroundings) -> list[Bound]:
    ram, places = around.ram, around.groups()
    found = []
    for place in places:
        group = Group(place, ram)
        used = group.use()["cgroup"]
        group.close()
        for name in _FILES[place.version]:
            size = _size_in(f"{place.folder}/{name}", around, ram)
            if size is not None:
                where = f"{name} of " if place.version != 1 else ""
                found.append(_of_group(size, f"{where}{_called(place)}", used, name))
    inherited = Group(places[0], ram).inherited_limit() if places else None
    if inherited is not None and all(inherited < bound.size for bound in found):
        source = f"a group above {_called(places[-1])}, which cannot be seen from here"
        found.append(_of_group(inherited, source, used, "memory.limit_in_bytes"))
    return found


def _of_group(size: int, source: str, used: int, name: str) -> Bound:
    effect = _THROTTLED if name == "memory.high" else _KILLED
    return Bound(
        size=size, source=source, keeper="the cgroup", effect=effect, used=used, is_group=True
    )


def _called(place: Place) -> str:
    return f"cgroup v{place.version} {place.name}"


def _size_in(path: str, around: Surroundings, ram: int | None) -> int | None:
    text = around.read(path.removeprefix(around.root))
    if text in (None, "max"):
        return None
    try:
        size = int(text or "")
    except ValueError as error:
        raise unexpected(path, (text or "").encode(), "bytes or max are due") from error
    return None if ram is not None and size > ram else size


def _of_process(around: Surroundings) -> Iterator[Bound]:
    limits = around.resource_limits()
    for name, kernel_name, key in (
        ("RLIMIT_DATA", "Max data size", "VmData"),
        ("RLIMIT_AS", "Max address space", "VmSize"),
    ):
        soft, _hard = limits.get(kernel_name, (None, None))
        if name == "RLIMIT_DATA":
            soft = _without_brake(around, soft)
        if soft is not None:
            used = None if around.pid is None else around.own(key)
            yield Bound(size=soft, source=name, keeper=name, effect=_REFUSED, used=used)


def _without_brake(around: Surroundings, soft: int | None) -> int | None:
    """The soft limit but for the brake, which stands close above what is mapped on purpose."""
    told = around.environ.get(LAUNCH_DATA_LIMIT)
    if told is not None and around.settings["brake"]:
        return int(told) if told.isdigit() else None
    is_armed = around.brake is not None and around.brake["is_armed"]
    return None if is_armed else soft


def _configured(around: Surroundings) -> Iterator[Bound]:
    limit = around.settings["limit"]
    if limit is not None:
        source = f"the settings ({around.settings.origins['limit']})"
        used = None if around.pid is None else _held(around)
        effect = "caches are emptied below it"
        yield Bound(size=limit, source=source, keeper="the settings", effect=effect, used=used)


def _held(around: Surroundings) -> int:
    return sum(around.own(key) or 0 for key in ("RssAnon", "RssShmem", "VmSwap"))


def _told(bound: Bound, *, rules: bool) -> Finding:
    text = f"{human_bytes(bound.size)} by {bound.source}{' rules' if rules else ''}"
    if bound.used is not None:
        text += f": {human_bytes(bound.used)} used ({bound.share:.0%})"
    if bound.share < _WARNING:
        return ok(SUBJECT, text)
    grade = Grade.DANGER if bound.share >= _EMERGENCY else Grade.WARNING
    advice = "raise the limit, or free memory now"
    if bound.is_group:
        advice += "; `membudget memory` shows who holds it"
    return Finding(grade=grade, subject=SUBJECT, found=f"{text}; {bound.effect}", advice=advice)


def _configured_too_high(around: Surroundings, found: list[Bound]) -> Iterator[Finding]:
    """What of a configured limit can never be had."""
    limit, ram = around.settings["limit"], around.ram
    others = [one for one in found if one.effect in {_KILLED, _THROTTLED, _REFUSED}]
    if limit is not None and ram is not None and limit > ram:
        yield warning(
            SUBJECT,
            f"the configured {human_bytes(limit)} is above the {human_bytes(ram)} of RAM, so it "
            "never rules; the kernel kills first",
            f"set MEMBUDGET_LIMIT below {human_bytes(ram)}",
        )
    if limit is None or not others:
        return
    tightest = min(others, key=lambda bound: bound.size)
    size = human_bytes(limit)
    held = max(0, (tightest.used or 0) - _held(around)) if tightest.is_group else 0
    if limit > tightest.size:
        yield warning(
            SUBJECT,
            f"the configured {size} is above the {human_bytes(tightest.size)} of "
            f"{tightest.keeper}, so it never rules; {tightest.effect}",
            f"set MEMBUDGET_LIMIT below {human_bytes(tightest.size)}, or leave it out: the "
            "smaller limit is found without it",
        )
    elif limit + held > tightest.size:
        yield warning(
            SUBJECT,
            f"the configured {size} and the {human_bytes(held)} that others hold in "
            f"{tightest.keeper} are more than its {human_bytes(tightest.size)}",
            f"lower the limit by {human_bytes(limit + held - tightest.size)} or more, or raise "
            "that of the group",
        )
    elif tightest.is_group and limit > _LITTLE_ROOM * tightest.size:
        yield note(
            SUBJECT,
            f"the configured {size} leaves {human_bytes(tightest.size - limit)} of "
            f"{tightest.keeper} to children, page tables and sockets",
            f"leave a tenth: {human_bytes(tightest.size * _LITTLE_ROOM)} or less",
        )


def _absent(around: Surroundings, found: list[Bound]) -> Iterator[Finding]:
    """What was looked at and has no limit."""
    names = [_called(place) for place in around.groups()]
    names += ["RLIMIT_DATA", "RLIMIT_AS"] if around.resource_limits() else []
    limited = [name for bound in found for name in (bound.source, bound.keeper)]
    without = [name for name in names if not any(one.endswith(name) for one in limited)]
    if without:
        yield ok(SUBJECT, f"without a limit: {', '.join(without)}")


def _ignored(around: Surroundings) -> Iterator[Finding]:
    soft, _hard = around.resource_limits().get("Max resident set", (None, None))
    if soft is not None:
        yield note(
            SUBJECT,
            f"{human_bytes(soft)} by RLIMIT_RSS, which Linux has ignored since 2.4.30",
            "use --limit, or the limit of a cgroup",
        )


def _machine(around: Surroundings, *, rules: bool) -> Iterator[Finding]:
    reading = system_probe(around.root or "/")()
    total, available = reading.limit or 0, reading.parts["available"]
    text = f"{human_bytes(total)} of RAM{' rules' if rules else ''}"
    text += f": {human_bytes(available)} available"
    if available < _SCARCE * total:
        advice = "end what is not needed, before the kernel chooses"
        yield warning(SUBJECT, f"{text}, which is scarce", advice)
    else:
        yield ok(SUBJECT, text)
