"""The room of a memory group, divided among the processes under a budget in it.

Each tells in its slot what its holders hold and what more room would earn, and computes its own
share from all slots by the same pure function (`core/shares.py`), once a second: there is no leader
that could end or be late. Room is what lies below the line where caches stop, less all that no
holder of a sharing process holds. What is above its share a process gives back to the kernel, since
what its allocator holds free is of no use to the others. One that tells nothing any more (stopped,
killed) loses its share; what it holds stays in the group's use, and so out of the room.

Between two readings a reservation counts by what was told in the slot as it was granted: who asks
for much tells first, and then looks at the others, so that two never both get what fits once.
"""

from __future__ import annotations

import contextlib
import os
import time

from membudget.core import RISE
from membudget.core.meter import Peers
from membudget.core.nouns import GroupRow, GroupState
from membudget.core.shares import Claim, divide
from membudget.errors import MembudgetError
from membudget.governor.giving import Giving
from membudget.host import SLOT, parse_stem
from membudget.host.slot import read_claim, read_slot
from membudget.probes.kernel_files import read_whole
from membudget.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, TypeAlias

    from membudget.core import Pressure, Reading, Reclaimer
    from membudget.governor import Governor
    from membudget.host.presence import Presence
    from membudget.probes.cgroup import CgroupProbe

    Group: TypeAlias = tuple[int, int]

DECIDED_EVERY = 1.0  # Seconds between two decisions.
LOOK_EVERY, LOOK_A_PROCESS = 0.05, 0.01  # Seconds between looks, and more for each slot.
LOOK_AT_REST = 0.04  # The same below the low mark: 64 processes look every 2.5 s.
LISTED_EVERY = 1.0  # Seconds between two looks for new ones.
STALE = 3.0  # Seconds after which a claim is none any more.
MEMORY = 0.85  # Weight that a decision before the last has in one: about seven count.
UNTOLD = 15.0  # Seconds, at most, until what a newcomer earns can be told.
_LOWEST_OF = 2.0  # Seconds, at least, of which the lowest use beside holders counts.
_LEAST, _LEAST_SHARE = MIB, 1 / 64  # Bytes, or part of a share, above it that are given back.
_OTHERS = 1 / 16  # Of the limit, that those may hold who tell nothing, and need no room.
_SLACK = 1 / 64  # Of the limit, by which the group may stand higher while room changes hands.
_GROWS = RISE * 3 // 2  # Bytes it may grow at least where there is room: then it is looked anew.
_LEAST_AWAY = 1 / 32  # Part of what is held that is taken to be away at least.
_TOLD = 16 * MIB  # Bytes given back at a time that are an event.


class Sharing:
    """A plugin: keeps the holders of this process within its share of the group's room.

    `give` is the setting `caches.share`: None divides by worth, "equal" does not; or bytes, or a
    part of the limit. `malloc` gives back what is free there.
    """

    name = "sharing"

    def __init__(
        self,
        cgroup: CgroupProbe,
        presence: Presence,
        malloc: Reclaimer,
        give: str | float | None = None,
    ) -> None:
        self._cgroup, self._presence, self._malloc, self._give = cgroup, presence, malloc, give
        self._governor: Governor | None = None
        self._begin()

    def _begin(self) -> None:
        self._own, self._others, self._together = Claim(), dict[str, Claim](), 0
        self._taken_in, self._counted = dict[str, int](), 0
        self._lowest: dict[Group, _Lowest] = {}
        self._look_at = self._list_at = self._decide_at = float("-inf")
        self._room, self._seen = 0, (0, 0, 0, 0, 0)
        self._evicted = self._ages = 0.0
        self._began_at: float | None = None
        self._allowed = float("inf")  # Bytes that holders which can shrink may hold.
        self._has_holes = False

    def join(self, governor: Governor) -> None:
        """Share with this governor's process until it stops."""
        self._governor = governor
        self._giving = Giving(governor, self._malloc, "give back for others", _TOLD)
        governor.followers.append(self.follow)
        governor.admission.beside = self.beside
        if governor.settings["cleanup.auto"]:
            governor.chores.append(self)

    def after_fork_in_child(self) -> None:
        """Begin with nothing."""
        self._begin()
        self._end()

    def leave(self) -> None:
        """Have no share."""
        if self._governor is not None:
            self._governor.admission.beside = None
            self._end()

    def take_settings(self, settings: Any) -> None:
        """Have another share from the next decision on."""
        self._give = settings["caches.share"]

    def _end(self) -> None:
        if self._governor is not None:
            meter = self._governor.meter
            meter.share, meter.peers = None, Peers(taken_in=self._counted)
        self._others, self._allowed = {}, float("inf")

    def follow(self, reading: Reading, pressure: Pressure) -> None:
        """Tell, look and decide, where that is due. Cost: 15 µs, and 12 µs for each other one."""
        governor, own, at = self._governor, self._own, reading.at
        if governor is None or at < self._look_at:
            return
        is_group = reading.used == reading.parts.get("cgroup") and reading.limit is not None
        own.groups = self._groups() if is_group else ()
        counted = self._take_stock(governor, at)
        path = self._presence.claim(own)
        if not path or not is_group:  # Its slot is made by the governor's thread.
            self._look_at = at + (LOOK_EVERY if is_group else DECIDED_EVERY)
            self._end()
            return
        self._look(path, at)
        apart = LOOK_A_PROCESS if pressure.excess > 0 else LOOK_AT_REST
        self._look_at = at + max(LOOK_EVERY, apart * len(self._others))
        self._note_peers(governor, pressure)
        if at >= self._decide_at:
            self._decide_at = at + DECIDED_EVERY
            self._learn(counted)
            self._divide(governor, reading)
            self._presence.claim(own)
            # It paces itself, and is asked before it is needed here: others may need it now.
            is_asked = bool(self._others) or reading.elsewhere > _OTHERS * (reading.limit or 0)
            self._has_holes = is_asked and self._malloc.reclaimable() != 0
        if governor.full_at < float("inf") and (self._others or own.fixed):
            self._allow(governor, reading)
        else:
            self._end()

    def _groups(self) -> tuple[Group, ...]:
        """The groups that limit this process, the tightest first."""
        probe = self._cgroup
        groups = [probe.group, *(group for group, _used, _limit in probe.levels)]
        found = dict.fromkeys(group.identity for group in groups)
        return tuple(one for one in found if one is not None)

    def _take_stock(self, governor: Governor, at: float) -> list[Any]:
        """Reckon what is held here; returns those holders that count their hits."""
        own, meter, reading = self._own, governor.meter, governor.reading
        holders: list[Any] = [one for one in governor.registry.holders() if hasattr(one, "reclaim")]
        # Told anew at the next reading, which may be set to be long after.
        own.at, own.own = at + (governor.watch.interval or 0.0), meter.base
        own.held = own.most = 0
        if governor.full_at < float("inf"):  # Else it only watches, and nothing of it shrinks.
            own.held = sum(one.held_bytes() for one in holders)
            own.most = sum(_most_of(one) for one in holders)
        own.passing, own.kept = governor.transients.passing, governor.transients.kept
        own.taken_in, own.reserved = meter.taken_in, meter.outstanding(meter.used)
        own.fixed = 0
        limit = reading.limit if reading is not None else None
        if isinstance(self._give, (int, float)) and limit is not None:
            own.fixed = int(self._give if isinstance(self._give, int) else self._give * limit)
        if not own.held or self._began_at is None:
            self._began_at = at  # A newcomer is who begins to fill, whenever it was started.
        counted = [one for one in holders if hasattr(one, "ghost_hits")]
        if self._seen[1] <= sum(map(len, counted)) and at - self._began_at < UNTOLD:
            own.since = at  # Too few were evicted for some to come back.
        return counted

    def _learn(self, counted: list[Any]) -> None:
        own = self._own
        entries = max(1, sum(map(len, counted)))
        now = (
            sum(one.ghost_hits for one in counted),
            sum(one.ghost_added for one in counted),
            sum(one.ghost_ages for one in counted),
            sum(one.hits for one in counted),
            sum(one.misses for one in counted),
        )
        back, evicted, ages, found, missed = (
            max(0, new - old) for new, old in zip(now, self._seen, strict=True)
        )
        self._seen = now
        own.hits = MEMORY * max(0.0, own.hits) + back
        own.asked = MEMORY * own.asked + found + missed
        own.missed = MEMORY * own.missed + missed
        self._evicted = MEMORY * self._evicted + evicted
        self._ages = MEMORY * self._ages + ages / entries
        own.space = MEMORY * own.space + own.held * self._away(own.hits)
        if self._give == "equal" or not counted:
            own.hits = -1.0

    def _away(self, back: float) -> float:
        """What the evicted that would come back take, as a part of what is held.

        Of the last evictions, as many as there are entries, less those that are back by now.
        """
        if not back:
            return 1.0
        age = min(1.0, self._ages / back)
        return max(_LEAST_AWAY, 1.0 - min(1.0, back / max(1.0, self._evicted)) * (1.0 - age))

    def _look(self, path: str, at: float) -> None:
        """Read what the others of these groups tell."""
        looked_at: Iterable[str] = self._others
        if at >= self._list_at:
            self._list_at = at + LISTED_EVERY
            looked_at = _slots_beside(path)
        groups, others = set(self._own.groups), {}
        for one in looked_at:
            claim = read_claim(one)
            if claim is not None and at - claim.at < STALE and groups.intersection(claim.groups):
                others[one] = claim
                more = claim.taken_in - self._taken_in.get(one, claim.taken_in)
                self._counted += max(0, more)
        self._taken_in = {one: claim.taken_in for one, claim in others.items()}
        self._others = others

    def _note_peers(self, governor: Governor, pressure: Pressure) -> None:
        own = self._own
        tightest = own.groups[:1]
        others = [one for one in self._others.values() if one.groups[:1] == tightest]
        passing = sum(one.passing for one in others)
        self._meet(governor, passing)
        governor.meter.peers = Peers(
            held=sum(one.held for one in others),
            taken_in=self._counted,
            reserved=sum(one.reserved for one in others),
            passing=passing,
            kept=max((one.kept for one in others), default=0),
            excess=_portion(pressure.excess, own, others),
        )

    def _meet(self, governor: Governor, passing: int) -> None:
        """Learn what comes and goes at the same time in several processes."""
        own, before = self._own, self._together
        together = own.passing + passing if own.passing and passing else 0
        if together < before / 2 and before > own.kept:
            governor.transients.learn(own.at, before)
        self._together = together if together < before / 2 else max(before, together)

    def _divide(self, governor: Governor, reading: Reading) -> None:
        """Take the share that is left of each group that is a limit: the least of them."""
        own, share = self._own, None
        levels = {group.identity: (used, limit) for group, used, limit in self._cgroup.levels}
        for number, group in enumerate(own.groups):
            used, limit = levels.get(group, (0, None))
            stop = governor.stop_at(limit)
            if not number:
                used, stop = reading.used, governor.full_at
            members = [own, *(one for one in self._others.values() if group in one.groups)]
            lowest = self._lowest.setdefault(group, _Lowest())
            held = sum(one.held + one.passing for one in members)
            beside = lowest.of(used - held, reading.at)
            if stop == float("inf"):
                continue
            room = max(0, int(stop - beside))
            before, own.share = own.share, own.share
            divide(_ordered(members), room, reading.at)
            if share is None or own.share < share:
                share, self._room = own.share, room
            own.share = before
        self._lowest = {one: lowest for one, lowest in self._lowest.items() if one in own.groups}
        own.share = own.held if share is None else share

    def _allow(self, governor: Governor, reading: Reading) -> None:
        """Keep holders within the share, and below the low mark within what is free as well."""
        own, meter = self._own, governor.meter
        low = min(governor.marks.resolved(reading.limit)[0], governor.full_at)
        used = reading.used - governor.transients.passing - meter.peers.passing
        parts = 1 + sum(one.most > 0 for one in self._others.values())
        lent = 0.0 if own.fixed else max(0.0, low - used) / parts
        self._allowed = own.share + lent
        # What others have not given back yet is not there to be filled.
        free = governor.full_at + _SLACK * (reading.limit or 0) - used
        more = max(_GROWS, min(free, self._room) / parts) if free > 0 else 0
        # What cannot shrink is not of the share; what is above it goes by way of the chore.
        fixed = governor.registry.held_bytes() - own.held
        meter.share = fixed + int(max(own.held, min(self._allowed, own.held + more)))

    def due(self, now: float) -> bool:  # noqa: ARG002  # it is not a matter of time
        """Whether holders are above the share."""
        least = max(_LEAST, _LEAST_SHARE * self._own.share)
        is_over = self._own.held > self._allowed + least
        return is_over or self._has_holes or self._giving.is_under_way

    def run(self, until: float) -> int:
        """Give back to the kernel what is above the share, for a slice."""
        governor = self._governor
        if governor is None:
            return 0
        if self._has_holes:
            self._has_holes = False
            self._malloc.reclaim(_LEAST, until)
        own = self._own
        over = own.held - int(min(own.held, self._allowed))
        freed = self._giving.run(over, until)
        own.held -= freed
        if freed and governor.meter.share is not None:
            # Else it would be filled again by the next look.
            governor.meter.share -= min(freed, over)
        return freed

    def beside(self, reserved: int) -> tuple[int | None, int]:
        """Tell what has been granted here and not come in. Any thread. Cost: 30 µs.

        Returns what the group uses by now (None: nobody shares it), and what others were granted.
        """
        own = self._own
        own.reserved = reserved
        if not own.groups or not (path := self._presence.claim(own)):
            return None, 0
        # Listed anew: workers that were just started often load at once.
        claims, now, used = map(read_claim, _slots_beside(path)), time.monotonic(), None
        known = [one for one in claims if one is not None and now - one.at < STALE]
        granted = [one.reserved for one in known if one.groups[:1] == own.groups[:1]]
        with contextlib.suppress(MembudgetError):
            used = self._cgroup.group.use()["cgroup"] if granted else None
        return used, sum(granted)

    def status(self) -> Mapping[str, Any]:
        """The group, where it is shared."""
        group = self.group_state()
        return {} if group is None else {"group": group}

    def group_state(self) -> GroupState | None:
        """Who holds what, whose share is what and why; None where nobody shares it."""
        governor, own = self._governor, self._own
        if governor is None or not own.groups:
            return None
        now = governor.clock.now()
        rows = [_row(self._presence.place, own, now)]
        rows += [_row(path, one, now) for path, one in self._others.items()]
        untold = self._untold(len(rows))
        if not self._others and not untold:
            return None
        return GroupState(
            source=self._cgroup.source,
            room=self._room,
            rows=tuple(sorted(rows, key=lambda row: -row.used)),
            untold=untold,
        )

    def _untold(self, known: int) -> int | None:
        """How many processes of the group itself tell nothing here."""
        with contextlib.suppress(MembudgetError):
            told = read_whole(f"{self._cgroup.group.folder}/cgroup.procs")
            return None if told is None else max(0, len(told.split()) - known)
        return None


def _slots_beside(path: str) -> list[str]:
    """The slots of others in the folder of one."""
    folder, _, own = path.rpartition("/")
    names: list[str] = []
    with contextlib.suppress(OSError):  # The slot is made anew in a while.
        names = [one for one in os.listdir(folder) if one.endswith(SLOT) and one != own]
    return [f"{folder}/{one}" for one in names if parse_stem(one.removesuffix(SLOT)) is not None]


class _Lowest:
    """The lowest of the figures of the last seconds: between one span of them and two."""

    def __init__(self) -> None:
        self._since, self._now, self._before = float("-inf"), float("inf"), float("inf")

    def of(self, figure: float, at: float) -> float:
        """The lowest up to this one."""
        if at - self._since >= _LOWEST_OF:
            self._since, self._before, self._now = at, self._now, figure
        self._now = min(self._now, figure)
        return min(self._now, self._before)


def _most_of(holder: Any) -> float:
    most: int | None = getattr(holder, "max_bytes", None)
    if most is not None:
        return most
    # Functools' caches of a program that uses none.
    return float("inf") if hasattr(holder, "evict_together") or holder.held_bytes() else 0


def _ordered(claims: Sequence[Claim]) -> list[Claim]:
    """In one order wherever they are looked at: roundings fall on the same ones."""
    return sorted(claims, key=lambda one: (one.since, one.taken_in, one.own))


def _portion(excess: int, own: Claim, others: Sequence[Claim]) -> int:
    """What of an excess falls on this process: on who is above its share first."""
    over = max(0, own.held - own.share)
    total = over + sum(max(0, one.held - one.share) for one in others)
    if total >= excess:
        return excess * over // total if total else 0
    held = own.held + sum(one.held for one in others)
    return over + (excess - total) * (own.held - over) // max(1, held - total)


def _row(path: str, claim: Claim, now: float) -> GroupRow:
    told = read_slot(path) if path else None
    identity = parse_stem(path.rpartition("/")[2].removesuffix(SLOT))
    return GroupRow(
        name=told.name if told is not None else "",
        pid=identity.pid if identity is not None else 0,
        used=claim.own,
        held=claim.held,
        share=claim.share if claim.most else 0,
        why=claim.reason(now),
    )
