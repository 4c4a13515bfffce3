"""A user's program, checked by mypy and never run: containers watched and made by a budget."""

from __future__ import annotations

import threading
from collections import deque

import membudget
from membudget import BoundedDeque

budget = membudget.start("400MiB", components={"book": {"max_items": 5000, "max_bytes": "20MiB"}})
LOCK = threading.Lock()


class Service:
    """Keeps a book, which is exchanged now and then, and ticks."""

    def __init__(self) -> None:
        """Have both watched."""
        self.book: dict[str, float] = {}
        self.ticks: deque[float] = deque(maxlen=1000)
        self.watched = budget.watch("book", lambda: self.book, trim=True, lock=LOCK, every="5s")
        self.recent = budget.watch("ticks", self.ticks).observed()

    def over(self) -> bool:
        """Whether the book is over its limit."""
        stats = self.watched.stats()
        return stats.items is not None and stats.items > (stats.max_items or 0)

    def enough(self) -> int | None:
        """The bound that use suggests."""
        text: str = self.watched.advice().text
        return self.watched.advice().enough if text else None


budget.watch("seen", {1, 2}, max_items=100, resize=(10, 1000)).stop()
end = membudget.adopt({"a": 1}, "answers", max_items=100, max_bytes="1MiB", lock=LOCK)
end()
trades = budget.deque("trades", maxlen=10_000)
trades.append(1.08)
names = budget.list("names", ["a"], max_items=10)
prices = budget.dict("prices", max_bytes="1MiB")
prices["EURUSD"] = 1.08
known = budget.set("known", max_items=10)
known.add(1)
ticks: BoundedDeque[float] = budget.deque("ticks", max_bytes="1MiB")
lengths = budget.list("lengths", [1], on_drop=lambda one, cause: print(one + 1, cause))  # noqa: T201
length: int = lengths[0]
by_name = budget.dict("by name", {"a": 1}, size=lambda value: value.bit_length())
total: int = by_name["a"]
