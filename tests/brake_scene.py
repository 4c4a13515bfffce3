"""A process with a brake whose memory, threads and libraries are set by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fakes import MIB, FakeClock, Recorder
from membudget.brake import DataLimits
from membudget.brake.brake import Brake
from membudget.brake.room import Room, Stacks, margin_of, reserve_of
from membudget.core import OWN, Pressure, Reading
from membudget.governor.telling import Teller
from membudget.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable


LIMIT = 400 * MIB
STACK = 8 * MIB
KEPT_FREE = margin_of(LIMIT) + reserve_of(LIMIT)


class FakeLimits(DataLimits):
    """Soft and hard limits of processes by number, 0 being this one."""

    def __init__(self, soft: int | None = None, hard: int | None = None) -> None:
        self.limits: dict[int, tuple[int | None, int | None]] = {0: (soft, hard)}
        self.sets = 0
        self.is_kept = True
        self.at_binds: Callable[[], object] = bool
        self.error: Exception | None = None

    def get(self, pid: int = 0) -> tuple[int | None, int | None]:
        if pid not in self.limits:
            raise ProcessLookupError(pid)
        return self.limits[pid]

    def set(self, soft: int | None, hard: int | None, pid: int = 0) -> None:
        assert hard is None or (soft is not None and soft <= hard), "above the hard limit"
        if self.error is not None:
            raise self.error
        self.limits[pid] = (soft, hard)
        self.sets += 1

    def binds(self, beyond: int) -> bool:
        self.at_binds()
        return self.is_kept

    @property
    def soft(self) -> int | None:
        return self.limits[0][0]


class OpenRegistry(Registry):
    def __init__(self) -> None:
        super().__init__()
        self.members: list[object] = []

    def add(self, member: object, *, keep: bool = False) -> None:
        super().add(member, keep=keep)
        self.members.append(member)

    def remove(self, member: object) -> None:
        super().remove(member)
        self.members = [one for one in self.members if one is not member]


class Machine:
    """A process with a brake whose memory, threads and libraries are set by hand."""

    def __init__(
        self, soft: int | None = None, hard: int | None = None, limits: FakeLimits | None = None
    ) -> None:
        self.clock = FakeClock()
        self.used, self.data, self.anon = 50 * MIB, 60 * MIB, 50 * MIB
        self.limit: int | None = LIMIT
        self.threads, self.modules, self.code = 1, 100, 4 * MIB
        self.swap = self.free = self.given_back = 0
        self.asked: list[int] = []
        self.limits = limits or FakeLimits(soft, hard)
        self.recorder = Recorder()
        self.wakes = 0
        self.registry = OpenRegistry()
        room = Room(
            Stacks(STACK, lambda: self.threads),
            lambda: self.given_back,
            lambda: self.code,
            lambda: self.modules,
        )
        self.brake = Brake(
            tell=Teller([self.recorder], self.clock),
            registry=self.registry,
            limits=self.limits,
            wake=self._wake,
            room=room,
            ready=lambda: self.free,
            ask=self.asked.append,
            clock=self.clock,
        )

    def reading(self) -> Reading:
        parts = {"data": self.data, "anon": self.anon, OWN: self.anon + self.swap}
        if self.swap:
            parts["swap"] = self.swap
        return Reading(at=self.clock.now(), used=self.used, limit=self.limit, parts=parts)

    def arm(self) -> str:
        return self.brake.arm(self.reading())

    def tick(self, seconds: float = 1.0) -> int | None:
        """Let time pass and the brake follow; returns the soft limit."""
        self.clock.advance(seconds)
        self.brake.follow(self.reading(), Pressure())
        return self.limits.soft

    def grow(self, size: int) -> None:
        """Map and touch."""
        self.data, self.anon, self.used = self.data + size, self.anon + size, self.used + size

    def room(self) -> int:
        """Bytes between what is mapped and the limit."""
        assert self.limits.soft is not None
        return self.limits.soft - self.data

    def _wake(self) -> None:
        self.wakes += 1
