"""Sharing, as a whole group of processes in one: real slots and caches, time turned by hand."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fakes import MIB, FakeClock, FakeReclaimer
from membudget.cache.cache import Cache
from membudget.core import OWN, Marks, Reading
from membudget.core.shares import Claim
from membudget.governor import Governor
from membudget.host import identity_of
from membudget.host.sharing import DECIDED_EVERY, STALE, Sharing
from membudget.host.slot import Slot, read_claim
from membudget.registry import Registry

LIMIT = 400 * MIB
FULL = 288 * MIB  # Where caches stop.
BARE = 20 * MIB  # What a process holds beside its cache.
GROUP = (7, 11)


class Group:
    """The memory group: what all hold, and what is nobody's."""

    def __init__(self, clock: FakeClock, folder: Path) -> None:
        self.clock, self.folder = clock, folder
        self.members: list[Member] = []
        self.neighbours = 0
        self.identity, self.folder_name = GROUP, "nowhere"
        self.group, self.levels, self.source = self, [(self, 0, LIMIT)], "cgroup v2 /web"

    def use(self) -> dict[str, int]:
        return {"cgroup": self.neighbours + sum(one.own() for one in self.members)}

    def starts(self) -> "Member":
        member = Member(self)
        self.members.append(member)
        return member

    def passes(self, seconds: int = 1, fill: int = 0) -> None:
        """Ten steps a second of each that runs, and so many MiB taken in before each."""
        for _ in range(10 * seconds):
            self.clock.advance(0.1)
            for one in self.members:
                if one.runs:
                    one.fills(fill)
                    one.governor.step()


class Member:
    """One process: a governor, a cache, a slot, and the plugin looked at."""

    numbers = count(100_000)

    def __init__(self, group: Group, *, is_active: bool = True) -> None:
        self.group, self.runs, self.load = group, True, 0
        self.registry, clock = Registry(), group.clock
        self.cache: Cache[int, Any] = Cache("prices", registry=self.registry, clock=clock)
        self.keys = count()
        self.slot = Slot(str(group.folder), identity_of().replace(pid=next(self.numbers)), "worker")
        self.governor = Governor(
            self.read, Marks(), registry=self.registry, own=self.own, clock=clock,
            settings={"cleanup.auto": True}, is_active=is_active,
        )  # fmt: skip
        memory: Any = None
        self.malloc = FakeReclaimer(memory, 0)
        owner: Any = self
        probe: Any = group
        self.sharing = Sharing(probe, owner, self.malloc)
        self.governor.join(self.sharing)
        self.registry.attach(self.governor, self.governor.meter)

    # What the plugin asks of what owns the slot.
    @property
    def place(self) -> str:
        return self.slot.path

    def claim(self, claim: Claim) -> str:
        self.slot.claim(claim)
        return self.slot.path

    def own(self) -> int:
        return BARE + self.load + self.cache.held_bytes()

    def read(self) -> Reading:
        used = self.group.use()["cgroup"]
        parts = {"cgroup": used, OWN: self.own()}
        return Reading(
            at=self.group.clock.now(), used=used, limit=LIMIT, source="cgroup v2 /web", parts=parts
        )

    def fills(self, size: int) -> None:
        """Take in so many MiB of values that nobody asked for before."""
        for _ in range(size * 10):
            self.cache.set(next(self.keys), 0, size=MIB // 10)

    def ends(self) -> None:
        self.governor.stop()
        self.cache.clear()
        self.slot.close()
        self.group.members.remove(self)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    clock = FakeClock()
    one = Group(clock, tmp_path)
    yield one
    for member in tuple(one.members):
        member.ends()


def held(group: Group) -> list[int]:
    return [one.cache.held_bytes() // MIB for one in group.members]


def test_one_alone_has_no_share(group: Group) -> None:
    first = group.starts()
    group.passes(2)
    assert first.governor.meter.share is None
    assert first.governor.meter.peers.excess is None


def test_two_that_earn_alike_come_to_equal_parts(group: Group) -> None:
    group.starts()
    group.passes(30, fill=2)
    group.starts()
    group.passes(60, fill=2)
    one, other = held(group)
    assert abs(one - other) < 20
    assert group.use()["cgroup"] <= 0.8 * LIMIT


def test_what_they_hold_together_keeps_to_the_room_whatever_a_neighbour_holds(group: Group) -> None:
    members = [group.starts() for _ in range(4)]
    for size in (0, 60, 120, 30):
        group.neighbours = size * MIB
        group.passes(15, fill=1)
        room = FULL - group.neighbours - len(members) * BARE
        assert sum(held(group)) * MIB <= room + 0.05 * LIMIT


def test_an_entry_larger_than_the_share_is_refused_and_leaves_the_others(group: Group) -> None:
    first, _ = group.starts(), group.starts()
    group.passes(20, fill=2)
    before = first.cache.held_bytes()
    assert not first.cache.set(-1, 0, size=FULL // 2 + 10 * MIB)
    assert first.cache.held_bytes() == before
    group.passes(1)
    assert first.cache.set(-1, 0, size=40 * MIB)
    assert -1 in first.cache


def test_one_that_tells_nothing_any_more_keeps_what_it_holds_and_no_more(group: Group) -> None:
    first, second = group.starts(), group.starts()
    group.passes(20, fill=2)
    second.runs = False
    kept = second.cache.held_bytes()
    group.passes(int(STALE) + 2)
    group.passes(20, fill=2)
    assert first.governor.meter.share is None  # It is alone,
    assert second.cache.held_bytes() == kept
    assert group.use()["cgroup"] <= 0.8 * LIMIT  # and the other's is not its room.


def test_a_slot_that_tells_nonsense_does_no_harm(group: Group) -> None:
    first = group.starts()
    nonsense = Slot(str(group.folder), identity_of().replace(pid=99), "odd")
    sizes = ("held", "share", "own", "taken_in", "reserved")
    for figure, size in ((float("nan"), 0), (float("inf"), 0), (1e308, 0), (0, -(1 << 62))):
        claim = Claim()
        claim.groups, claim.at = (GROUP,), group.clock.now()
        for name in ("hits", "space", "asked", "missed"):
            setattr(claim, name, float(figure))
        for name in sizes:
            setattr(claim, name, size)
        claim.most = float("inf")
        nonsense.claim(claim)
        group.passes(int(DECIDED_EVERY) + 2, fill=2)
        assert read_claim(nonsense.path) is None
    assert first.governor.meter.share is None
    assert first.cache.held_bytes() > 30 * MIB
    nonsense.close()


def test_one_whose_caches_may_hold_more_than_can_be_written_down_has_its_part(group: Group) -> None:
    group.starts()
    second = group.starts()
    bounded: list[Cache[int, Any]] = [
        Cache(f"b{n}", max_bytes=1 << 62, registry=second.registry) for n in range(3)
    ]
    second.cache = bounded[0]
    group.passes(5, fill=2)
    assert None not in [one.governor.meter.share for one in group.members]


def test_one_that_is_read_seldom_keeps_its_part_in_between(group: Group) -> None:
    first, second = group.starts(), group.starts()
    second.governor.watch.interval = 4 * STALE
    group.passes(20, fill=2)
    second.runs = False
    group.passes(int(4 * STALE), fill=2)
    assert first.governor.meter.share is not None
    group.passes(int(STALE) + 2, fill=2)  # Now it is late.
    assert first.governor.meter.share is None


def test_a_slice_of_work_where_nothing_is_shared_any_more_lets_nothing_go(group: Group) -> None:
    first, second = group.starts(), group.starts()
    group.passes(20, fill=2)
    second.ends()
    group.passes(2)
    before = first.cache.held_bytes()
    assert first.sharing.run(float("inf")) == 0
    assert first.cache.held_bytes() == before


def test_who_is_above_its_share_lets_go_first_of_an_excess(group: Group) -> None:
    group.starts(), group.starts()
    group.passes(20, fill=2)
    group.neighbours = 120 * MIB
    group.passes()
    parts = [one.governor.meter.peers.excess for one in group.members]
    over = group.use()["cgroup"] - 0.7 * LIMIT
    assert None not in parts
    assert sum(part or 0 for part in parts) <= max(0, over) + 2


def test_one_that_only_watches_is_bound_to_nothing_and_has_no_part(group: Group) -> None:
    first = group.starts()
    group.passes(2, fill=1)
    watching = Member(group, is_active=False)
    group.members.append(watching)
    group.passes(5, fill=1)
    assert watching.governor.meter.share is None
    told = read_claim(watching.place)
    assert told is not None
    assert (told.most, told.held) == (0, 0)
    assert first.governor.meter.share is not None


def test_what_comes_at_the_same_time_in_two_is_kept_for_in_both(group: Group) -> None:
    members = [group.starts(), group.starts()]
    group.passes(3)
    for sizes in ((60, 0), (0, 60), (60, 60)):
        for one, size in zip(members, sizes, strict=True):
            one.load = size * MIB
        group.passes()
        for one in members:
            one.load = 0
        group.passes(2)
    for one in members:
        kept = max(one.governor.transients.kept, one.governor.meter.peers.kept)
        assert kept >= 120 * MIB


def test_the_status_tells_who_shares(group: Group) -> None:
    first, _second = group.starts(), group.starts()
    first.fills(20)
    group.passes(3)
    told = first.sharing.status()["group"]
    assert len(told.rows) == 2
    assert told.source == "cgroup v2 /web"
