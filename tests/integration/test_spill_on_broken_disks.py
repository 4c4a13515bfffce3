"""A cache that spills onto disks that are full, limited, or may only be read: it goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mounting import can_mount

PROGRAM = """
import os, resource, sys
from membudget.cache.spilling.spill import Spill
from membudget.cache.spilling.spilled import SpilledCache
from membudget.registry import REGISTRY

kind, folder = sys.argv[1:]
if kind == "limited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
cache = SpilledCache("spilling", max_entries=2, spill=Spill(folder, max_bytes="50MiB"))
for number in range(400):
    size = 100_000 if number % 2 and kind == "full" else 10_000
    assert cache.set(number, number.to_bytes(2, "big") + os.urandom(size))
    found = cache.get(number)
    assert found is not None and found[:2] == number.to_bytes(2, "big")
    older = cache.get(number // 2)
    assert older is None or older[:2] == (number // 2).to_bytes(2, "big")
    if not number % 10:
        cache.flush_spill()
cache.flush_spill()
told = cache.spill_stats()
print(told.state, told.spilled)
failures = []
for chore in REGISTRY.chores():
    while chore.due(0.0):
        try:
            chore.run(0.0)
        except Exception as error:
            failures.append(str(error))
print(*failures)
assert len(failures) == 1
assert told.entries == 0 and cache.spill_stats().waiting == 0
"""

IN_NAMESPACE = """
set -e
mount -t tmpfs -o size=1m,mode=0700 none "$1"
mkdir -m 700 "$1/s"
if [ "$2" = "read-only" ]; then mount -o remount,ro "$1"; fi
"$3" "$4" "$2" "$1/s"
ls -A "$1/s"
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "spilling_program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def environment() -> dict[str, str]:
    """The child's: it finds the package where this process does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize(
    ("kind", "reason"), [("full", "full|No space left"), ("read-only", "Read-only file system")]
)
def test_a_disk_that_takes_no_more_turns_spilling_off(
    tmp_path: Path, program: Path, kind: str, reason: str
) -> None:
    """Told once, with the folder; every lookup was right all the while, and nothing is left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not can_mount(disk):
        pytest.skip("no file system can be mounted here: not root, or no namespaces")
    script = ["sh", "-c", IN_NAMESPACE, "sh", str(disk), kind, sys.executable, str(program)]
    command = ["unshare", "-m", *script]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert ran.returncode == 0, ran.stderr
    state, failure, *left = ran.stdout.splitlines()
    assert state.startswith("off: ")
    assert any(one in state for one in reason.split("|")), state
    assert str(disk) in failure
    assert not left


@pytest.mark.skipif(os.name != "posix", reason="this system has no limit on files")
def test_a_limit_on_files_turns_spilling_off(tmp_path: Path, program: Path) -> None:
    """As a quota or `ulimit -f` sets one."""
    folder = tmp_path / "s"
    command = [sys.executable, str(program), "limited", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("off: ")
    assert os.listdir(folder) == []
