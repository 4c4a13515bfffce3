"""The end of a program whose address space is short by then."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, time, types
import membudget

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.5)  # The interpreter ends, and lets others run meanwhile.

def limit_by(room):
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + room, resource.RLIM_INFINITY))

held = sys.modules["held"] = types.ModuleType("held")
held.slow = Slow()
del held
if sys.argv[1] == "known":
    limit_by(1 << 30)
brake, told = sys.argv[1] == "brake", []
checks = {"check_interval": "20ms"}
budget = membudget.start("2GiB", monitoring=checks, brake=brake, sinks=[told.append])
while sys.argv[1] == "late" and not any(isinstance(one, membudget.Sampled) for one in told):
    time.sleep(0.01)  # What it loads on its own thread is there with the first sample.
if sys.argv[1] != "late":  # A thread that is amid its work when the interpreter ends.
    import _thread
    _thread.start_new_thread(lambda sleep=time.sleep: [sleep(0.01) for _ in range(100)], ())
    time.sleep(0.05)
limit_by(30 << 10)
"""


@pytest.mark.skipif("glibc" not in platform.libc_ver()[0], reason="only glibc loads what it needs")
@pytest.mark.parametrize("how", ["late", "known", "brake"])
def test_a_thread_that_the_interpreter_ends_does_not_abort_the_process(how: str) -> None:
    """Ours has ended by then; where a limit is known in time, the program's own may be running."""
    command = [sys.executable, "-c", PROGRAM, how]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)  # our own
    assert (ended.returncode, ended.stderr) == (0, "")
