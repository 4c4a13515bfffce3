"""Ways to use a package whose old version leaks: the loops of public reports.

Each is a coroutine that works, and asks `turn` whether to go on; what it uses of the package is the
same in the leaking version and the fixed one. Nothing leaves the machine.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Turn = Callable[[], bool]


async def refused(turn: Turn) -> None:
    """Post to a server with a middleware where only GET is allowed, 40 times a turn."""
    aiohttp, web = import_module("aiohttp"), import_module("aiohttp.web")

    @web.middleware  # type: ignore[untyped-decorator,unused-ignore]  # not installed here
    async def passed_on(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        return await handler(request)

    async def hello(_request: Any) -> Any:
        return web.Response(text="hello")

    app = web.Application(middlewares=[passed_on])
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session:
        while turn():
            for _ in range(40):
                async with session.post(f"http://{host}:{port}/") as response:
                    await response.read()
    await runner.cleanup()


async def ticks(turn: Turn) -> None:
    """Wait for a timer, 60 ticks a turn."""
    timers = import_module("frequenz.channels.timer")
    timer = timers.Timer(dt.timedelta(microseconds=100), timers.SkipMissedAndDrift())
    while turn():
        for _ in range(60):
            await timer.receive()
    timer.stop()


async def popped(turn: Turn) -> None:
    """Take a hundred headers out of a mapping one by one, 60 times a turn."""
    mapping = import_module("multidict").CIMultiDict
    names = [f"X-Any-{number}" for number in range(100)]
    while turn():
        for _ in range(60):
            headers = mapping(dict.fromkeys(names, "value"))
            for name in names:
                headers.pop(name)


async def broken(turn: Turn) -> None:
    """Parse six texts a turn that are no JSON."""
    import_module("ijson.backends.yajl2_c")  # The one that leaks: not another in its place.
    ijson = import_module("ijson")
    while turn():
        for _ in range(6):
            with contextlib.suppress(ijson.JSONError):
                next(ijson.items(b"XXX", "whatever"))
