"""How much of what is asked for a cache still has: real traces, real caches, the optimum beside.

    uv run --group bench python bench/hit-ratio [--traces DIR] [--quick] [--json] [--jobs 1]

Each trace is replayed at five sizes, bounded in entries and then in bytes; a fresh process a trace.
Hit ratios do not depend on the machine; which traces are there does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from cells import Job, run
from contestants import BYTES, CONTESTANTS, ENTRIES, OURS
from table import table, verdict
from traces import DATA, DISTRIBUTIONS, KNOWN, ZIPF, found

_SHARES, _QUICK_SHARES = (0.005, 0.02, 0.05, 0.10, 0.25), (0.02, 0.10)
_LIMIT, _QUICK_LIMIT = 1_000_000, 60_000
_ENVIRONMENT = "BENCH_TRACES"
_TITLES = {
    ENTRIES: "Bounded in entries: hits, percent of requests",
    BYTES: "Bounded in bytes: hits, percent of requests / percent of bytes",
}


def main() -> int:
    """Replay and print; exits 1 only where a contestant of ours could not be scored."""
    options = _options()
    rows = run(_jobs(options), options.jobs)
    if options.json:
        print(json.dumps([row._asdict() for row in rows]))
    else:
        for mode in options.modes:
            of_mode = [row for row in rows if row.mode == mode]
            if of_mode:
                print(f"## {_TITLES[mode]}\n\n{table(of_mode)}\n\n{verdict(of_mode)}\n")
    failed = {name for row in rows for name in row.errors}
    return int(not rows or any(name.startswith(OURS) for name in failed))


def _jobs(options: argparse.Namespace) -> list[Job]:
    paths: dict[str, str | None] = {**_paths(options.traces), ZIPF: None}
    shares = _QUICK_SHARES if options.quick else _SHARES
    limit = options.requests or (_QUICK_LIMIT if options.quick else _LIMIT)
    names = _contestants(options.contestants)
    jobs = []
    for mode in options.modes:
        taking_part = [name for name in names if mode in CONTESTANTS[name].modes]
        for trace in options.only or paths:
            if trace not in paths:
                print(f"hit-ratio: no trace {trace!r} here: {', '.join(paths)}", file=sys.stderr)
                continue
            jobs.append(Job(trace, paths[trace], mode, shares, taking_part, limit, options.sizes))
    return jobs


def _paths(folder: str) -> dict[str, str]:
    paths = found(folder)
    missing = [name for name in KNOWN if name not in paths]
    if missing:
        told = f"hit-ratio: not in {folder}: {', '.join(missing)} (give --traces DIR or"
        print(f"{told} {_ENVIRONMENT}; figures over fewer traces differ)", file=sys.stderr)
    return paths


def _contestants(chosen: list[str] | None) -> list[str]:
    """Those that can take part: installed, and for ours a policy that there is.

    The policy that ours has as it comes is not told twice.
    """
    from membudget import Cache, ConfigError, Registry

    default = Cache("probe", max_entries=1, registry=Registry()).policy
    names = []
    for name in chosen or CONTESTANTS:
        if not CONTESTANTS[name].is_installed:
            told = f"{name} is left out: {CONTESTANTS[name].module} is missing"
            print(f"hit-ratio: {told}", file=sys.stderr)
            continue
        policy = name.removeprefix(OURS).strip()
        if name.startswith(OURS) and policy:
            try:
                Cache("probe", max_entries=1, policy=policy, registry=Registry())
            except ConfigError:
                continue
            if policy == default and not chosen:
                continue
        names.append(name)
    return names


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hit-ratio", description=__doc__.splitlines()[0])
    folder = os.environ.get(_ENVIRONMENT) or DATA
    parser.add_argument("--traces", default=folder, help="folder; default %(default)s")
    parser.add_argument("--quick", action="store_true", help="60,000 requests, two sizes")
    parser.add_argument("--json", action="store_true", help="every row instead of tables")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1, help="traces at once")
    parser.add_argument("--requests", type=int, help=f"of each trace at most; {_LIMIT:,}")
    parser.add_argument("--sizes", choices=DISTRIBUTIONS, default="lognormal")
    parser.add_argument("--mode", dest="modes", action="append", choices=tuple(_TITLES))
    parser.add_argument("--trace", dest="only", action="append", metavar="NAME")
    parser.add_argument("--contestant", dest="contestants", action="append", choices=CONTESTANTS)
    options = parser.parse_args()
    options.modes = options.modes or list(_TITLES)
    return options


if __name__ == "__main__":
    sys.exit(main())
