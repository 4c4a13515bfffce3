"""A shop behind a pre-fork server: `gunicorn --preload` loads the catalogue once, for all workers.

Some 74 MiB of objects are inherited, and each worker keeps up to 12 MiB of baskets of its own.
"""

from __future__ import annotations

import atexit
import json
import os
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PRODUCTS = 170_000
SEEN = 60_000
"""Products that are asked for; nobody looks at the others, and their pages stay shared."""
PAGE = 300

catalogue: dict[int, dict[str, Any]] = {
    number: {"id": number, "price": number * 1.5, "near": [number - 1, number + 1]}
    for number in range(PRODUCTS)
}
baskets: deque[bytes] = deque(maxlen=192)
# An interpreter that ends lets go of every object, and a worker would copy all of it for that.
atexit.register(os._exit, 0)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Which worker answers, or a page of products, with something put into a basket."""
    start_response("200 OK", [("Content-Type", "application/json")])
    what, _, page = environ["PATH_INFO"].strip("/").partition("/")
    if what == "pid":
        return [str(os.getpid()).encode()]
    baskets.append(os.urandom(64 << 10))
    first = int(page) * PAGE
    shown = [catalogue[number % SEEN] for number in range(first, first + PAGE)]
    return [json.dumps(shown).encode()]
