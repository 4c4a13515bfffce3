"""Who is there when: the scenes that workers of one container go through."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EACH = 100 << 20
"""Bytes of the group's limit for each worker."""

LEAK = 150 << 20
"""Bytes that a neighbour leaks."""

_LATER = 4.0
"""Seconds by which the cold workers are early."""


class Member(NamedTuple):
    """One worker: when it starts, and the roles it plays, each for so many seconds."""

    start: float
    roles: tuple[tuple[str, float], ...]

    @property
    def ends(self) -> float:
        """When it leaves."""
        return self.start + sum(seconds for _, seconds in self.roles)

    @property
    def is_hot(self) -> bool:
        """Whether it begins as a hot one."""
        return self.roles[0][0] == "hot"


class Scene(NamedTuple):
    """Members, the limit, and what is done to them: when, what ("kill", "stop", "cont"), to whom.

    A neighbour is no worker: it leaks `leaks` bytes a second, up to `LEAK`, from the second
    second on.
    """

    members: tuple[Member, ...]
    limit: int
    done: tuple[tuple[float, str, int], ...] = ()
    leaks: int = 0

    @property
    def killed(self) -> set[int]:
        """Those who are to be killed."""
        return {who for _, what, who in self.done if what == "kill"}

    @property
    def ends(self) -> float:
        """When the last one leaves."""
        return max(one.ends for one in self.members)

    @property
    def swaps(self) -> bool:
        """Whether roles change."""
        return any(len(one.roles) > 1 for one in self.members)


def together(count: int, ends: float) -> Scene:
    """A quarter of them, at least one, is cold and early."""
    cold = max(1, count // 4)
    members = [_member(number >= cold, _LATER * (number >= cold), ends) for number in range(count)]
    return Scene(tuple(members), count * EACH)


def _member(is_hot: bool, start: float, ends: float) -> Member:  # noqa: FBT001  # its role
    return Member(start, (("hot" if is_hot else "cold", ends - start),))


def _arriving(pace: float) -> Scene:
    members = [_member(number > 0, 3.0 * number, 9.0 + 15 * pace) for number in range(4)]
    return Scene(tuple(members), 4 * EACH)


def _leaving(pace: float) -> Scene:
    scene = together(4, 28 * pace)
    ends = (28 * pace, 28 * pace, 16 * pace, 12 * pace)
    members = (
        _member(one.is_hot, one.start, end) for one, end in zip(scene.members, ends, strict=True)
    )
    return scene._replace(members=tuple(members))


def _killed(pace: float) -> Scene:
    return together(4, 24 * pace)._replace(done=((12 * pace, "kill", 3),))


def _stopped(pace: float) -> Scene:
    """A hot one, in the middle."""
    return together(4, 10 + 18 * pace)._replace(
        done=((10 * pace, "stop", 1), (10 * pace + 10, "cont", 1))
    )


def _stopped_early(pace: float) -> Scene:
    """The cold one, which has the room, just as the others arrive."""
    return together(4, 14 + 14 * pace)._replace(
        done=((_LATER, "stop", 0), (_LATER + 10, "cont", 0))
    )


def _swapped(pace: float) -> Scene:
    """Each in its turn is the cold one, for 20 seconds."""
    members = [
        Member(0.0, tuple(("cold" if turn == number else "hot", 20 * pace) for turn in range(4)))
        for number in range(4)
    ]
    return Scene(tuple(members), 4 * EACH)


def _neighbour(pace: float) -> Scene:
    """It leaks 5 MiB a second; with less time, faster."""
    return together(2, 36 * pace)._replace(limit=3 * EACH, leaks=int(5 / pace * (1 << 20)))


SCENES: Mapping[str, Callable[[float], Scene]] = {
    "2 workers": lambda pace: together(2, 24 * pace),
    "4 workers": lambda pace: together(4, 24 * pace),
    "8 workers": lambda pace: together(8, 24 * pace),
    "16 workers": lambda pace: together(16, 24 * pace),
    "arriving": _arriving,
    "leaving": _leaving,
    "killed": _killed,
    "stopped": _stopped,
    "stopped early": _stopped_early,
    "swapped": _swapped,
    "neighbour": _neighbour,
}
"""By name, given the part of its time that each is to take."""
