"""What a process answers, changed in one place into something that nobody would answer."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from membudget.host import identity_of
from membudget.host.client import _result

HOSTILE = "x\x1b[2J\nmembudget: forged \u202e\u2028<script>'\"" + "y" * 500
GONE: Any = object()

ODD: list[Any] = [
    *(None, True, -1, 0, 1 << 62, 1 << 63, 1 << 70, 10**400, -(1 << 70)),
    *(-1.5, 1e308, -1e308, 5e-324, float("nan"), float("inf")),
    *("", HOSTILE, "NORMAL", "\ud800", "9" * 5000),
    *([], [[]], [None], [HOSTILE], {}, {"": 1}, {HOSTILE: HOSTILE}, {HOSTILE: 1}, GONE),
]


def places(value: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value within one, the first few of a list and its last only."""
    yield so_far
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*so_far, name))
    elif isinstance(value, list):
        for index in {*range(min(3, len(value))), len(value) - 1} - {-1}:
            yield from places(value[index], (*so_far, index))


def changed(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    """The same with something odd in that place, or nothing."""
    if not place:
        return None if odd is GONE else odd
    inner = dict(value) if isinstance(value, dict) else list(value)
    if len(place) == 1 and odd is GONE:
        del inner[place[0]]
    else:
        inner[place[0]] = changed(inner[place[0]], place[1:], odd)
    return inner


def one_change(answer: Any) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda place, odd: changed(answer, place, odd),
        st.sampled_from([*places(answer)]),
        st.sampled_from(ODD),
    )


def received(answer: Any) -> dict[str, Any]:
    """It as it comes out of the socket."""
    return _result(json.dumps({"ok": True, "result": answer}).encode() + b"\n", identity_of())
