"""The rule by which growth is a leak: in every round, and at a pace that lasts. Pure.

That every round must grow is the rule of CPython's own Lib/test/libregrtest/refleak.py; over nine
leaking and ten healthy functions it found 53 of 54 leaks where the difference of end and start
found 48, with half the false alarms. Those left were caches that were still filling: growth that
dies away tells them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.core import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

LASTING = 0.7
"""Growth of the last third ÷ that of the first from which it counts as lasting."""

ROUNDS = 6
SECONDS = 10.0


class Asked(Record):
    """What a check was asked to do.

    Attributes:
        rounds: How many rounds; twice as many follow where all of them grew.
        warmup: Calls before the first round, or None: as many as half a round, at least 100.
        calls: Calls in a round, or None: 200, more of a quick function, fewer of a slow one.
        seconds: What the rounds may take; the longer second series may take as much again.
    """

    rounds: int = ROUNDS
    warmup: int | None = None
    calls: int | None = None
    seconds: float = SECONDS


class Size(Record):
    """How large the rounds are made.

    Attributes:
        calls: In each round.
        cut: Why it gets fewer than the usual 200, in words; or an empty text.
    """

    calls: int
    cut: str = ""


USUAL = 200
"""Calls in a round: with 50, a seventh of the leaks was missed and false alarms doubled."""

_QUICK = 0.02
"""Seconds that a round of a quick function may take: it gets more calls, so caches fill sooner."""

_MOST, _FEWEST = 2000, 4
_LONGER = 32
_ROOM = 32 << 20
"""Bytes that a suspected leak may take up in the second series."""

_BLOCK = 64
"""Bytes taken for a live block where only their number is known."""


_SCARCE = 200
"""Descriptors, threads or the like that may be used up; 1024 descriptors are usually allowed."""


def size_of_rounds(asked: Asked, cost: float, scarce: float = 0.0) -> Size:
    """How many calls a round has.

    Args:
        asked: What the check was asked to do.
        cost: Seconds a call takes.
        scarce: Tasks, threads, descriptors or children that a call leaves behind.
    """
    if asked.calls is not None:
        return Size(calls=asked.calls)
    possible = asked.seconds * 0.7 / asked.rounds / max(cost, 1e-9)
    calls = int(max(USUAL, min(_MOST, possible, _QUICK / max(cost, 1e-9))))
    cut = ""
    if possible < USUAL:
        calls = int(possible)
        cut = (
            f"one takes {cost * 1000:.3g} ms and the rounds may take {asked.seconds:g} s: "
            "give seconds= or calls= for more"
        )
    if scarce > 0 and (most := int(_SCARCE / (asked.rounds * scarce))) < calls:
        calls, cut = most, "each leaves something scarce behind"
    return Size(calls=max(_FEWEST, calls), cut=cut)


def longer(asked: Asked, size: Size, cost: float, blocks: float, malloc: float) -> int:
    """Calls in a round of the second series: up to 32 times as many where that costs little.

    A cache of ten thousand entries grows by one at each of the first ten thousand calls, exactly
    as a leak does; only going further tells them apart.

    Args:
        asked: What the check was asked to do.
        size: The rounds of the first series.
        cost: Seconds a call takes.
        blocks: Live blocks a call leaves.
        malloc: Bytes a call leaves in malloc.
    """
    if asked.calls is not None or size.cut:
        return size.calls
    rounds = 2 * asked.rounds
    by_time = asked.seconds / max(rounds * cost, 1e-9)
    by_room = _ROOM / max(rounds * (blocks * _BLOCK + malloc), 1e-9)
    return int(max(size.calls, min(size.calls * _LONGER, by_time, by_room)))


_RARE = 1000
"""Calls for each of which one block is due: less is what the surroundings bring."""


def least_growth(calls: int) -> int:
    """The least growth of a round that counts, in blocks or in bytes.

    Args:
        calls: In the round.
    """
    return max(1, calls // _RARE)


def grew_in_every(deltas: Sequence[int], least: int = 1) -> bool:
    """Whether there was growth of at least so much in each round; False without rounds."""
    return bool(deltas) and all(delta >= least for delta in deltas)


def pace(deltas: Sequence[int]) -> float:
    """Growth of the last third of the rounds as a share of the first third's; 0 with neither."""
    third = max(1, len(deltas) // 3)
    first, last = sum(deltas[:third]), sum(deltas[-third:])
    return last / first if first > 0 else 0.0


def is_lasting(deltas: Sequence[int], least: int = 1) -> bool:
    """Whether growth is in every round and does not die away."""
    return grew_in_every(deltas, least) and pace(deltas) >= LASTING
