"""Who is killed: one greedy call or loop in a memory group, without the brake and with it.

    python bench/brake [--quick] [--json] [--load NAME] [--limit BYTES]

Every run is a fresh process in a fresh group of cgroup v1, beside four threads of small requests.
With the brake there are three settings: a bare interpreter; numpy and 20 threads loaded before it
is armed; the same loaded after, as under `membudget run`. Runs under the interpreter it is given.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from statistics import median
from typing import Any

from groups import limited_group, unavailable
from loads import LOADS

_HERE = os.path.dirname(os.path.abspath(__file__))
_CHILDREN = os.path.join(_HERE, "..", "..", "tests", "integration", "brake_program.py")
_LIMIT = 400 << 20
_PATIENCE = 120.0
_BARE, _BEFORE, _AFTER = "bare", "loaded before", "loaded after"
_CELLS = [("unbraked", _BARE), ("braked", _BARE), ("braked", _BEFORE), ("braked", _AFTER)]
_HEAD = "| load | brake | setting | ended | peak MiB | room MiB | small ok | small failed |"


def main() -> int:
    """Run all; exits 1 where a braked run was not handed a MemoryError, or a child is bound."""
    options = _options()
    if (reason := unavailable()) is not None:
        print(f"brake: {reason}", file=sys.stderr)
        return 2
    runs = [
        _run(load, brake, setting, options.limit)
        for _ in range(options.repetitions)
        for load in options.loads
        for brake, setting in _CELLS
    ]
    children = _limits_of_children(options.limit)
    if options.json:
        print(json.dumps({"runs": runs, "children": children}))
    else:
        print(f"Python {sys.version.split()[0]}, group of {options.limit >> 20} MiB\n")
        print(_table(runs))
        print("\nRLIMIT_DATA of children (-1 is none): " + json.dumps(children))
    unbound = all(limit == -1 for kind, limit in children.items() if kind != "own")
    return int(any(run["brake"] == "braked" and not _is_met(run) for run in runs) or not unbound)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="brake", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repetition instead of five")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="every run as JSON instead of a table")
    parser.add_argument("--limit", type=int, default=_LIMIT, help="of the group, in bytes")
    parser.add_argument("--load", dest="loads", action="append", choices=LOADS)
    options = parser.parse_args()
    options.loads = options.loads or list(LOADS)
    if options.quick:
        options.repetitions = 1
    return options


def _run(load: str, brake: str, setting: str, limit: int) -> dict[str, Any]:
    """One run in a group of its own."""
    argv = [sys.executable, os.path.join(_HERE, "worker.py"), load, brake, setting]
    with limited_group(limit) as group:
        worker = group.start(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, told = worker.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            worker.kill()
            out, told = worker.communicate()
        kills, peak = group.oom_kills(), group.peak()
    said: dict[str, Any] = {}
    for line in out.splitlines():
        said |= json.loads(line)
    if kills or worker.returncode:
        said["ended"] = f"exit {worker.returncode}, {kills} oom kills"
    run = {"load": load, "brake": brake, "setting": setting, "peak": peak, **said}
    print(f"{load}, {brake}, {setting}: {said['ended']}", file=sys.stderr, flush=True)
    if brake == "braked" and not _is_met(run):
        print(told, file=sys.stderr, flush=True)
    return run


def _is_met(run: dict[str, Any]) -> bool:
    return run["ended"] == "MemoryError" and run["goes_on"] and run["threads_lived"] == 4


def _limits_of_children(limit: int) -> dict[str, int]:
    with limited_group(limit) as group:
        done = group.run([sys.executable, _CHILDREN, "children"], timeout=_PATIENCE)
    found: dict[str, int] = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    return {kind: value for kind, value in found.items() if kind != "released_after"}


def _table(runs: list[dict[str, Any]]) -> str:
    """One row a load and setting; middles, and sums of what failed."""
    cells: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for run in runs:
        cells.setdefault((run["load"], run["brake"], run["setting"]), []).append(run)
    rows = [_HEAD, "| --- | --- | --- | --- | --: | --: | --: | --: |"]
    for (load, brake, setting), same in cells.items():
        ends = sorted({run["ended"] for run in same})
        counted = [
            f"{sum(run['ended'] == end for run in same)} of {len(same)} {end}" for end in ends
        ]
        figures = [
            f"{max(run['peak'] for run in same) >> 20}",
            f"{median(run.get('room', 0) for run in same) / (1 << 20):.0f}",
            f"{sum(run.get('ok', 0) for run in same)}",
            f"{sum(run.get('failed', 0) + run.get('failed_after', 0) for run in same)}",
        ]
        rows.append(f"| {' | '.join([load, brake, setting, ', '.join(counted), *figures])} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
