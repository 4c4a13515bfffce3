"""A user's program, checked by mypy and never run: the bounded containers as people write them."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from membudget.containers.list import BoundedDeque, BoundedList
from membudget.containers.metrics import MetricsCollector
from membudget.containers.ordered import BoundedDict, BoundedSet
from membudget.containers.weak import WeakCache

if TYPE_CHECKING:
    from collections.abc import MutableMapping, MutableSequence, MutableSet

    from membudget.containers import Cause, ContainerStats
    from membudget.containers.metrics import Summary


class Trade:
    """What the program handles."""

    price: float


def on_drop(trade: Trade, cause: Cause) -> None:
    """Write it somewhere."""


trades: BoundedDeque[Trade] = BoundedDeque("trades", maxlen=10_000, on_drop=on_drop)
trades.append(Trade())
trades.appendleft(Trade())
last: Trade = trades[-1]
first: Trade = trades.popleft()
prices: list[float] = [trade.price for trade in trades]
as_sequence: MutableSequence[Trade] = trades
size: int | None = trades.maxlen

numbers = BoundedList("numbers", [1.5, 2.5], max_items=100, max_bytes="1MiB")
number: float = numbers[0]
some: list[float] = numbers[1:]
numbers[0:1] = [3.5]
numbers.sort(key=lambda one: -one, reverse=True)
numbers += [4.5]
total: float = sum(numbers)
stats: ContainerStats = numbers.stats()

books: BoundedDict[str, deque[float]] = BoundedDict("books", max_bytes="50MiB")
books["EURUSD"] = deque()
book: deque[float] | None = books.get("EURUSD")
sure: deque[float] = books.get("EURUSD", deque())
quiet: deque[float] | None = books.peek("EURUSD")
kept: deque[float] = books.setdefault("GBPUSD", deque())
oldest: tuple[str, deque[float]] = books.popitem(last=False)
names: list[str] = [name for name, _ in books.items()]
as_mapping: MutableMapping[str, deque[float]] = books
plain: OrderedDict[str, deque[float]] = books | {"USDJPY": deque()}
other: BoundedDict[str, deque[float]] = books.copy()

seen: BoundedSet[int] = BoundedSet("seen", range(5), max_items=1000)
seen.add(6)
seen |= {7}
both: set[int] = seen & {1, 2}
as_set: MutableSet[int] = seen

metrics = MetricsCollector("latency", max_samples=500, max_series=100, ttl="1h")
metrics.record("request", 0.2)
summary: Summary | None = metrics.summary("request")
p99: float = summary.p99 if summary is not None else 0.0
export: dict[str, dict[str, float]] = metrics.as_dict()

sessions: WeakCache[str, Trade] = WeakCache("sessions", strong=100, max_bytes="10MiB")
sessions["a"] = Trade()
session: Trade | None = sessions.get("a")
