"""The compiled table and its plain twin: no sequence of calls tells them apart.

TWIN_EXAMPLES and TWIN_STEPS ask for more than the few examples of every day;
`tests/twin_driver.py` goes on for millions of steps by chance alone.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cache_oracle import check_contents
from membudget import sizing
from membudget.bounded.plain.table import Table
from membudget.core import Meter
from twin_driver import COMPILED, TICK, Driver, Twins, fold

EXAMPLES = int(os.environ.get("TWIN_EXAMPLES", "50"))
STEPS = int(os.environ.get("TWIN_STEPS", "50"))

NUMBERS = st.integers(-3, 20)
KEYS = NUMBERS | NUMBERS.map(str) | NUMBERS.map(lambda number: (number, "pair"))
BYTES = st.none() | st.integers(100, 5_000)
ENTRIES = st.none() | st.integers(1, 12)
TTLS = st.none() | st.sampled_from([1e-6, TICK, 0.5, 1, 1.01, 64 * TICK, 65.0, 5000, 1e6, "2m"])
SIZES = st.none() | st.integers(0, 2_000) | st.sampled_from(["1KiB", "1B"])
WAITS = (
    st.sampled_from([0.0, TICK, 63 * TICK, 1.0, 64.0, 4095 * TICK, 4096.0, 3e5, 1e7])
    | st.integers(0, 10_000).map(lambda ticks: ticks * TICK)
    | st.floats(0, 200)
)

needs_both = pytest.mark.skipif(
    COMPILED is None or not sizing.IS_COMPILED,
    reason="the table is not compiled here, or keys are weighed by the plain sizer",
)


class TwinMachine(RuleBasedStateMachine):
    """Anything that may be asked of a table, of both in any order."""

    kinds: tuple[Any, Any] = (COMPILED, Table)

    @initialize(
        policy=st.sampled_from(["gdsf", "s3fifo", "lru"]),
        max_bytes=BYTES,
        max_entries=ENTRIES,
        ttl=st.none() | st.floats(0.01, 300),
        idle=st.none() | st.floats(0.01, 300),
        now=st.sampled_from([0.0, 1000.0, 98765.4321]),
        listens=st.booleans(),
    )
    def make(self, **options: Any) -> None:
        """Begin with two empty tables."""
        self.twins = Twins(self.kinds, **options)
        self.serial = 0

    @rule(key=KEYS, ttl=TTLS, size=SIZES)
    def set(self, key: Any, ttl: Any, size: Any) -> None:
        """Take in a value."""
        self.serial += 1
        self.twins.ask("set", key, self.serial, ttl=ttl, size=size)

    @rule(keys=st.lists(KEYS, max_size=8), ttl=TTLS)
    def set_many(self, keys: list[Any], ttl: Any) -> None:
        """Take in several."""
        self.serial += 1
        self.twins.ask("set_many", dict.fromkeys(keys, self.serial), ttl=ttl)

    @rule(key=KEYS, what=st.sampled_from(["get", "get", "get", "peek", "pop"]))
    def look(self, key: Any, what: str) -> None:
        """Look for one, and perhaps take it out."""
        self.twins.ask(what, key, "none")

    @rule(key=KEYS, what=st.sampled_from(["delete", "ttl_left", "pop", "__getitem__"]))
    def ask(self, key: Any, what: str) -> None:
        """Ask for one that may not be there."""
        self.twins.ask(what, key)

    @rule(keys=st.lists(KEYS, max_size=8))
    def get_many(self, keys: list[Any]) -> None:
        """Look several up."""
        self.twins.ask("get_many", keys)

    @rule(wanted=st.integers(0, 4_000))
    def evict(self, wanted: int) -> None:
        """Be asked to shrink."""
        self.twins.ask("_evict", wanted, "pressure")

    @rule(what=st.sampled_from(["_sweep", "_enforce"]))
    def step(self, what: str) -> None:
        """Do a bounded piece of work."""
        self.twins.ask(what)

    @rule()
    def fold(self) -> None:
        """Give table memory back."""
        self.twins.compare("_fold", fold)

    @rule(seconds=WAITS)
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.twins.clock.advance(seconds)

    @rule(max_bytes=BYTES, max_entries=ENTRIES, share=BYTES)
    def bound(self, max_bytes: int | None, max_entries: int | None, share: int | None) -> None:
        """Change the bounds."""
        self.twins.ask("_set_bounds", max_bytes, max_entries)
        self.twins.put("share", share)

    @rule(wanted=st.integers(0, 4_000), quantum=st.sampled_from([1, 1_000, 1 << 14]))
    def want(self, wanted: int, quantum: int) -> None:
        """Let the budget ask for something at the next claim."""
        self.twins.put("claim_quantum", quantum)
        self.twins.put("wanted", wanted)

    @rule(is_there=st.booleans())
    def budget(self, is_there: bool) -> None:  # noqa: FBT001  # drawn by name
        """Let a budget run, or not."""
        self.twins.registry.meter = Meter() if is_there else None

    @precondition(lambda self: self.serial % 5 == 4)
    @rule()
    def clear(self) -> None:
        """Forget everything."""
        self.twins.ask("clear")

    @invariant()
    def they_are_alike(self) -> None:
        """All that can be seen, the order of eviction included."""
        if hasattr(self, "twins"):
            self.twins.whole()

    @invariant()
    def the_plain_one_is_in_order(self) -> None:
        """Its links and its sums agree."""
        if hasattr(self, "twins"):
            check_contents(self.twins.both[1]._contents)


class PlainMachine(TwinMachine):
    """The plain table beside itself, which looks at nothing but its own order."""

    kinds = (Table, Table)


TestTwins: Any = needs_both(TwinMachine.TestCase)
TestPlain: Any = PlainMachine.TestCase
TestTwins.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
TestPlain.settings = settings(max_examples=20, stateful_step_count=STEPS, deadline=None)


@needs_both
@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_steps_by_chance_do_not_tell_them_apart(seed: int) -> None:
    """The driver's own mix, with larger tables and longer times."""
    Driver(seed, (COMPILED, Table)).run(20_000)
