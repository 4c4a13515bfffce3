"""Leaks under a budget whose samples tell a time that runs faster, and says what the budget tells.

    python tests/integration/leak_program.py WAY [FILE]

A sample is taken every 30 ms and says that five minutes have gone by; everything else is as in any
process: its memory, its heap, its thread, the governor's steps. `leak` keeps about 1 MiB more for
each sample; so does `near`, under a limit that this meets within a day, and `named`, with looks at
what grows all the time. As `named` are `traced`, which in the end says where that was allocated;
`cached`, with a list that is in a cache and nowhere else; `cycles`, which leaves as much to a
collector that never begins by itself, as `off` does to one that is off; `texts`, with texts of
somebody's as keys; and `redacted`, which passes these through a redaction: both write reports into
the folder FILE and say what the socket would. `bounded` puts as much into a cache that may hold 8
MiB; `fork` leaks for a while, and then forks a child that says what it begins with; `history` keeps
its samples in the file, in real time. The program prints a JSON object a line, and runs until it is
killed or has told enough.
"""

import gc
import json
import os
import sys
import time
from typing import Any

import membudget

SECONDS = 0.03
STEP = 300.0
TOLD = ("named", "cached", "texts", "redacted")
NAMED = (*TOLD, "traced", "cycles")
SOMEBODYS = "zzsomebodyszz"
ENOUGH = {"leak": "medium", "fork": "medium", "off": "medium"}
LIMITS = {"near": "300MiB"}

kept: list[bytes] = []
texts: dict[str, bytes] = {}


class Node:
    def __init__(self, value: bytes) -> None:
        self.me = self
        self.value = value


def main(way: str, file: str | None) -> None:
    if way == "cycles":
        gc.set_threshold(1_000_000_000)
    if way == "off":
        gc.disable()
    told: list[Any] = []
    budget = membudget.start(
        LIMITS.get(way, "2GiB"),
        sinks=[told.append],
        thread=False,
        monitoring={
            "snapshot_interval": SECONDS,
            "history_file": file if way == "history" else None,
            "history_size": 2880 if way == "history" else 288,
        },
        leaks={
            "census_every": 0.1 if way in NAMED else 3600.0,
            "trace": 0.5 if way == "traced" else None,
        },
        redact=(lambda text: text.replace(SOMEBODYS, "<hidden>")) if way == "redacted" else None,
        cleanup={"cooldown": 0.001},
    )
    began = time.time()
    cache = budget.cache("prices", max_bytes="8MiB", size=lambda _value: 4096)
    cache.set("rows", [])
    taken: list[int] = []
    if way != "history":
        budget.inspection.wall = lambda: began + len(taken) * STEP
    for number in range(400 if way in NAMED else 160):
        taken.append(number)
        grow(cache, way)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            budget.step()
            time.sleep(0.005)
        if report(told, way):
            say(seconds_left=budget.step().seconds_left)
            break
        suspected = budget.inspection.suspected() if way == "traced" else ()
        if any("traced" in one.note for one in suspected):
            break
    verdict = budget.leaks()
    say(end=str(verdict.kind), confidence=verdict.confidence.name, samples=len(budget.samples))
    tell_at_the_end(budget, way, file)
    budget.stop()


def tell_at_the_end(budget: membudget.Budget, way: str, file: str | None) -> None:
    if way == "fork":
        fork(budget)
    if way in ("texts", "redacted") and file is not None:
        tell_all(budget, file)
    if way == "cycles":
        suspects: Any = budget.inspection._suspects
        say(freed=suspects._garbage().types)
    if way == "off":
        say(collections=gc.get_stats()[2]["collections"])
    if way == "traced":
        say(suspected=[one.as_dict() for one in budget.inspection.suspected()])


def grow(cache: membudget.Cache[Any, Any], way: str) -> None:
    """Keep about 1 MiB more, or have the cache do so."""
    rows: Any = cache.peek("rows")
    for number in range(256):
        value = os.urandom(4096)
        if way == "bounded":
            cache.set((number, value[:8]), value)
        elif way in ("texts", "redacted"):
            texts[f"{SOMEBODYS} {len(texts)}"] = value
        elif way == "cached":
            rows.append(value)
        elif way in ("cycles", "off"):
            Node(value)
        else:
            kept.append(value)


def report(told: list[Any], way: str) -> bool:
    """Say what was told since; whether that is enough."""
    is_enough, enough = False, ENOUGH.get(way, "nothing")
    while told:
        event = told.pop(0)
        kind = type(event).__name__
        if (
            kind in ("LeakSuspected", "LimitForeseen", "Failed")
            or getattr(event, "by", "") == "leak check"
        ):
            say(event=kind, **{key: str(value) for key, value in event.as_dict().items()})
            is_enough = is_enough or getattr(event, "confidence", "") == enough
            is_enough = is_enough or (way == "near" and kind == "LimitForeseen")
            is_enough = is_enough or (way in TOLD and bool(getattr(event, "culprit", "")))
            is_enough = is_enough or (way == "cycles" and kind == "Reclaimed")
    return is_enough


def fork(budget: membudget.Budget) -> None:
    child = os.fork()
    if child == 0:
        before = len(budget.samples)
        time.sleep(2 * SECONDS)
        budget.step()
        samples = budget.samples
        verdict = budget.leaks()
        say(
            child=before,
            pids=sorted({one.pid == os.getpid() for one in samples}),
            samples=len(samples),
            reason=verdict.reason,
        )
        os._exit(0)
    os.waitpid(child, 0)
    say(parent=len(budget.samples), confidence=budget.leaks().confidence.name)


def tell_all(budget: membudget.Budget, folder: str) -> None:
    """Say all that is told of what grows: in files, through the socket."""
    from membudget.report.daily import DailyReport

    governor = budget.governor
    daily = DailyReport(folder)
    daily.join(governor)
    for path in daily.write():
        with open(path, encoding="utf-8") as file:
            say(form=path.rpartition(".")[2], text=file.read())
    say(form="socket", text=json.dumps(budget.inspection.day.as_answer({})))


def say(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
