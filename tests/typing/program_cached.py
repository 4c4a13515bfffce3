"""A user's program, checked by mypy and never run: cached functions keep their signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.cache.loading.cached import cached

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from membudget import Cache


@cached
def features(symbol: str, *, depth: int = 3) -> list[float]:
    """Bare."""
    return [float(len(symbol))] * depth


@cached(max_bytes="20MiB", ttl="5m", jitter="10%", stale="1m")
async def quote(symbol: str) -> float:
    """With settings, and a coroutine function."""
    return float(len(symbol))


class Client:
    """With methods."""

    @cached(max_entries=100)
    def price(self, symbol: str, digits: int = 2) -> float:
        """Of an object."""
        return round(float(len(symbol)), digits)

    @cached(keep_errors=5, key=lambda self, symbol: symbol)
    async def news(self, symbol: str) -> list[str]:
        """Of an object, awaited."""
        return [symbol]

    @classmethod
    @cached
    def named(cls, name: str) -> str:
        """Of a class."""
        return f"{cls.__name__} {name}"

    @staticmethod
    @cached
    def double(x: int) -> int:
        """Of neither."""
        return 2 * x


one: list[float] = features("EURUSD", depth=2)
plain: Callable[[str], list[float]] = features
hits: int = features.cache_info().hits
features.cache_clear()
weight: int = features.cache.held_bytes()
inner: list[float] = features.__wrapped__("EURUSD")

client = Client()
two: float = client.price("EURUSD", digits=1)
three: float = Client.price(client, "EURUSD")
client.price.cache_clear()
four: str = Client.named("x")
five: str = client.named("x")
six: int = Client.double(1)
seven: int = client.double(1)
bound: Callable[[str], float] = client.price
figures: tuple[int, int, int | None, int] = Client.named.cache_info()


async def main(cache: Cache[str, float]) -> None:
    """Awaited."""
    call: Coroutine[Any, Any, float] = quote("EURUSD")
    price: float = await call
    words: list[str] = await client.news("EURUSD")
    loaded: float = cache.get_or_load("EURUSD", lambda symbol: float(len(symbol)), ttl="5m")
    awaited: float = await cache.get_or_load_async("EURUSD", quote)
    print(price, words, loaded, awaited)  # noqa: T201  # so that none is unused
