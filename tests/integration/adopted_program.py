"""A program that knows no bounds: it keeps every result of a cached function.

    adopted_program.py KIND COUNT

KIND is dict, 1k, 10k or 1m: what one result is.
"""

import functools
import sys
from typing import Any

_MAKE: dict[str, Any] = {
    "dict": lambda n: {"id": n, "price": n * 1.5, "name": f"n{n}", "tags": [n, n + 1]},
    "1k": lambda n: "x" * 1000 + str(n),
    "10k": lambda n: "x" * 10_000 + str(n),
    "1m": lambda n: bytes(1_000_000) + b"%d" % n,
}


def main(kind: str, count: int) -> None:
    """Fill the cache at full speed and say how many entries it kept."""
    make = functools.lru_cache(maxsize=None)(_MAKE[kind])
    for number in range(count):
        make(number)
    assert make(count - 1) == _MAKE[kind](count - 1)
    sys.stdout.write(f"{make.cache_info().currsize}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
