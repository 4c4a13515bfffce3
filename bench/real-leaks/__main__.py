"""Real leaks of real packages: what the verdict and the culprits say, beside the fixed versions.

    uv run --group bench python bench/real-leaks [--quick] [--only NAME]

Each version is installed into a folder of its own that is thrown away (by uv, from the registry),
and its load runs in a child process under a budget, with samples five minutes apart by its own
clock: 18 hours, 15 with `--quick`. The exit code is 1 where a leak was no alarm, its culprit not
among the first three, or the fixed version not silent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

_PROGRAM = Path(__file__).with_name("program.py")
_SOURCE = Path(__file__).resolve().parents[2] / "src"
_MIB = float(1 << 20)


class Leak(NamedTuple):
    """A leak that was reported in public."""

    package: str
    leaking: str
    fixed: str
    load: str
    culprit: str
    """What must be named: the end of a culprit's name."""
    kind: str
    """What the verdict should call it."""
    report: str
    beside: tuple[str, ...] = ()
    """Other packages, pinned, so that only this one differs."""


_LEAKS = (
    Leak(
        "aiohttp",
        "3.10.10",
        "3.10.11",
        "refused",
        "._build_middlewares",
        "leak in Python objects",
        "https://github.com/aio-libs/aiohttp/pull/9852 (GHSA-27mf-ghqm-j3j8, CVE-2024-52303)",
        ("multidict==6.1.0",),
    ),
    Leak(
        "frequenz-channels",
        "1.2.0",
        "1.2.1",
        "ticks",
        "Timer._reset_event",
        "leak in Python objects",
        "https://github.com/frequenz-floss/frequenz-channels-python/pull/334",
    ),
    Leak(
        "multidict",
        "6.6.3",
        "6.6.4",
        "popped",
        "native or mmap",
        "native growth",
        "https://github.com/aio-libs/multidict/issues/1232",
    ),
    Leak(
        "ijson",
        "3.2.0.post0",
        "3.2.1",
        "broken",
        "native or mmap",
        "native growth",
        "https://github.com/ICRAR/ijson/issues/97",
    ),
)


def main() -> int:
    """Print the table, and the chains below it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="15 hours in place of 18")
    parser.add_argument("--only", help="the leak of this package")
    chosen = parser.parse_args()
    missed, below = 0, []
    print("| package | verdict | alarm after | rate, MiB/h | first culprit, share |")
    print("| --- | --- | --- | --- | --- |")
    for leak in _LEAKS:
        if chosen.only not in (None, leak.package):
            continue
        for version in (leak.leaking, leak.fixed):
            told = _run(leak, version, samples=180 if chosen.quick else 216)
            print(_row(leak, version, told))
            sys.stdout.flush()
            wrong = _wrong(leak, version, told)
            missed += bool(wrong)
            if told["told"] and _kinds(told) != leak.kind:
                wrong.append(f"   kind told wrongly: it is {leak.kind}")
            below += [f"\n{leak.package} {version}: {told['reason']}", *wrong]
            below += _chains(told["culprits"])
        below.append(f"   reported: {leak.report}")
    print("\n".join(below))
    print(f"\nmissed: {missed}")
    return int(missed > 0)


def _run(leak: Leak, version: str, *, samples: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="real-leaks-") as folder:
        wanted = [f"{leak.package}=={version}", *leak.beside]
        uv = ["uv", "pip", "install", "--quiet", "--only-binary", ":all:"]
        subprocess.run([*uv, "--python", sys.executable, "--target", folder, *wanted], check=True)
        done = subprocess.run(
            [sys.executable, str(_PROGRAM), leak.load, str(samples)],
            env={**os.environ, "PYTHONPATH": f"{_SOURCE}{os.pathsep}{folder}"},
            stdout=subprocess.PIPE,
            text=True,
            timeout=600,
            check=True,
        )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _row(leak: Leak, version: str, told: dict[str, Any]) -> str:
    is_silent = not told["told"]
    verdict = "silent" if is_silent else f"{_kinds(told)}, {told['confidence']}"
    hours = [one["hour"] for one in told["told"] if one["confidence"] in ("medium", "high")]
    after = f"{hours[0]:.1f} h" if hours else "-"
    rate = "-" if is_silent else f"{told['rate'] / _MIB:.1f}"
    first = told["culprits"][0] if told["culprits"] else None
    who = "-" if first is None else f"{first['kind']} `{first['name']}` {_share(first)}"
    return f"| {leak.package} {version} | {verdict} | {after} | {rate} | {who} |"


def _kinds(told: dict[str, Any]) -> str:
    """The kinds that an alarm told, in order, and the one that stands last."""
    alarms = [one["kind"] for one in told["told"] if one["confidence"] in ("medium", "high")]
    return ", then ".join(dict.fromkeys([*alarms, told["kind"]]))


def _wrong(leak: Leak, version: str, told: dict[str, Any]) -> list[str]:
    """What was not as it should be, a line each."""
    if version == leak.fixed:
        return ["   WRONG: the fixed version is not silent"] if told["told"] else []
    found = []
    if told["confidence"] not in ("medium", "high"):
        found.append("   MISSED: no alarm")
    if not any(one["name"].endswith(leak.culprit) for one in told["culprits"][:3]):
        found.append(f"   MISSED: {leak.culprit} is not among the first three")
    return found


def _chains(culprits: list[dict[str, Any]]) -> list[str]:
    lines = []
    for place, one in enumerate(culprits[:3], 1):
        lines.append(
            f"   {place}. {one['kind']} {one['name']} {_share(one)} {one['note']}".rstrip()
        )
        if one["chain"]:
            lines.append(f"      {' '.join(one['chain'])}")
    return lines


def _share(one: dict[str, Any]) -> str:
    return "" if one["share"] is None else f"{one['share']:.0%}"


if __name__ == "__main__":
    sys.exit(main())
