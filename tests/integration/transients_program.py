"""A program with one cache and a load of 120 MB each second that comes and goes.

Run as `python transients_program.py SECONDS` inside a memory group of 400 MiB; the first load comes
while the cache fills. Prints what it saw as a line of JSON.
"""

import json
import os
import random
import sys
import time

import membudget

_LOAD, _LASTS = 120_000_000, 0.15


def main() -> None:
    """Ask for values at full speed, and for the load each second."""
    budget = membudget.start()
    cache = budget.cache("values")
    chance, began = random.Random(1), time.monotonic()  # noqa: S311  # a load, no secret
    due, lost = began + 0.3, []
    while time.monotonic() < began + float(sys.argv[1]):
        key = int(chance.paretovariate(0.4)) % 40_000
        if cache.get(key) is None:
            cache.set(key, os.urandom(20_000))
        if time.monotonic() > due:
            held = cache.held_bytes()
            frame = b"x" * _LOAD
            time.sleep(_LASTS)
            del frame
            lost.append(1 - cache.held_bytes() / held)
            due = time.monotonic() + 1.0
    passing = budget.stats().transients
    told = {"lost": lost, "held": cache.held_bytes(), "load": _LOAD, **passing.as_dict()}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
