"""Laws of giving back what Python's own allocator of small objects holds free."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from membudget._native import core
from membudget.units import MIB

pytestmark = pytest.mark.skipif(
    core is None or sys.platform != "linux",
    reason="without the compiled core nothing is given back",
)

PROGRAM = """
import gc, json, os, sys, threading
from membudget._native import core
from membudget.probes.allocator import purgeable, trim
from membudget.probes.process import process_probe

MANY, EVERY = 200_000, 2_500

def values():
    return [{"key": f"{at:0>60}", "parts": [at, at + 0.5, (at,)]} for at in range(MANY)]

def are_right(kept):
    return all(
        int(one["key"]) == at and one["parts"] == [at, at + 0.5, (at,)] for at, one in kept
    )

def held():
    return process_probe()().used

def scattered():
    # What is in an arena with one that stays is kept by it.
    all = values()
    return [(at, all[at]) for at in range(0, MANY, EVERY)]

purgeable()
kept = scattered()
found = {"emptied": held(), "free": core.pools_free()}
"""


def found_by(program: str, before: str = "", **environ: str) -> dict[str, Any]:
    """What a program printed, a line of JSON; it ended well."""
    told = subprocess.run(
        [sys.executable, "-c", before + PROGRAM + program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
    )
    found: dict[str, Any] = json.loads(told.stdout)
    return found


@pytest.mark.parametrize("debug", ["", "debug"])
def test_an_object_that_stays_keeps_its_own_pool_and_no_more_of_its_arena(debug: str) -> None:
    """What is given back serves on, for objects of any size, and what stays is whole."""
    found = found_by(
        """
found["trimmed"] = trim()
found["left"], found["free_after"] = held(), core.pools_free()
again = values()
found["is_right"] = are_right(kept) and are_right(enumerate(again))
found["full"] = held()
del again
found["free_again"] = core.pools_free()
print(json.dumps(found))
""",
        PYTHONMALLOC=debug,
    )
    assert found["trimmed"] is True
    assert found["is_right"]
    assert found["free"] > 30 * MIB
    assert found["free_after"] < MIB  # What was freed since.
    assert found["emptied"] - found["left"] > found["free"] - MIB
    assert found["full"] > found["emptied"]
    assert found["free_again"] > 30 * MIB


def test_a_child_gives_back_its_own_and_the_parent_keeps_what_it_has() -> None:
    """What they share frees nothing where one lets it go, and would be copied to say so."""
    found = found_by(
        """
child = os.fork()
if child == 0:
    inherited = core.pools_trim()
    both = values() + values()
    own = [(at % MANY, both[at]) for at in range(0, 2 * MANY, EVERY)]
    del both
    is_right = inherited == 0 and core.pools_trim() > 1 << 20
    os._exit(0 if is_right and are_right(kept) and are_right(own) else 1)
found["status"] = os.waitpid(child, 0)[1]
found["is_right"], found["free_after"] = are_right(kept), core.pools_free()
print(json.dumps(found))
"""
    )
    assert found["status"] == 0
    assert found["is_right"]
    assert found["free_after"] == found["free"]


def test_objects_made_and_dropped_meanwhile_are_whole() -> None:
    """Threads that allocate run between the steps."""
    found = found_by(
        """
sys.setswitchinterval(1e-5)
is_over, wrong = threading.Event(), []

def churn(number):
    while not is_over.is_set():
        some = [{"key": f"{at:0>60}", "parts": [at, at + 0.5, (at,)]} for at in range(number * 999)]
        if not are_right(enumerate(some)):
            wrong.append(number)

threads = [threading.Thread(target=churn, args=(number,)) for number in (1, 2, 3)]
for one in threads:
    one.start()
found["given"] = sum(core.pools_trim() for _ in range(300))
is_over.set()
for one in threads:
    one.join()
found["wrong"], found["is_right"] = wrong, are_right(kept)
print(json.dumps(found))
"""
    )
    assert found["given"] >= found["free"]
    assert found["wrong"] == []
    assert found["is_right"]


def test_where_python_has_no_such_allocator_nothing_is_done() -> None:
    found = found_by(
        "found['trimmed'] = core.pools_trim(); print(json.dumps(found))", PYTHONMALLOC="malloc"
    )
    assert (found["free"], found["trimmed"]) == (0, 0)


OTHER = """
try:
    import _interpreters as sub
except ImportError:
    import _xxsubinterpreters as sub
"""

SUBINTERPRETER = """
make = "values = [{'key': str(at) * 9, 'parts': [at, at + 0.5]} for at in range(100_000)]"
other = sub.create()
sub.run_string(other, make + "; kept = values[::2500]; del values")
found["of_all"] = core.pools_free()
core.pools_trim()
check = "; assert all(values[at * 2500] == one for at, one in enumerate(kept))"
sub.run_string(other, make + check)
sub.destroy(other)
found["is_right"] = are_right(kept) and are_right(enumerate(values()))
core.pools_trim()
print(json.dumps(found))
"""


def test_another_interpreter_s_objects_are_let_alone() -> None:
    """From 3.12 on one may have a lock of its own, so its arenas are not ours to look at."""
    found = found_by(OTHER + SUBINTERPRETER)
    assert found["is_right"]


def test_an_arena_that_another_interpreter_gives_back_is_not_looked_at() -> None:
    """Those that share a lock share arenas: the last object in one may be of either."""
    found = found_by(
        OTHER
        + """
if sys.version_info >= (3, 13):
    other = sub.create("legacy")
else:
    other = sub.create(isolated=False) if sys.version_info >= (3, 12) else sub.create()
del kept
mine = [[at] for at in range(200_000)][::50]
sub.run_string(other, "import gc; theirs = [[at] for at in range(200_000)]")
del mine
sub.run_string(other, "del theirs; gc.collect()")
found["left"] = core.pools_free(), core.pools_trim()
print(json.dumps(found))
"""
    )
    assert max(found["left"]) < found["free"]


def test_arenas_are_forgotten_where_another_allocator_takes_over() -> None:
    """What was there before ours and is set again sees them go, and ours does not."""
    found = found_by(
        """
found["before"] = core.pools_free()
ctypes.pythonapi.PyObject_SetArenaAllocator(under)
del kept
gc.collect()
found["after"] = core.pools_free(), core.pools_trim()
print(json.dumps(found))
""",
        "import ctypes; under = (ctypes.c_void_p * 3)()\n"
        "ctypes.pythonapi.PyObject_GetArenaAllocator(under)\n",
    )
    assert found["before"] > 30 * MIB
    assert found["after"] == [0, 0]
