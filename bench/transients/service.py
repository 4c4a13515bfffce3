"""A service that keeps values in a cache and sorts frames on request. Says its port when it serves.

    service.py MODE FRAME

MODE as in `worker.py`; a frame of so many MB is made and sorted into a second one.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from worker import cache_of

if TYPE_CHECKING:
    from starlette.requests import Request

_VALUE = 100_000


def main() -> None:
    """Serve until it is ended."""
    mode, size = sys.argv[1], int(sys.argv[2])
    cache = cache_of(mode)

    async def values(request: Request) -> PlainTextResponse:
        hits = 0
        for key in request.query_params["keys"].split("-"):
            if cache.get(key) is not None:
                hits += 1
            else:
                cache.set(key, b"x" * _VALUE)
        return PlainTextResponse(str(hits))

    def frame(_request: Request) -> PlainTextResponse:  # In a thread of the pool.
        try:
            ordered = np.sort(np.random.default_rng(1).random(size * 125_000))
        except MemoryError:
            return PlainTextResponse("refused")
        return PlainTextResponse(f"{ordered[0]:.3f}")

    app = Starlette(routes=[Route("/values", values), Route("/frame", frame)])
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
