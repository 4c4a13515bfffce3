"""Programs that put green threads in the place of the system's, under `membudget run`."""

import sys
import textwrap

import pytest

from commands import ended

pytest.importorskip("gevent")

PROGRAM = """
    import gevent.monkey
    gevent.monkey.patch_all()
    {start}
    import gevent, os, threading

    def work(number):
        gevent.sleep(0.01)
        return number

    jobs = [gevent.spawn(work, number) for number in range(50)]
    gevent.joinall(jobs)
    print(sum(job.value for job in jobs), threading.active_count())
    child = os.fork()
    if child == 0:
        gevent.sleep(0.1)
        print("child", flush=True)
        os._exit(0)
    print(os.waitpid(child, 0)[1])
    gevent.sleep(1.5)
    print(len(os.listdir("/proc/self/task")) > 1)
"""


@pytest.mark.parametrize("is_own", [False, True])
def test_a_gevent_program_forks_and_goes_on_with_a_thread_of_the_system(*, is_own: bool) -> None:
    """Under `run`, and where the program starts a budget by itself after the exchange."""
    start = "import membudget; membudget.start('400MiB', sinks=[])" if is_own else ""
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM).format(start=start)]
    if not is_own:
        run = [sys.executable, "-m", "membudget", "run", "--quiet", "--limit", "400MiB", "--"]
        command = [*run, *command]
    result = ended(command)
    assert (result.returncode, result.stdout) == (0, "1225 1\nchild\n0\nTrue\n"), result.stderr
