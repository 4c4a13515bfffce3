"""What a cache charges for parts that others hold too, and what it remembers of them."""

from __future__ import annotations

from typing import Any

import pytest

from membudget.bounded.cache import Cache
from membudget.registry import Registry

BODY = 20_000


def cache(**bounds: Any) -> Cache[Any, Any]:
    """One that registers with nobody."""
    return Cache("shares", registry=Registry(), **bounds)


@pytest.mark.parametrize("make", [lambda body: (200, body), lambda body: [200, body]])
def test_a_body_its_maker_still_held_at_set_is_charged_soon_after(make: Any) -> None:
    """In a tuple as in a list: the maker's variable lets go of it with the next one."""
    bodies = cache(max_bytes=100 * BODY)
    for number in range(500):
        body = b"%d" % number * BODY
        bodies.set(number, make(body[:BODY]))
    assert len(bodies) < 130
    assert bodies.held_bytes() <= 100 * BODY
