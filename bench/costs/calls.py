"""What one call costs, beside the psutil call that a program would make instead."""

from __future__ import annotations

import timeit
from dataclasses import dataclass

import psutil

import membudget
from membudget import Registry
from membudget.probes.cgroup import cgroup_probe
from membudget.probes.process import process_probe

_ROUND_SECONDS = 0.02
_HELD = 100 << 20
_FRACTION = 0.85


@dataclass(frozen=True)
class Call:
    """A statement to time, with the names it uses."""

    statement: str
    names: dict[str, object]


def measure(repetitions: int) -> dict[str, list[float]]:
    """Seconds a call, by name, one figure a round; rounds are interleaved, the empty loop off."""
    block = b"\1" * _HELD
    pressed_limit = int(process_probe()().used / _FRACTION)
    with (
        membudget.start("4GiB", thread=False, sinks=[]) as budget,
        membudget.start(pressed_limit, thread=False, sinks=[], registry=Registry()) as pressed,
    ):
        budget.cache("prices", max_bytes="50MiB")
        pressed.cache("prices", max_bytes="50MiB")
        calls = _calls(budget)
        calls["tick at WARNING"] = Call("step()", {"step": pressed.step, "block": block})
        timers = {
            name: timeit.Timer(call.statement, globals=call.names) for name, call in calls.items()
        }
        counts = {name: _count(timer) for name, timer in timers.items()}
        found: dict[str, list[float]] = {name: [] for name in timers}
        for _ in range(repetitions):
            for name, timer in timers.items():
                count = counts[name]
                empty = timeit.timeit("pass", number=count)
                found[name].append((timer.timeit(count) - empty) / count)
    return found


def _calls(budget: membudget.Budget) -> dict[str, Call]:
    governor = budget.governor
    calls = {
        "tick": Call("step()", {"step": governor.step}),
        "own probe": Call("probe()", {"probe": process_probe()}),
        "level check": Call("budget.pressure.level", {"budget": budget}),
        "admit": Call("with admit(1000): pass", {"admit": budget.admit}),
        "reserve": Call(
            "take(1000); give_back(1000)",
            {"take": governor.admission.try_take, "give_back": governor.admission.give_back},
        ),
        "psutil reading": Call(
            "process.memory_info(); virtual_memory()",
            {"process": psutil.Process(), "virtual_memory": psutil.virtual_memory},
        ),
        "psutil own": Call("process.memory_info()", {"process": psutil.Process()}),
    }
    if (group := cgroup_probe()) is not None:
        calls["cgroup probe"] = Call("probe()", {"probe": group})
    return calls


def _count(timer: timeit.Timer) -> int:
    count, took = timer.autorange()
    return max(1, int(count * _ROUND_SECONDS / took))
