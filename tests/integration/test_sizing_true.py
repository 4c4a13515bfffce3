"""The sizer against the process: what 10,000 values of a kind add to RSS, in a process of its own.

The file is also the program that is started: it makes values of one kind and prints three figures.
Before it measures it uses up the free blocks that imports left behind, else the first values would
find room that is paid for already.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from membudget.sizing import IS_COMPILED, entry_bytes, size_of

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 10_000
LARGE_COUNT = 2_000
"""How many DataFrames: 40 MB of them."""


@dataclass
class Trade:
    """An ordinary instance with attributes beside it."""

    symbol: str
    price: float
    quantity: float
    side: str
    number: int


class Slotted:
    """An instance with slots."""

    __slots__ = ("name", "parts", "price")

    def __init__(self, number: int) -> None:
        self.name = f"name {number}"
        self.parts = [number * 1.5]
        self.price = number * 2.5


SHARED = [number * 1.5 for number in range(400)]


def record(number: int) -> Any:
    """A JSON record of about 70 objects, parsed."""
    user = {"name": f"name {number}", "tags": [f"tag {number} {tag}" for tag in range(8)]}
    items = [{"sku": f"{number}-{item}", "price": item * 1.1, "left": 300} for item in range(8)]
    return json.loads(json.dumps({"id": number, "user": user, "items": items, "note": None}))


PLAIN: dict[str, Callable[[int], Any]] = {
    "bytes": lambda number: bytes(1000) + b"%05d" % number,
    "dict of ten ints": lambda number: {name: number + 1000 + ord(name) for name in "abcdefghij"},
    "JSON record": record,
    "list of ints": lambda number: [number * 1000 + 1000 + item for item in range(100)],
    "list of floats": lambda number: [number + item * 1.5 for item in range(100)],
    "dataclass": lambda number: Trade("BTC/EUR", number * 1.1, number * 2.2, "buy", number + 1000),
    "slots": Slotted,
    "set of strings": lambda number: {f"word {number} {word}" for word in range(50)},
    "dict with a shared list": lambda number: {"all": SHARED, "n": number + 1000, "x": number / 3},
}
ARRAYS = ("array", "small array", "view of a big array")
FRAMES = ("DataFrame", "DataFrame of text")
OF_PARTS = ("dict with a shared list", "view of a big array")
"""Only what dropping these frees is what they add: their size counts the shared part each time."""


def maker(kind: str) -> Callable[[int], Any]:
    """What makes values of a kind; imports the library it takes."""
    if kind in PLAIN:
        return PLAIN[kind]
    import numpy as np

    if kind in ARRAYS:
        big = np.zeros(1_000_000)
        return {
            "array": lambda number: np.zeros(1000) + number,
            "small array": lambda number: np.zeros(10) + number,
            "view of a big array": lambda number: big[number : number + 100],
        }[kind]
    import pandas as pd  # type: ignore[import-untyped]  # its stubs are a package of their own

    if kind == "DataFrame":
        return lambda number: pd.DataFrame(np.zeros((100, 5)) + number, columns=list("abcde"))
    return lambda number: pd.DataFrame(
        {
            "price": np.arange(100) * 1.5 + number,
            "text": pd.Series([f"text {number} {row}" for row in range(100)], dtype=object),
            "word": pd.Series([f"word {number} {row}" for row in range(100)], dtype=object),
        }
    )


def use_up_free_blocks() -> list[Any]:
    """Take what pools and malloc have free, in every size; give whole free pages back."""
    taken: list[Any] = [[], [float(number) for number in range(60_000)]]
    for size, count in ((0, 60_000), *((size, 5_000) for size in range(2, 480, 16))):
        taken.append([bytes(size) if size else object() for _ in range(count)])
    taken.append([[] for _ in range(60_000)])
    taken.append([bytes(400) for _ in range(100_000)])
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    for size in range(24, 2100, 16):
        for _ in range(2000 if size < 600 else 200):
            libc.malloc(size)
    libc.malloc_trim(0)
    return taken


def resident() -> int:
    """RSS in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(kind: str) -> None:
    """Print what a value of the kind takes, what `size_of` says and what `entry_bytes` says."""
    make = maker(kind)
    count = LARGE_COUNT if kind in FRAMES else COUNT
    for number in range(100):  # What a library makes once is made now.
        value = make(number)
        size_of(value), entry_bytes("key", value)
    held: list[Any] = [None] * count
    gc.collect()
    gc.freeze()
    gc.disable()
    taken = use_up_free_blocks()
    before = resident()
    for number in range(count):
        held[number] = make(number)
    true = (resident() - before) / count
    del taken
    deep = sum(map(size_of, held)) / count
    entry = sum(entry_bytes("key", value) for value in held) / count - size_of("key")
    print(true, deep, entry)  # noqa: T201  # to the test that started this


if __name__ == "__main__":
    main(sys.argv[1])
else:
    import pytest

    TOLERANCE = 0.05 if IS_COMPILED else 0.10

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RSS is read from /proc")
    @pytest.mark.parametrize("kind", [*PLAIN, *ARRAYS, *FRAMES])
    def test_the_estimate_is_what_the_process_grew_by(kind: str) -> None:
        """Within 5 %, in plain Python 10 %; a shared part is not paid by those that refer to it."""
        for library, kinds in (("numpy", ARRAYS + FRAMES), ("pandas", FRAMES)):
            if kind in kinds and importlib.util.find_spec(library) is None:
                pytest.skip(f"{library} is not installed")
        done = subprocess.run(
            [sys.executable, __file__, kind], capture_output=True, text=True, check=True
        )
        true, deep, entry = map(float, done.stdout.split())
        assert entry == pytest.approx(true, rel=TOLERANCE)
        if kind not in OF_PARTS:
            assert deep == pytest.approx(true, rel=TOLERANCE)
