"""The standard library's own caches, as far as a program has loaded them."""

from __future__ import annotations

import linecache
import re
import urllib.parse
from typing import Any

from membudget.reclaimers.adopted.standard import StandardCaches

URL: Any = urllib.parse
PATTERNS: Any = re


def test_what_can_be_made_again_is_cleared_and_what_cannot_stays() -> None:
    """Patterns, addresses and lines of files go; lines that were put there by a notebook stay."""
    re.compile("one of a kind")
    urllib.parse.urlsplit("http://one.of.a.kind/")
    linecache.getline(__file__, 1)
    linecache.cache["<cell>"] = (4, None, ["cell"], "<cell>")
    used = [90]

    def own() -> int:
        return used.pop() if len(used) > 1 else used[0]

    used.append(100)
    try:
        assert StandardCaches(own).reclaim(1, 0.0) == 10
        assert not PATTERNS._cache
        assert URL.urlsplit.cache_info().currsize == 0
        assert __file__ not in linecache.cache
        assert "<cell>" in linecache.cache
    finally:
        del linecache.cache["<cell>"]
