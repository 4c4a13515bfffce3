"""How bytes are divided by what they earn: among the caches of a process, and among processes.

Each part tells what it holds, may hold, and how many hits more bytes would have earned of late. A
decision moves each share by `pace` times the logarithm of what its bytes earn to what all earn.
Pure: whoever has the same figures comes to the same shares.

Among processes a hit counts by the part that it is of its process's requests and misses together,
within `_EVEN`: else the one that is asked most would take the room of those that miss little, where
a few more misses are twice the work (ADR 32).

Source: hill climbing on shadow queues, Cliffhanger (Cidon et al., NSDI 2016); multiplicative
weights (Freund and Schapire 1997). The constants were found on recorded requests, see ADR 18.
"""

from __future__ import annotations

from math import exp, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Part(Protocol):
        """What has a share; in bytes."""

        share: int

        @property
        def held(self) -> int:
            """What it holds."""

        @property
        def most(self) -> float:
            """What it may hold by its own bound."""


STEP = 0.02  # Share of the whole that one decision moves at most.

PACE, FARTHEST = 0.05, 2.0
"""Part by which a share grows that earns e times what all do; the logarithm that counts at most."""

DOUBT = 32.0  # Hits added on both sides of the ratio, so that a few say nothing.
FLOOR = 0.05  # Share of an equal part that each keeps, however little it earns.
FILLED = 0.9  # Part of its share that one fills before it may ask for more.

PROCESS_STEP, PROCESS_PACE, PROCESS_FLOOR, KEPT = 0.1, 0.2, 0.1, 0.6
"""The same among processes: a load moves from one to another at once. Who is asked as much as the
others are keeps more of an equal part than who is not: no worker is to starve beside its like."""

YOUNG = 2.0  # Seconds in which a newcomer has an equal part whatever it earns.
_EVEN = 10.0  # Times that a hit counts at most, or its part at least.


class Claim:
    """What a process tells the others under its memory group's limit, and its share. In bytes.

    Attributes:
        at: Until when it is told, and `since` when its hits could first be told; monotonic seconds.
        groups: The groups that limit it, by device and inode; the tightest first.
        held: What its holders hold that can be let go of.
        most: What they may hold at most; `fixed` what they are to have, where that is set, else 0.
        own: What the process holds in all, as it judges itself.
        passing: What it holds beside its holders that comes and goes.
        kept: What it needs free for that.
        reserved: What was granted to it and has not come in.
        taken_in: What its holders took in so far.
        hits: Hits of late that more room would have earned; below 0 where nobody counts them.
        space: Of late: how much more room that is.
        asked, missed: Of late: lookups, and those of them that found nothing.
    """

    __slots__ = (
        "asked", "at", "fixed", "groups", "held", "hits", "kept", "missed", "most", "own",
        "passing", "reserved", "share", "since", "space", "taken_in",
    )  # fmt: skip

    def __init__(self) -> None:
        self.groups: tuple[tuple[int, int], ...] = ()
        self.own: int = 0
        self.held: int = 0
        self.share: int = 0
        self.fixed: int = 0
        self.taken_in: int = 0
        self.passing: int = 0
        self.kept: int = 0
        self.reserved: int = 0
        self.most: float = 0
        self.at: float = 0.0
        self.since: float = 0.0
        self.hits: float = 0.0
        self.space: float = 0.0
        self.asked: float = 0.0
        self.missed: float = 0.0

    def reason(self, now: float) -> str:
        """Why its share is what it is, in words."""
        if self.fixed:
            return "set by caches.share"
        if not self.most:
            return "holds nothing that can shrink"
        if now - self.since < YOUNG:
            return "new: at least an equal part"
        if self.hits < 0:
            return "an equal part: nobody counts its hits, or caches.share asks for it"
        gain = self.hits / self.asked if self.asked else 0.0
        return f"twice as much would raise its hit rate by {min(1.0, gain) * 100:.1f} points"


def divide(claims: Sequence[Claim], room: int, at: float) -> None:
    """Set the share of each process under one limit, of so many bytes; pure but for that.

    Whoever holds nothing that can shrink has no part in it. The sum is at most the room.
    """
    room = max(0, room)
    fixed = [one for one in claims if one.fixed]
    claims = [one for one in claims if one.most > 0 and not one.fixed]
    # The others keep their floor, whatever is set.
    most = room - int(PROCESS_FLOOR * room * len(claims) / max(1, len(claims) + len(fixed)))
    asked_for = sum(one.fixed for one in fixed)
    for one in fixed:
        one.share = one.fixed if asked_for <= most else one.fixed * most // asked_for
    room -= sum(one.share for one in fixed)
    if not claims:
        return
    equal = room // len(claims)
    counted = [one for one in claims if one.hits >= 0]
    mean = sum(one.asked for one in counted) / max(1, len(counted))
    floors = [int(min(one.most, equal * _floor_of(one, mean, at))) for one in claims]
    fit(claims, room, floors)
    hits = {one: one.hits * _evened(one, mean) for one in counted}
    earned = sum(hits.values()) / max(1.0, sum(one.space for one in counted))
    worths = [
        worth(one, hits[one], one.space * earned) if one in hits and mean else _to_equal(one, equal)
        for one in claims
    ]
    move(claims, room, worths, step=PROCESS_STEP, pace=PROCESS_PACE)
    fit(claims, room, floors)


def _floor_of(one: Claim, mean: float, at: float) -> float:
    """The part of an equal share that one keeps: more where as much is asked of it as of others."""
    if at - one.since < YOUNG:
        return 1.0
    return max(PROCESS_FLOOR, KEPT * min(1.0, one.asked / mean)) if mean else PROCESS_FLOOR


def _evened(one: Claim, mean: float) -> float:
    asked = one.asked + one.missed
    return min(_EVEN, max(1 / _EVEN, mean / asked)) if asked > 0 else 1.0


def _to_equal(one: Claim, equal: int) -> float:
    """What a share is worth whose hits nobody counts, or where nobody is asked: an equal one."""
    return _bounded(one, log((equal + 1) / (one.share + 1)))


def worth(part: Part, hits: float, deserved: float) -> float:
    """The logarithm of hits to those its bytes deserve; at most 0 where it has room enough."""
    return _bounded(part, log((hits + DOUBT) / (deserved + DOUBT)))


def _bounded(part: Part, worth: float) -> float:
    if worth > 0 and part.held < FILLED * part.share:
        return 0.0
    return max(-FARTHEST, min(FARTHEST, worth))


def move(
    parts: Sequence[Part],
    whole: int,
    worths: Sequence[float],
    *,
    step: float = STEP,
    pace: float = PACE,
) -> None:
    """Let each share grow or shrink by what its bytes earn beside those of all."""
    wanted = [part.share * exp(pace * one) for part, one in zip(parts, worths, strict=True)]
    total = max(1.0, sum(wanted))
    moves = [want * whole / total - part.share for want, part in zip(wanted, parts, strict=True)]
    moved = sum(more for more in moves if more > 0)
    slower = min(1.0, whole * step / moved) if moved > 0 else 1.0
    for more, part in zip(moves, parts, strict=True):
        part.share += int(more * slower)


def fit(parts: Sequence[Part], whole: int, floors: Sequence[int]) -> None:
    """Make the shares sum to the whole: none above what it may hold, none below its floor.

    What is too much is taken where it is not used first, in the proportion of what each has to
    spare; what is left goes to those that may hold more, in the proportion of their shares.
    """
    for part, least in zip(parts, floors, strict=True):
        part.share = int(min(part.most, max(least, part.share)))
    used = [max(least, part.held) for part, least in zip(parts, floors, strict=True)]
    for kept in (used, floors):
        over = sum(part.share for part in parts) - whole
        spare = [max(0, part.share - low) for part, low in zip(parts, kept, strict=True)]
        if over > 0 and (total := sum(spare)):
            for part, much in zip(parts, spare, strict=True):
                # Rounded up: the sum may end below the whole by some bytes, never above.
                part.share -= min(much, -(-over * much // total))
    for _ in range(4):  # Each time some may reach their own bound.
        rest = whole - sum(part.share for part in parts)
        able = [part for part in parts if part.share < part.most]
        if rest <= 0 or not able:
            return
        total = sum(part.share + 1 for part in able)
        for part in able:
            part.share = int(min(part.most, part.share + rest * (part.share + 1) // total))
