"""Programs with an error a line, never run: type checkers must see each, and nothing else.

mypy does where each comment below is needed; those that ty cannot see yet say so.
"""

from __future__ import annotations

import membudget
from membudget import BoundedDict, Cache, cached


@cached
def features(symbol: str, *, depth: int = 3) -> list[float]:
    """Bare."""
    return [float(len(symbol))] * depth


class Client:
    """With methods."""

    @cached(ttl="5m")
    def price(self, symbol: str) -> float:
        """Of an object."""
        return float(len(symbol))

    @cached
    async def news(self, symbol: str) -> list[str]:
        """Of an object, awaited."""
        return [symbol]

    @classmethod
    @cached
    def named(cls, name: str) -> str:
        """Of a class."""
        return name

    @staticmethod
    @cached
    def double(x: int) -> int:
        """Of neither."""
        return 2 * x


features("EURUSD", depth="deep")  # type: ignore[arg-type]
features(5)  # type: ignore[arg-type]
wrong: int = features("EURUSD")  # type: ignore[assignment]
features.cache_clean()  # type: ignore[attr-defined]
client = Client()
client.price(5)  # type: ignore[arg-type]
Client.price(client, 5)  # type: ignore[call-overload]
price: str = client.price("EURUSD")  # type: ignore[assignment]
client.named(5)  # type: ignore[arg-type]
client.double("x")  # type: ignore[arg-type]


async def read() -> None:
    """Awaited, and not."""
    words: list[str] = client.news("EURUSD")  # type: ignore[assignment]
    awaited: list[int] = await client.news("EURUSD")  # type: ignore[assignment]
    print(words, awaited)  # noqa: T201  # so that none is unused


prices = Cache[str, float]("prices", max_bytes="50MiB")
prices.set("EURUSD", "1.08")  # type: ignore[arg-type]
prices[5] = 1.08  # type: ignore[index]
text: str = prices["EURUSD"]  # type: ignore[assignment]
prices.get_or_load("EURUSD", lambda symbol: symbol)  # type: ignore[arg-type, return-value]
Cache("a", max_byte=5)  # type: ignore[call-arg]
Cache("a", max_bytes=0.5)  # type: ignore[arg-type]
BoundedDict("a", maxitems=5)  # type: ignore[call-arg]

budget = membudget.start("400MiB")
budget.cache("a", max_byte=5)  # type: ignore[call-overload]  # not ty
budget.cache("a", max_bytes=0.5)  # type: ignore[call-overload]
budget.cache("a").spill_stats()  # type: ignore[attr-defined]
books: Cache[str, float] = budget.cache("a")
books.set("EURUSD", "1.08")  # type: ignore[arg-type]
budget.deque("a", max_items=5)  # type: ignore[call-arg]  # not ty
budget.list("a", max_items="many")  # type: ignore[arg-type]
budget.dict("a", {"b": 1})[5] = 1  # type: ignore[index]
budget.set("a", [1]).add("b")  # type: ignore[arg-type]
budget.watch("a", {}, maximum=5)  # type: ignore[call-arg]
budget.admit(0.5)  # type: ignore[arg-type]
budget.callback("a", lambda: 0)  # type: ignore[arg-type, misc]

membudget.start(treshold={"low": 0.5})  # type: ignore[call-arg]  # not ty
membudget.start(thresholds={"lo": 0.5})  # type: ignore[typeddict-unknown-key]
membudget.start(cleanup={"settle": b"1"})  # type: ignore[typeddict-item]
membudget.start(thresholds={"rss": {"low": 0.5}})  # type: ignore[typeddict-unknown-key]
membudget.start(components={"a": {"maxitems": 5}})  # type: ignore[typeddict-unknown-key]
