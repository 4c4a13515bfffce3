"""A service that makes a data frame for each request and keeps the figures of the latest."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

ROWS = 650_000
SYMBOLS = 40


@cache
def prices(symbol: int) -> np.ndarray:
    """A symbol's prices: 2 MB each, 80 MB for all."""
    return np.random.default_rng(symbol).normal(100, 1, 250_000)


async def tell_pid(_: Request) -> PlainTextResponse:
    """Which worker answers."""
    return PlainTextResponse(str(os.getpid()))


def summarise(request: Request) -> JSONResponse:
    """The means of a frame of some 60 MB, by group; in a thread, as the framework does it."""
    symbol = request.path_params["symbol"] % SYMBOLS
    known = prices(symbol)
    rows = np.arange(ROWS)
    frame = pd.DataFrame({"row": rows, "group": rows % 7, "price": known[rows % len(known)]})
    frame["moved"] = frame["price"].diff()
    frame = frame[frame["moved"] < 2]
    return JSONResponse(frame.groupby("group")["price"].mean().round(6).to_dict())


app = Starlette(routes=[Route("/pid", tell_pid), Route("/frames/{symbol:int}", summarise)])
