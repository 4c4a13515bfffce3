"""The loads: which keys and values come in, the same for every contestant.

Keys are drawn from a space of two million, skewed as real keys are: the first hundredth of them
gets about half of all asks. Random but seeded, so that hit ratios can be compared.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from contestants import Store

KEYS = 2_000_000
_SKEW = 6
_SEED = 20_240_229
_MIB = 1 << 20


@dataclass(frozen=True)
class Phase:
    """So many values put in, all made the same way."""

    sets: int
    make: Callable[[int], Any]


@dataclass(frozen=True)
class Load:
    """What one worker goes through.

    Attributes:
        phases: One after the other.
        threads: How many share the sets of each phase.
        ungoverned: Bytes held beside the store from the beginning, by nobody's cache.
        is_asked_every: One get comes with so many sets.
    """

    phases: tuple[Phase, ...]
    threads: int = 1
    ungoverned: int = 0
    is_asked_every: int = 4

    @property
    def sets(self) -> int:
        """Values put in, all phases together."""
        return sum(phase.sets for phase in self.phases)


@dataclass
class Tally:
    """What the gets came to."""

    gets: int = 0
    hits: int = 0


def run(load: Load, store: Store) -> Tally:
    """Put the whole load through a store, as fast as it goes."""
    total = Tally()
    for number, phase in enumerate(load.phases):
        tallies = [Tally() for _ in range(load.threads)]
        seeds = [_SEED + number * load.threads + index for index in range(load.threads)]
        threads = [
            threading.Thread(target=_fill, args=(store, load, phase, tally, seed))
            for tally, seed in zip(tallies[1:], seeds[1:], strict=True)
        ]
        for thread in threads:
            thread.start()
        _fill(store, load, phase, tallies[0], seeds[0])
        for thread in threads:
            thread.join()
        total.gets += sum(tally.gets for tally in tallies)
        total.hits += sum(tally.hits for tally in tallies)
    return total


def _fill(store: Store, load: Load, phase: Phase, tally: Tally, seed: int) -> None:
    draw, get, put, make = random.Random(seed).random, store.get, store.put, phase.make  # noqa: S311  # no secret
    every = load.is_asked_every
    for number in range(phase.sets // load.threads):
        key = int(KEYS * draw() ** _SKEW)
        put(key, make(key))
        if number % every == 0:
            tally.gets += 1
            tally.hits += get(int(KEYS * draw() ** _SKEW)) is not None


def _record(key: int) -> dict[str, Any]:
    """A small dict as a parsed answer has it: about 1 KiB in twenty objects."""
    return {
        "symbol": f"symbol-{key}",
        "bid": key * 0.5,
        "ask": key * 0.75,
        "sizes": [key + 1, key + 2, key + 3, key + 4],
        "venue": {"name": f"venue-{key}", "open": True, "tier": key * 3},
        "note": f"{key:0>200}",
    }


def _large_record(key: int) -> dict[str, Any]:
    """The same with ten in one: what a changed upstream sends one day."""
    return {"symbol": key, "levels": [_record(key + step) for step in range(10)]}


def _text(size: int) -> Callable[[int], str]:
    return lambda key: f"{key:0>{size}}"


def _blob(key: int) -> bytes:
    return key.to_bytes(8, "big") * (_MIB // 8)


def _mixed(key: int) -> Any:
    return _large_record(key) if key % 2 else f"{key:0>10240}"


LOADS = {
    "dicts x10": Load(phases=(Phase(200_000, _record), Phase(120_000, _large_record))),
    "1 KB str": Load(phases=(Phase(2_000_000, _text(1024)),)),
    "10 KB str": Load(phases=(Phase(400_000, _text(10_240)),)),
    "1 MB bytes": Load(phases=(Phase(4_000, _blob),)),
    "half ungoverned": Load(phases=(Phase(300_000, _text(10_240)),), ungoverned=200 * _MIB),
    "8 threads": Load(phases=(Phase(160_000, _mixed),), threads=8),
}
"""By name; each brings in 1 to 4 GB."""
