"""A web application as people write it with Starlette; it knows nothing of a budget."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route


async def tell_pid(_: Request) -> PlainTextResponse:
    return PlainTextResponse(str(os.getpid()))


async def list_orders(request: Request) -> JSONResponse:
    count: int = request.path_params["count"]
    return JSONResponse([{"id": number, "price": number * 1.5} for number in range(count)])


app = Starlette(routes=[Route("/pid", tell_pid), Route("/orders/{count:int}", list_orders)])
