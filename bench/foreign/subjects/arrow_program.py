"""One burst of Arrow tables, whose allocator keeps what it had, and then a cache that stays hot.

The first line says that the burst is over; it goes on at the end of a line on standard input and
reads its 40 MB of blocks round and round. The last line has the seconds that this took; it ends at
the end of a second line.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from zlib import crc32

import pyarrow as pa

BLOCKS = 40
_LOADING = 0.003
_PAUSE = 0.05


@cache
def block(number: int) -> bytes:
    """A megabyte that takes a while to load."""
    time.sleep(_LOADING)
    return bytes([number]) * 1_000_000


def burst(megabytes: int) -> None:
    """Have so much at once in Arrow's own allocator, and let go of it."""
    columns = [pa.array(range(125_000), pa.int64()) for _ in range(megabytes)]
    print(pa.table(columns, [str(number) for number in range(megabytes)]).nbytes, flush=True)


def main(megabytes: int, rounds: int) -> None:
    """The burst, then so many rounds."""
    for number in range(BLOCKS):
        block(number)
    burst(megabytes)
    sys.stdin.readline()
    began = time.monotonic()
    found = 0
    for _ in range(rounds):
        found += sum(crc32(block(number)) for number in range(BLOCKS))
        time.sleep(_PAUSE)
    known = block.cache_info()
    print(found, "hot" if known.hits > known.misses else "cold", flush=True)
    print(time.monotonic() - began, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
