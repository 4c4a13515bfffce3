"""The rules that come to mind first, on the same functions: one process, JSON on its output.

python bench/pytest-leaks/simple.py SEED
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import tracemalloc
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

from functions import HEALTHY, LEAKY

from membudget.probes.allocator import mallinfo

if TYPE_CHECKING:
    from collections.abc import Callable

_WARMUP, _ROUNDS, _CALLS = 100, 6, 200
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TRACED = 1024
"""Bytes of growth that a sensible person lets pass under tracemalloc."""


def main() -> None:
    """Print which functions each rule says leak."""
    names = [*LEAKY, *HEALTHY]
    random.Random(int(sys.argv[1])).shuffle(names)  # noqa: S311
    said = {rule: [name for name in names if judge(_made(name))] for rule, judge in RULES.items()}
    print(json.dumps(said))


def _made(name: str) -> Callable[[], object]:
    call = (LEAKY.get(name) or HEALTHY[name])()
    for _ in range(_WARMUP):
        call()
    gc.collect()
    return call


def _series(call: Callable[[], object], look: Callable[[], int]) -> list[int]:
    """Growth by rounds."""
    marks = array("q", bytes(8 * (_ROUNDS + 1)))  # A list would keep a new number each round.
    for _ in range(2):  # The first looks bring what looking needs.
        gc.collect()
        marks[0] = look()
    for number in range(1, _ROUNDS + 1):
        for _ in range(_CALLS):
            call()
        gc.collect()
        marks[number] = look()
    return [marks[at + 1] - marks[at] for at in range(_ROUNDS)]


def _malloc() -> int:
    info = mallinfo()
    return info.in_use if info is not None else 0


def _rss() -> int:
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read().split()[1]) * _PAGE


def _every_round(call: Callable[[], object]) -> bool:
    return all(delta > 0 for delta in _series(call, sys.getallocatedblocks))


def _every_round_of_either(call: Callable[[], object]) -> bool:
    blocks = array("q", bytes(8 * (_ROUNDS + 2)))
    at = 0

    def look() -> int:
        nonlocal at
        blocks[at] = sys.getallocatedblocks()
        at += 1
        return _malloc()

    malloc = _series(call, look)
    steps = [after - before for before, after in pairwise(blocks[1:])]
    return all(delta > 0 for delta in steps) or all(delta > 0 for delta in malloc)


def _blocks_at_the_end(call: Callable[[], object]) -> bool:
    return sum(_series(call, sys.getallocatedblocks)) > 0


def _blocks_with_slack(call: Callable[[], object]) -> bool:
    return sum(_series(call, sys.getallocatedblocks)) > _ROUNDS * _CALLS // 10


def _traced_at_the_end(call: Callable[[], object]) -> bool:
    tracemalloc.start()
    try:
        return sum(_series(call, lambda: tracemalloc.get_traced_memory()[0])) > _TRACED
    finally:
        tracemalloc.stop()


def _rss_at_the_end(call: Callable[[], object]) -> bool:
    return sum(_series(call, _rss)) > 0


RULES: dict[str, Callable[[Callable[[], object]], bool]] = {
    "blocks in every of 6 rounds": _every_round,
    "blocks or malloc in every of 6 rounds": _every_round_of_either,
    "blocks, end minus start": _blocks_at_the_end,
    "blocks, end minus start, over 1 in 10 calls": _blocks_with_slack,
    "tracemalloc, end minus start, over 1 KB": _traced_at_the_end,
    "RSS, end minus start": _rss_at_the_end,
}

if __name__ == "__main__":
    main()
