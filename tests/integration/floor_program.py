"""A hot cache beside memory that no cache counts, in a memory group.

Fills a working set, maps memory that stays (a floor), waits until the working set is served from
memory again, unmaps it and waits until it is forgotten. Prints what came of it as a line of JSON.
"""

import json
import mmap
import time
from collections.abc import Callable

import membudget
from membudget.core import FloorFound, Level
from membudget.units import MIB

_PATIENCE = 60.0
_HELD = 84
"""MiB of the floor, of a limit of 120."""

KEYS, VALUE = 120, 100_000


def main() -> None:
    budget = membudget.start()
    told: list[FloorFound] = []
    budget.tell(lambda event: told.append(event) if isinstance(event, FloorFound) else None)
    misses = [0]

    def load(key: int) -> bytes:
        misses[0] += 1
        return bytes([key]) * VALUE

    cache = budget.cache("hot")

    def misses_of_a_round() -> int:
        before = misses[0]
        for key in range(KEYS):
            cache.get_or_load(key, load)
        time.sleep(0.02)
        return misses[0] - before

    misses_of_a_round()
    with mmap.mmap(-1, _HELD * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        is_found = waited(lambda: misses_of_a_round() >= 0 and budget.pressure.floor > 0)
        is_whole = waited(lambda: sum(misses_of_a_round() for _ in range(50)) == 0)
        level = budget.pressure.level
    is_forgotten = waited(lambda: misses_of_a_round() >= 0 and not budget.pressure.floor)
    is_calm = waited(lambda: budget.pressure.level is Level.NORMAL)
    print(  # noqa: T201  # what the test reads
        json.dumps(
            {
                "is_found": is_found,
                "is_whole": is_whole,
                "level": level.name,
                "is_forgotten": is_forgotten,
                "is_calm": is_calm,
                "held_by": [event.held_by for event in told],
            }
        )
    )


def waited(is_so: Callable[[], object]) -> bool:
    until = time.monotonic() + _PATIENCE
    while not is_so():
        if time.monotonic() > until:
            return False
    return True


if __name__ == "__main__":
    main()
