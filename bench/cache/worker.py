"""One cell's process: measures what it is told to, and prints it as one line of JSON.

Run as `python worker.py WHAT [CONTESTANT [ENTRIES [KIND]]]`.
"""

from __future__ import annotations

import json
import os
import sys

import pauses
import sizes
import speed


def main(what: str, contestant: str = "", entries: str = "0", kind: str = "str") -> None:
    """Measure one cell."""
    if what == "speed":
        found = speed.measure(contestant, int(entries), kind)
    elif what == "expire":
        found = pauses.expiring(contestant, int(entries))
    elif what == "clear":
        found = pauses.clearing(contestant, int(entries))
    else:
        found = sizes.measure()
    print(json.dumps(found), flush=True)
    os._exit(0)  # Taking millions of entries apart one by one is nobody's figure.


if __name__ == "__main__":
    main(*sys.argv[1:])
