"""The loads: eight ways to ask for more than there is, each on its own enough to be killed.

Each keeps what it made in its frame, as a greedy function does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MIB = 1 << 20
_TOO_MUCH = 800 * _MIB


def dict_growth() -> object:
    """Small records in a dict."""
    return {key: {"id": key, "values": [key, key * 0.5]} for key in range(_TOO_MUCH // 200)}


def short_texts() -> object:
    """Text of 1 KB, in Python code."""
    return [f"{number:0>1024}" for number in range(_TOO_MUCH // 1024)]


def long_bytes() -> object:
    """Blobs of 1 MB."""
    return [b"\1" * _MIB for _ in range(_TOO_MUCH // _MIB)]


def one_blob() -> object:
    """One call of C, GIL held."""
    return b"x" * _TOO_MUCH


def one_list() -> object:
    """One call of C, GIL held."""
    return [None] * (_TOO_MUCH // 8)


def numpy_ones() -> object:
    """One call of C, GIL let go."""
    import numpy as np

    return np.ones(_TOO_MUCH // 8)


def numpy_zeros_touched() -> object:
    """Mapped by 32 MB, each touched only when the next four are mapped."""
    import numpy as np

    arrays = []
    for number in range(_TOO_MUCH // (32 * _MIB) + 4):
        arrays.append(np.zeros(32 * _MIB, dtype="u1"))
        if number >= 4:
            arrays[number - 4].fill(1)
    return arrays


def json_text() -> object:
    """A text of 45 MB that becomes twenty times as much, GIL held."""
    return json.loads("[" + ",".join(['{"a": 1.5, "b": [1, 2, 3]}'] * 1_600_000) + "]")


LOADS: dict[str, Callable[[], object]] = {
    "dict growth": dict_growth,
    "1 KB str": short_texts,
    "1 MB bytes": long_bytes,
    'b"x" * n': one_blob,
    "[None] * n": one_list,
    "np.ones": numpy_ones,
    "np.zeros, then touched": numpy_zeros_touched,
    "json.loads": json_text,
}
"""By name."""
