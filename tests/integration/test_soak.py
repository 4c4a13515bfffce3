"""The soaking programs, a few seconds each: no load, however hostile, breaks a cache.

By hand they go on for as long as one likes: see tests/soak.
"""

import os
import subprocess
import sys

import pytest

from commands import clean_environment
from membudget.cache.table import IS_COMPILED, POLICIES
from soak.asan import build, environment, runtime, sources, unavailable

SOAK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "soak")
WHY_NOT = unavailable()

needs_compiled = pytest.mark.skipif(not IS_COMPILED, reason="the table is not compiled here")


def soak(
    program: str, *options: str, with_environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, on the package that is tested here."""
    path = {"PYTHONPATH": os.path.dirname(sources())}
    pure = {"MEMBUDGET_PURE": os.environ.get("MEMBUDGET_PURE", "")}
    return subprocess.run(
        [sys.executable, os.path.join(SOAK, f"{program}.py"), *options],
        capture_output=True,
        text=True,
        timeout=300,
        env=with_environment or clean_environment({**path, **pure}),
        check=False,
    )


def check(done: subprocess.CompletedProcess[str]) -> None:
    """Fail where a program did not come to its end, or found something."""
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    assert done.stdout.rstrip().endswith(": sound")


@pytest.mark.parametrize("policy", POLICIES)
def test_threads_that_change_every_few_instructions_find_every_value_under_its_key(
    policy: str,
) -> None:
    """Eight threads, keys with Python code for `__eq__`, evictions, expiry and changing bounds."""
    check(soak("hammer", "--seconds=2", f"--policy={policy}"))


@pytest.mark.parametrize("seed", [1, 2])
def test_keys_and_values_that_raise_and_use_the_cache_meanwhile_leave_it_whole(seed: int) -> None:
    """Whatever is called strikes: hashes, comparisons, finalizers, listeners, sizes, clocks."""
    steps = 30_000 if IS_COMPILED else 6_000
    check(soak("hostile", f"--steps={steps}", f"--seed={seed}"))


def test_blocks_and_memory_stay_the_same_over_operations_of_all_kinds() -> None:
    check(soak("steady", "--steps=900000"))


@pytest.mark.parametrize("policy", POLICIES)
def test_circles_through_a_cache_are_collected(policy: str) -> None:
    """Through keys, values, listeners, clocks and other caches, 20,000 deep ones too."""
    check(soak("cycles", "--steps=100", f"--policy={policy}"))


def test_a_table_grown_and_shrunk_by_hundreds_of_thousands_loses_none() -> None:
    """Beside a dict, while indexes are exchanged and memory is given back."""
    check(soak("growth", "--steps=1000000", "--policy=gdsf"))


@needs_compiled
def test_memory_that_runs_out_anywhere_leaves_the_table_whole() -> None:
    """By failing requests where this interpreter can have them fail, and by a limit."""
    check(soak("starve", "--steps=3000", "--seed=3"))


@needs_compiled
def test_the_interpreters_debugging_allocator_finds_nothing() -> None:
    """Under PYTHONMALLOC=debug, which sees writes beyond a block and uses after its end."""
    check(soak("hostile", "--steps=20000", "--seed=3", with_environment=environment(None)))


@needs_compiled
@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_a_core_that_checks_itself_finds_nothing(tmp_path: object) -> None:
    """Built with AddressSanitizer and UndefinedBehaviorSanitizer, and treated badly."""
    folder = str(tmp_path)
    build(folder)
    assert runtime() is not None
    for program in ("hostile", "growth"):
        done = soak(program, "--steps=9000", "--policy=gdsf", with_environment=environment(folder))
        check(done)
        assert "runtime error" not in done.stderr, done.stderr
