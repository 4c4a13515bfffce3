"""A program that was started without standard streams: their numbers are the program's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="there is no /proc")

PROGRAM = """
import json, os, sys, time
import membudget

if sys.argv[2] == "start":
    membudget.start()
cache = membudget.Cache("some", max_bytes="1MiB")

def opened():
    links = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            links[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass  # The one that the list itself was read by.
    return links

# What is opened last, by the thread: where it can be found, and the kernel's wake-ups.
until = time.monotonic() + 20
while time.monotonic() < until:
    found = opened()
    if any(link.endswith(".slot") for link in found.values()) and "socket:" in str(found):
        break
    time.sleep(0.01)
with open(sys.argv[1] + ".part", "w") as file:
    json.dump(opened(), file)
os.rename(sys.argv[1] + ".part", sys.argv[1])
"""


@pytest.mark.parametrize("way", ["start", "run"])
def test_nothing_of_ours_takes_the_number_of_a_standard_stream(tmp_path: Path, way: str) -> None:
    """What is printed would go into it; and what is ours, into the program's files."""
    program, told = tmp_path / "program.py", tmp_path / "told"
    program.write_text(PROGRAM)
    words = [sys.executable, str(program), str(told), way]
    if way == "run":
        words = [sys.executable, "-m", "membudget", "run", "--", *words]
    without = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words]
    environ = {**os.environ, "MEMBUDGET_AGENT_DIRECTORY": str(tmp_path / "agent")}
    subprocess.run(without, env=environ, check=True, timeout=60)
    found = json.loads(told.read_text())
    assert any(link.endswith(".slot") for link in found.values()), "there is a budget"
    ours = {number: link for number, link in found.items() if int(number) <= 2}
    # The program's own file is the only one that may be there.
    assert set(ours.values()) <= {f"{told}.part"}, found
