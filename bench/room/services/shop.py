"""A service that caches without a bound, as people write it: behind gunicorn, uvicorn, Celery.

It knows nothing of a budget. `look` tells how many of the items asked for were cached.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Any

_FILLING = os.urandom(20_000)


@functools.lru_cache(maxsize=None)  # noqa: UP033  # as older code has it
def item(number: int) -> bytes:
    """What takes long to make, one would think."""
    return _FILLING + str(number).encode()


def look(numbers: str) -> str:
    """The process, how many items were asked for, and how many of them were there."""
    asked, before = [int(one) for one in numbers.split("-")], item.cache_info().hits
    for one in asked:
        item(one)
    return f"{os.getpid()} {len(asked)} {item.cache_info().hits - before}"


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Behind gunicorn."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [look(environ["PATH_INFO"].strip("/")).encode()]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Behind uvicorn."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": look(scope["path"].strip("/")).encode()})
