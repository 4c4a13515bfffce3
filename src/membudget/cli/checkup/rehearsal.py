"""Whether a budget, and the brake, would start: tried in a process of its own, or asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from membudget.cli.checkup.attempt import MARK, answer_of, why_not
from membudget.cli.checkup.finding import Finding, danger, note, ok, warning
from membudget.units import human_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from membudget.cli.checkup.surroundings import Surroundings

_PROGRAM = f"""
import json
from membudget.budget.start import start
from membudget.core import Shortcoming, Started
from membudget.errors import MembudgetError
told = []
try:
    budget = start(thread=False, sinks=[told.append], brake=True, cleanup={{"auto": False}},
                   emergency={{"protection": False}}, agent={{"directory": "none"}})
    budget.stop()
    lacks = [one.what for one in told if isinstance(one, Shortcoming)]
    event = next(one for one in told if isinstance(one, Started))
    reading = event.reading
    answer = {{"note": event.note, "used": reading.used, "limit": reading.limit,
              "source": reading.source, "lacks": lacks}}
except MembudgetError as error:
    answer = {{"error": str(error)}}
print("\\n{MARK}" + json.dumps(answer))
"""


def check_start(around: Surroundings) -> Iterator[Finding]:
    """What `start()` would say here, with the brake; nothing stays changed.

    Raises:
        ProbeError: The group cannot be read.
    """
    if sys.platform != "linux":
        yield note("brake", f"it needs Linux, and this is {sys.platform}")
    elif around.pid is not None:
        yield from _from_outside(around, around.pid)
    elif around.error is not None:
        yield note("start", "not tried: the settings have errors")
    elif (why := why_not(around)) is not None:
        yield note("start", why)
    else:
        argv = [sys.executable, "-P", "-c", _PROGRAM]
        yield from judge_start(answer_of(argv, around.environ), is_wanted=around.settings["brake"])


def judge_start(answer: Mapping[str, Any] | str, *, is_wanted: bool) -> Iterator[Finding]:
    """What an attempt to start means.

    Args:
        answer: The attempt's own, or why there was none.
        is_wanted: Whether the settings ask for the brake.
    """
    if isinstance(answer, str):
        yield warning("start", f"a budget could not be tried here: {answer}")
        return
    if "error" in answer:
        yield danger("start", f"a budget cannot start here: {answer['error']}")
        return
    for what in answer.get("lacks", ()):
        yield danger("start", f"a budget would start and could not be kept: {what}")
    if not answer.get("lacks"):
        yield ok("start", f"a budget would start; {_fullest(answer)}")
    told = answer["note"]
    if told.startswith("brake armed"):
        yield ok("brake", f"it can be armed here ({told.removeprefix('brake armed: ')})")
    elif is_wanted:
        yield warning("brake", f"it is asked for and cannot be armed: {told}")
    else:
        yield note("brake", f"it could not be armed here: {told}")


def _fullest(answer: Mapping[str, Any]) -> str:
    used, limit = human_bytes(answer["used"]), answer["limit"]
    if limit is None:
        return f"it finds no limit and only watches: {used}"
    share = answer["used"] / limit
    return f"fullest now: {answer['source']}, {used} of {human_bytes(limit)} ({share:.0%})"


def _from_outside(around: Surroundings, pid: int) -> Iterator[Finding]:
    state = around.brake
    if state is not None and state["is_armed"]:
        yield ok(
            "brake",
            f"armed: {human_bytes(state['room'])} may still be mapped, {state['hits']} refusals",
        )
        return
    data = around.own("VmData") or 0
    _soft, hard = around.resource_limits().get("Max data size", (None, None))
    if around.settings["brake"]:
        yield warning(
            "brake",
            f"process {pid} was asked for it and does not say that it is armed",
            "its first line on standard error tells why; `membudget memory -v --pid` shows it",
        )
    elif hard is not None and hard <= data:
        yield note(
            "brake",
            f"it could not be armed: the hard RLIMIT_DATA is {human_bytes(hard)}, and "
            f"{human_bytes(data)} is mapped",
            "raise it (ulimit -H -d)",
        )
    else:
        yield note(
            "brake",
            "not asked for; from outside nothing speaks against it",
            "start with --brake to have MemoryError instead of a kill",
        )
