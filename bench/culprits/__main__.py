"""Whose leak is named: the corpus's leaky programs, run live with a census in them.

    uv run --group bench python bench/culprits [--window] [--only DictReqId] [--no-cost]
    BENCH_CORPUS=/elsewhere/leak-corpus uv run --group bench python bench/culprits

Each program of the corpus's plan runs in a process of its own on its scaled clock, with four looks
1.5 scaled hours apart. Then the cost of a census at a million objects. The exit code is 1 where a
culprit is not among the first three.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_CORPUS = Path(os.environ.get("BENCH_CORPUS", _ROOT / "bench/data/leak-corpus"))
_WORKER = Path(__file__).with_name("worker.py")
_COST = Path(__file__).with_name("cost.py")
_AFTER = 6.0
"""Scaled hours after its onset that a program runs."""

_LOCAL_NAMES = {"tasks": ("stuck", "tasks"), "threads": ("work", "threads")}


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--window", action="store_true", help="with a tracemalloc window as well")
    parser.add_argument("--only", help="programs of this class")
    parser.add_argument("--no-cost", action="store_true", help="leave out the cost of a census")
    chosen = parser.parse_args()
    missing = 0
    if not (_CORPUS / "gen/plan_public.json").exists():
        print(f"no corpus at {_CORPUS}: set BENCH_CORPUS to the folder that holds gen/")
        return 2
    sys.path.insert(0, str(_CORPUS / "gen"))
    for settings in _leaky(chosen.only):
        missing += _run(settings, has_window=chosen.window)
    if not chosen.no_cost:
        sys.stdout.flush()
        subprocess.run([sys.executable, str(_COST)], check=True)
    print(f"not among the first three: {missing}")
    return int(missing > 0)


def _leaky(only: str | None) -> list[dict[str, Any]]:
    import programs_public

    plan = json.loads((_CORPUS / "gen/plan_public.json").read_text())
    found = []
    for settings in plan:
        kind = getattr(programs_public, settings["cls"])
        if not kind.leaky or settings.get("rate", 0) <= 0 or only not in (None, settings["cls"]):
            continue
        own = {key: value for key, value in settings.items() if not key.startswith("_")}
        if kind.kind != "real_aio_server":
            own["hours"] = own.get("onset_h", kind.onset_h) + _AFTER
        found.append({**own, "culprit": kind.culprit})
    return found


def _run(settings: dict[str, Any], *, has_window: bool) -> int:
    culprit = settings["culprit"]
    command = [sys.executable, str(_WORKER), str(_CORPUS / "gen"), json.dumps(settings)]
    done = subprocess.run(
        command + ["--window"] * has_window,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    label = f"{settings['cls']:<13}{settings['rate']:>4} MB/h"
    if done.returncode:
        print(f"{label}  failed: {done.stderr.strip()[-200:]}")
        return 1
    told = json.loads(done.stdout.splitlines()[-1])
    found = told["found"]
    place = next((at for at, one in enumerate(found, 1) if _is(one, culprit)), None)
    first = found[0] if found else {"name": "-", "kind": "-", "share": None}
    share = "" if first["share"] is None else f" {first['share']:.0%}"
    line = ""
    if has_window:
        line = f"  line at {_line_place(told) or '-'}"
    print(
        f"{label}  {culprit:<12} place {place or '-'}{line}  first: {first['kind']} "
        f"{first['name']}{share}  ({told['objects']} objects, {told['took'] * 1e3:.0f} ms)"
    )
    sys.stdout.flush()
    return int(place is None or place > 3)


def _is(one: dict[str, Any], culprit: str) -> bool:
    if culprit == "native":
        return bool(one["kind"] == "native")
    if culprit == "cycles":
        return one["kind"] == "garbage" and "CyclesNoGC" in one["name"]
    if culprit == "lru_cache":
        return one["kind"] == "lru_cache" and one["name"].endswith("compute")
    ends = _LOCAL_NAMES.get(culprit, (culprit,))
    return any(one["name"].endswith(f".{end}") for end in ends)


def _line_place(told: dict[str, Any]) -> int | None:
    file, first, length = told["source"]
    for at, one in enumerate(told["lines"], 1):
        if one["file"] == file and first <= one["line"] < first + length:
            return at
    return None


if __name__ == "__main__":
    sys.exit(main())
