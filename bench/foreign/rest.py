"""Programs at rest under `membudget run`: how many lines it writes while nobody asks for anything.

uv run --group bench python bench/foreign/rest.py [--minutes 60] [PROGRAM...]
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack

from measuring import lines_of, place
from programs import PROGRAMS

_AIM = 20
"""Lines an hour."""
_SETTLED = 5.0


def main() -> int:
    """Print what was written; 1 where it is more than the aim."""
    parser = argparse.ArgumentParser(prog="rest", description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", default=["http.server"], metavar="PROGRAM")
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args()
    with ExitStack() as stack:
        resting = {}
        for name in options.programs:
            _, prefix = stack.enter_context(place(PROGRAMS[name], "with"))
            resting[name] = stack.enter_context(PROGRAMS[name].run(prefix))
        time.sleep(_SETTLED)
        before = {name: ready.program.read("stderr") for name, ready in resting.items()}
        time.sleep(options.minutes * 60)
        after = {name: ready.program.read("stderr") for name, ready in resting.items()}
    is_quiet = True
    print("| program | lines until it was up | at rest | an hour |\n| --- | --- | --- | --- |")
    for name in resting:
        first, lines = lines_of(before[name]), lines_of(after[name])
        rested = len(lines) - len(first)
        rate = rested * 60 / options.minutes
        print(f"| {name} | {len(first)} | {rested} | {rate:.0f} |")
        for line in lines[len(first) :]:
            print(line, file=sys.stderr)
        is_quiet = is_quiet and rate <= _AIM
    return int(not is_quiet)


if __name__ == "__main__":
    sys.exit(main())
