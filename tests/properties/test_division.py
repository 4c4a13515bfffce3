"""The division's law: whatever happens, all caches together keep under the limit."""

from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fakes import FakeClock
from membudget.cache.cache import Cache
from membudget.cache.division import Division
from membudget.core import Meter
from membudget.registry import Registry

FOREVER = float("inf")
LIMITS = st.integers(20_000, 400_000)


class Told(Registry):
    """A register whose newcomers are told to a division."""

    division: Division | None = None

    def add(self, member: object, *, keep: bool = False) -> None:
        super().add(member, keep=keep)
        if self.division is not None:
            self.division.welcome(member)


class Dividing(RuleBasedStateMachine):
    """Caches come, go, fill, shrink and are resized, and the division runs at any time."""

    @initialize(limit=LIMITS)
    def begin(self, limit: int) -> None:
        self.clock, self.registry, self.limit = FakeClock(), Told(), limit
        self.division = Division(self.registry, lambda: self.limit, self.clock)
        self.registry.division = self.division
        self.registry.meter = Meter()  # A budget runs: no cache lives on a thousand entries.
        self.caches: list[Cache[int, int]] = []
        self.numbers = count()
        self.is_lowered = False
        self.division.run(FOREVER)

    @rule(bound=st.none() | st.integers(1_000, 500_000), policy=st.sampled_from(["s3fifo", "lru"]))
    def make(self, bound: int | None, policy: str) -> None:
        more: dict[str, Any] = {"registry": self.registry, "clock": self.clock, "policy": policy}
        self.caches.append(Cache(f"no {next(self.numbers)}", max_bytes=bound, **more))

    @precondition(lambda self: self.caches)
    @rule(number=st.integers(0, 99))
    def drop(self, number: int) -> None:
        self.caches.pop(number % len(self.caches))

    @precondition(lambda self: self.caches)
    @rule(
        number=st.integers(0, 99),
        first=st.integers(0, 200),
        count=st.integers(1, 80),
        size=st.integers(0, 20_000),
    )
    def fill(self, number: int, first: int, count: int, size: int) -> None:
        cache = self.caches[number % len(self.caches)]
        for key in range(first, first + count):
            if cache.get(key) is None:
                cache.set(key, 1, size=size)
                self.check()

    @precondition(lambda self: self.caches)
    @rule(number=st.integers(0, 99), bound=st.none() | st.integers(1_000, 500_000))
    def resize(self, number: int, bound: int | None) -> None:
        self.caches[number % len(self.caches)].resize(max_bytes=bound)

    @precondition(lambda self: self.caches)
    @rule(number=st.integers(0, 99))
    def clear(self, number: int) -> None:
        self.caches[number % len(self.caches)].clear()

    @rule(seconds=st.floats(0, 3), has_time=st.booleans())
    def divide(self, seconds: float, *, has_time: bool) -> None:
        """Time passes, and the division runs: with all the time it needs, or with none."""
        self.clock.advance(seconds)
        self.division.run(FOREVER if has_time else self.clock.now())
        self.is_lowered &= not has_time

    @rule(limit=LIMITS)
    def change(self, limit: int) -> None:
        """Another limit; a lower one holds once there was time to reach it."""
        self.is_lowered |= limit < self.limit
        self.limit = limit

    @invariant()
    def check(self) -> None:
        if self.is_lowered:
            return
        assert sum(one.held_bytes() for one in self.caches) <= self.limit
        assert all(one.share is not None for one in self.caches)
        assert sum(one.share or 0 for one in self.caches) <= self.limit

    @invariant()
    def own_bounds_hold(self) -> None:
        for one in self.caches:
            assert one.max_bytes is None or one.held_bytes() <= one.max_bytes

    def teardown(self) -> None:
        self.caches = []


TestDividing = Dividing.TestCase
TestDividing.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
