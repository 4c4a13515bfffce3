"""A small web service: a cache that keeps the budget, and big answers that ask first.

uv run python examples/price_service.py 8000
curl localhost:8000/EURUSD
curl localhost:8000/history/EURUSD
curl localhost:8000/_memory
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import membudget

budget = membudget.start("400MiB")
prices: membudget.Cache[str, dict[str, Any]] = budget.cache("prices", ttl="1h")
DAY = 24 * 60


@dataclass
class Bar:
    """One minute of trading."""

    low: float
    high: float


def price(symbol: str) -> dict[str, Any]:
    """The price of a symbol, remembered for an hour or for as long as there is room."""
    found = prices.get(symbol)
    if found is None:
        found = {"symbol": symbol, "bid": random.random(), "note": "x" * 2000}  # noqa: S311
        prices.set(symbol, found)
    return found


def history(symbol: str) -> dict[str, Any]:
    """A day of minutes: a big answer, for which room is asked before it is made."""
    with budget.admit("20MiB", timeout=1):
        bars = [asdict(Bar(low=minute * 0.5, high=minute * 0.7)) for minute in range(DAY)]
        return {"symbol": symbol, "bars": bars}


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON; 503 when there is no room for a big answer."""

    def do_GET(self) -> None:  # the library's name
        """Route by the path."""
        path = self.path.strip("/")
        if path == "_memory":
            self.answer(200, {**budget.pressure.as_dict(), "entries": len(prices)})
        elif path.startswith("history/"):
            try:
                self.answer(200, history(path.removeprefix("history/")))
            except membudget.OverBudgetError as error:
                self.answer(503, {"error": str(error)})
        else:
            self.answer(200, price(path))

    def answer(self, code: int, body: dict[str, Any]) -> None:
        """Send one JSON object."""
        data = json.dumps(body, default=str).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing for each request."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server, budget:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(prices.stats())
