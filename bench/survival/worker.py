"""One cell's process: puts one load through one contestant and says what came of it.

Run as `python worker.py CONTESTANT LOAD`, inside the memory group. Prints one JSON line when it
begins and one when it ends; a killed one never prints the second.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from contestants import CONTESTANTS
from loads import LOADS, run


def main(contestant: str, name: str) -> None:
    """Go through one load."""
    load = LOADS[name]
    store = CONTESTANTS[contestant]()
    ungoverned = b"\1" * load.ungoverned
    began = time.monotonic()
    print(json.dumps({"began": began}), flush=True)
    tally = run(load, store)
    took = time.monotonic() - began
    figures = {
        "took": took,
        "gets": tally.gets,
        "hits": tally.hits,
        "entries": store.size(),
        "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
        "ungoverned": len(ungoverned),
        **store.figures(),
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
