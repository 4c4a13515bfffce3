"""A cache beside work that needs memory for a moment: with us, and with the best fixed bound.

    uv run --group test python bench/transients [--quick] [--load NAME] [--runs 5] [--seconds 15]

Every run is a fresh process in a fresh group of cgroup v1 of 400 MiB. The best fixed bound is the
largest, in steps of 20 MiB, under which all runs lived. The exit code is 1 where an aim is missed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from typing import Any, NamedTuple

from groups import limited_group, unavailable

_LIMIT, _STEP, _HIGHEST = 400 << 20, 20, 360
_HERE = os.path.dirname(os.path.abspath(__file__))
_LOADS = ("60", "90", "120", "160", "irregular", "two", "growing", "service")
_KEYS = 200  # Asked of the service at once.
_FRAME = 60  # MB of the service's: two of them at once.
_AIM = 2.0
"""Points of hit ratio that it may lie below the best fixed bound."""
_EMPTIED = 5.0
"""Percent of the cache that may be evicted for a load, once it is known."""


class Run(NamedTuple):
    """How one run ended: megabytes, percent; nothing but the peak where it died."""

    lived: bool
    peak: int
    hits: float = 0.0
    holds: int = 0
    emptied: float = 0.0
    refused: int = 0
    loads: int = 0


def main() -> int:
    """Measure and print; exits 1 where an aim is missed."""
    options = _options()
    if (reason := unavailable()) is not None:
        print(f"transients: {reason}", file=sys.stderr)
        return 2
    print(f"{'load':<11}{'mode':<13}{'lived':>6}{'hits':>8}{'holds':>9}{'peak':>9}{'emptied':>9}")
    met = True
    for load in options.loads:
        ours = _several("membudget", load, options)
        _say(load, "membudget", ours)
        size = int(load) if load.isdigit() else 2 * _FRAME if load == "service" else 100
        for bound in range(min(_HIGHEST, 420 - size), 0, -_STEP):
            fixed = _several(str(bound // _STEP * _STEP), load, options, stop=True)
            if all(one.lived for one in fixed):
                _say(load, f"{bound // _STEP * _STEP} MiB", fixed)
                break
        is_met = all(one.lived for one in ours) and _hits(ours) >= _hits(fixed) - _AIM
        is_met &= sum(one.emptied for one in ours) / len(ours) <= _EMPTIED
        met &= is_met
        print("" if is_met else "  MISSED", flush=True)
    for mode in ("membudget", "brake") if options.first else ():
        for load in ("90", "120", "160"):
            _say(f"first {load}", mode, _several(mode, load, options, first=options.seconds / 2))
    return int(not met)


def _several(
    mode: str, load: str, options: argparse.Namespace, *, first: float = 0.3, stop: bool = False
) -> list[Run]:
    runs: list[Run] = []
    for _ in range(options.runs):
        longer = 4 if load == "growing" else 2 if load == "service" else 1
        runs.append(_run(mode, load, options.seconds * longer, first))
        if stop and not runs[-1].lived:
            break
    return runs


def _run(mode: str, load: str, seconds: float, first: float) -> Run:
    name, rest = "worker.py", [load, str(seconds), str(first)]
    if load == "service":
        name, rest = "service.py", [str(_FRAME)]
    with limited_group(_LIMIT) as group:
        argv = [sys.executable, os.path.join(_HERE, name), mode, *rest]
        process = group.start(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if load == "service":
            told = _ask(int(process.stdout.readline()), seconds)  # type: ignore[union-attr]
            lived = process.poll() is None
            process.kill()
            process.communicate()
        else:
            said, _ = process.communicate()
            lived = process.returncode == 0
            lines = said.split("\n")
            told = json.loads(lines[-2]) if lived else {"loads": len(lines) - 1}
        peak = group.peak() >> 20
    if not lived:
        return Run(lived=False, peak=peak, loads=told.get("loads", 0))
    holds = told["holds"] >> 20
    return Run(True, peak, told["hits"], holds, told["emptied"], told["refused"])


def _ask(port: int, seconds: float) -> dict[str, Any]:
    """Ask the service for values at full speed, and for a frame each second."""
    draw = random.Random(1)  # noqa: S311  # a load, no secret
    ends, hits, asked, refused = time.monotonic() + seconds, 0, 0, []

    def frames() -> None:
        while time.monotonic() < ends - 1:
            time.sleep(1.0)
            refused.append(_get(http.client.HTTPConnection("127.0.0.1", port), "/frame"))

    thread = threading.Thread(target=frames)
    thread.start()
    line = http.client.HTTPConnection("127.0.0.1", port)
    while time.monotonic() < ends:
        keys = [str(int(draw.paretovariate(0.4)) % 8_000) for _ in range(_KEYS)]
        answer = _get(line, f"/values?keys={'-'.join(keys)}")
        if not answer:
            break
        asked, hits = asked + _KEYS, hits + int(answer)
    thread.join()
    shares = {"hits": 100 * hits / max(1, asked), "refused": refused.count("refused")}
    return {**shares, "holds": 0, "emptied": 0.0}


def _get(line: http.client.HTTPConnection, path: str) -> str:
    try:
        line.request("GET", path)
        return line.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return ""


def _hits(runs: list[Run]) -> float:
    lived = [one.hits for one in runs if one.lived]
    return sum(lived) / max(1, len(lived))


def _say(load: str, mode: str, runs: list[Run]) -> None:
    lived = [one for one in runs if one.lived]
    many = max(1, len(lived))
    holds, emptied = (sum(one[place] for one in lived) / many for place in (3, 4))
    peak, refused = max(one.peak for one in runs), sum(one.refused for one in runs)
    died = "".join(f"  died in load {one.loads + 1}" for one in runs if not one.lived)
    print(
        f"{load:<11}{mode:<13}{f'{len(lived)}/{len(runs)}':>6}{_hits(runs):7.1f}%{holds:5.0f} MiB"
        f"{peak:5} MiB{emptied:8.1f}%{f'  {refused} refused' if refused else ''}{died}",
        flush=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="transients", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run each, two loads")
    parser.add_argument("--load", dest="loads", action="append", choices=_LOADS)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--first", action="store_true", help="also a first one at a full cache")
    options = parser.parse_args()
    options.loads = options.loads or list(("90", "120") if options.quick else _LOADS)
    options.runs = 1 if options.quick else options.runs
    return options


if __name__ == "__main__":
    sys.exit(main())
