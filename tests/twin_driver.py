"""The compiled and the plain table side by side: whatever is done to both, they must not differ.

    PYTHONPATH=src python tests/twin_driver.py --steps 10000000 --seed 1 [--plain]

Each answer is compared, and the whole state every so many steps. With --plain the plain table runs
beside itself, which checks this driver alone. Ends with 1 at the first difference, and says where.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

sys.path.append(os.path.dirname(os.path.abspath(__file__)))

from fakes import FakeClock
from membudget.bounded.plain.table import Table
from membudget.core import Meter
from membudget.registry import Registry

COMPILED: Any = None
"""The compiled table's class, or None."""
with suppress(ImportError):
    COMPILED = import_module("membudget._native._core").Table

if TYPE_CHECKING:
    from collections.abc import Callable

ENTRY = 90
"""Bytes that an entry costs in both."""

WHOLE_EVERY = 1000
"""Steps between two comparisons of the whole state."""

DAY = 86400.0
LAST = 600 * DAY
TICK = 1 / 64
MANY = 60
"""Keys at most that a step names."""


FLOOD = 1500
"""Entries that expire together: more than one search moves up."""


class DifferenceError(AssertionError):
    """The two answered differently."""


def weigh(value: int) -> int:
    """What a value holds, where no size is given."""
    return value * 37 % 700


def listening(base: Any) -> Any:
    """A class of tables that note what they tell, and evict what they are asked for."""

    class Listening(base):  # type: ignore[misc]  # either of two
        __slots__ = ("claims", "name", "told", "wanted")

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.name = "twin"
            self.told: list[Any] = []
            self.claims: list[int] = []
            self.wanted = 0

        def _told(self, gone: list[Any]) -> None:
            self.told += gone

        def _claim(self, weight: int) -> None:
            self.claims.append(weight)
            left, self.wanted = self.wanted, 0
            while left > 0:
                freed, gone = self._evict(left, "pressure")
                self.told += gone or []
                left = left - freed if freed else 0

    return Listening


class Twins:
    """Two tables that are asked the same.

    Args:
        kinds: Their classes.
        options: What both are made with; what is missing gets a default.
    """

    def __init__(self, kinds: tuple[Any, Any], **options: Any) -> None:
        self.clock = FakeClock(options.pop("now", 1000.0))
        self.registry = Registry()
        defaults: dict[str, Any] = {
            "max_bytes": None,
            "max_entries": None,
            "ttl": None,
            "idle": None,
            "policy": "gdsf",
            "size": weigh,
            "listens": True,
            "registry": self.registry,
            "now": self.clock.now,
            "entry_bytes": ENTRY,
        }
        made = {**defaults, **options}
        self.both = tuple(listening(kind)(**made) for kind in kinds)
        self.asked = 0

    def ask(self, what: str, *args: Any, **more: Any) -> Any:
        """Ask both; returns the answer where it is the same.

        Raises:
            DifferenceError: It is not.
        """
        return self.compare(
            f"{what}{args}{more or ''}", lambda one: getattr(one, what)(*args, **more)
        )

    def compare(self, what: str, act: Callable[[Any], Any]) -> Any:
        """Do the same to both, and compare what comes of it and what each holds."""
        self.asked += 1
        first, second = (outcome(act, one) for one in self.both)
        if first != second:
            raise DifferenceError(f"step {self.asked}: {what}: {first!r} and {second!r}")
        one, other = self.both
        if (len(one), one.held_bytes()) != (len(other), other.held_bytes()):
            raise DifferenceError(
                f"step {self.asked}: {what}: {len(one)} entries of {one.held_bytes()} bytes "
                f"and {len(other)} of {other.held_bytes()}"
            )
        return first[1]

    def whole(self) -> None:
        """Compare all that can be seen of both."""
        for what in ("keys", "values", "items", "_counts"):
            self.ask(what)
        self.compare("list", list)
        self.compare("what was told", lambda one: one.told)
        self.compare("what was claimed", lambda one: one.claims)
        self.compare("bounds", lambda one: (one.max_bytes, one.max_entries, one.share))
        self.compare("times", lambda one: [one.ttl_left(key) for key in one])
        for one in self.both:
            one.told.clear()
            one.claims.clear()

    def put(self, name: str, value: object) -> None:
        """Set an attribute of both."""
        for one in self.both:
            setattr(one, name, value)


def outcome(act: Callable[[Any], Any], one: Any) -> tuple[str, Any]:
    """What came of it: an answer or the kind of error."""
    try:
        return "answer", act(one)
    except (KeyError, TypeError, ValueError) as error:
        return "error", type(error).__name__


class Driver:
    """Does this and that to two tables, by chance that can be repeated.

    Args:
        seed: What the chance is drawn from.
        kinds: The classes of the two.
    """

    def __init__(self, seed: int, kinds: tuple[Any, Any]) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # no secret depends on it
        self.kinds = kinds
        self.serial = 0
        self.steps: list[tuple[int, Callable[[], object]]] = [
            (300, self.get),
            (300, self.set),
            (30, lambda: self.twins.ask("peek", self.key(), "none")),
            (30, lambda: self.twins.ask("__contains__", self.key())),
            (30, lambda: self.twins.ask("pop", self.key(), "none")),
            (10, lambda: self.twins.ask("pop", self.key())),
            (20, lambda: self.twins.ask("delete", self.key())),
            (20, lambda: self.twins.ask("ttl_left", self.key())),
            (10, lambda: self.twins.ask("get_many", [self.key() for _ in range(10)])),
            (10, self.set_many),
            (10, lambda: self.twins.ask("_evict", self.chance.randrange(3000), "pressure")),
            (10, lambda: self.twins.ask("_sweep")),
            (10, lambda: self.twins.ask("_enforce")),
            (20, self.order),
            (2, lambda: self.twins.compare("_fold", fold)),
            (100, self.wait),
            (3, self.bound),
            (2, lambda: self.twins.put("share", self.maybe(20_000))),
            (3, lambda: self.twins.put("wanted", self.chance.randrange(4000))),
            (1, self.meter),
            (1, self.rarely_clear),
            (1, self.rarely_flood),
        ]
        self.begin()

    def run(self, steps: int) -> None:
        """Go on for so many steps; a new pair every 20,000."""
        weights = [weight for weight, _ in self.steps]
        acts = [act for _, act in self.steps]
        for number in range(1, steps + 1):
            self.chance.choices(acts, weights)[0]()
            if not number % WHOLE_EVERY:
                self.twins.whole()
            if not number % 20_000:
                self.begin()
        self.twins.whole()

    def begin(self) -> None:
        """Make a new pair."""
        chance = self.chance
        self.reach = chance.choice([5, 30, 200, 3000])
        self.policy = chance.choice(["gdsf", "gdsf", "s3fifo", "lru"])
        self.twins = Twins(
            self.kinds,
            max_bytes=self.maybe(self.reach * 400),
            max_entries=self.maybe(self.reach),
            ttl=chance.choice([None, None, 0.3, 5.0, 100.0, 40 * DAY]),
            idle=chance.choice([None, None, 0.05, 7.0, 200.0, 5 * DAY]),
            policy=self.policy,
            listens=chance.random() < 0.9,
            now=chance.choice([0.0, 1000.0, 12345.678]),
        )
        self.twins.put("free_entries", chance.choice([-1, self.reach]))
        self.pace = chance.choice([TICK, 0.01, 1.0, 60.0, 5000.0, DAY])

    def maybe(self, most: int) -> int | None:
        """A number above zero, or none."""
        return self.chance.choice([None, 1 + self.chance.randrange(most)])

    def key(self) -> Any:
        """A key, the small numbers most often."""
        number = int(self.reach * 2 * self.chance.random() ** 2)
        kind = self.chance.randrange(10)
        if kind < 7:
            return number
        return f"key {number}" if kind < 9 else (number, "pair")

    def get(self) -> None:
        """Look one up."""
        key = self.key()
        if self.chance.random() < 0.9:
            self.twins.ask("get", key, "none")
        else:
            self.twins.compare(f"[{key!r}]", lambda one: one[key])

    def set(self) -> None:
        """Take one in."""
        self.serial += 1
        more: dict[str, Any] = {}
        if self.chance.random() < 0.3:
            more["ttl"] = self.chance.choice([1e-6, TICK, 0.02, 1, 3.3, 64, 70.5, 5000, 4 * DAY])
        if self.chance.random() < 0.3:
            more["size"] = self.chance.choice([0, 1, 500, 3000, "1KiB", 2**21])
        self.twins.ask("set", self.key(), self.serial, **more)

    def order(self) -> None:
        """What a mapping with an order has besides."""
        is_newest = self.chance.random() < 0.5
        self.serial += 1
        self.twins.ask("_setdefault", self.key(), self.serial)
        if self.policy == "lru":
            self.twins.ask("_move_to_end", self.key(), is_newest)
            self.twins.ask("_popitem", is_newest)

    def set_many(self) -> None:
        """Take several in."""
        count = self.chance.choice([3, 10, MANY])
        pairs = [(self.key(), self.serial + number) for number in range(count)]
        self.serial += count
        ttl = self.chance.choice([None, 2.5, 300])
        self.twins.ask("set_many", dict(pairs) if count == MANY else pairs, ttl=ttl)

    def wait(self) -> None:
        """Let time pass, up to the two years that a compiled entry can tell apart."""
        if self.twins.clock.now() > LAST:
            self.begin()
        step = self.chance.choice([TICK, 3 * TICK, 1.0, 64 * 64 * TICK, self.chance.random()])
        step *= self.pace * self.chance.choice([0, 0.1, 1])
        self.twins.clock.advance(min(step, LAST / 10))

    def bound(self) -> None:
        """Change the bounds."""
        self.twins.ask("_set_bounds", self.maybe(self.reach * 400), self.maybe(self.reach))
        for _ in range(5):
            self.twins.ask("_enforce")

    def meter(self) -> None:
        """Let a budget begin or end."""
        registry = self.twins.registry
        registry.meter = None if registry.meter is not None else Meter()

    def rarely_clear(self) -> None:
        """Forget everything, one time in ten."""
        if self.chance.random() < 0.1:
            self.twins.ask("clear")

    def rarely_flood(self) -> None:
        """Take in more with the same time than is moved up at once, one time in ten."""
        if self.chance.random() < 0.1:
            self.twins.ask("_set_bounds", None, 3 * FLOOD)
            ttl = self.chance.choice([70.5, 4000.0])
            self.twins.ask("set_many", [(number, number) for number in range(FLOOD)], ttl=ttl)
            self.twins.clock.advance(ttl - self.chance.choice([0.5, 0]))


def fold(one: Any) -> None:
    """Give table memory back to the end."""
    while one._fold():
        pass


def main() -> int:
    """Run by hand; returns the exit code."""
    parser = argparse.ArgumentParser(description="The compiled and the plain table side by side.")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="the plain table beside itself")
    given = parser.parse_args()
    if COMPILED is None and not given.plain:
        sys.stdout.write("nothing is compiled here: build it, or give --plain\n")
        return 2
    driver = Driver(given.seed, (Table if given.plain else COMPILED, Table))
    try:
        driver.run(given.steps)
    except DifferenceError as difference:
        sys.stdout.write(f"{difference}\n")
        return 1
    sys.stdout.write(f"{given.steps:,} steps from seed {given.seed}: no difference\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
