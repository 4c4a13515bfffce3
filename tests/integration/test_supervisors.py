"""Supervisors that hold nothing under `membudget run`: they rest while others are governed."""

import contextlib
import re
import signal
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cgroup_v1 import limited_group, unavailable
from commands import clean_environment
from integration.foreign.program import FOREIGN, Program, started
from membudget.governor.watch import AT_EASE
from membudget.host.slot import living
from waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart by /proc")

RUN = (sys.executable, "-m", "membudget", "run", "--limit", "2GiB", "--")
LONG = 40.0


class Scene:
    """A program under `run` whose processes have their slots in a folder of their own."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.pid = program.process.pid
        self._folder = str(folder)

    def resting(self) -> dict[int, bool]:
        return {one.pid: figures.is_resting for one, figures in living(self._folder)}

    def rests(self) -> bool:
        return self.resting().get(self.pid, False)

    def says(self, word: str) -> None:
        eventually(lambda: word in self.program.read("stdout"), LONG)


@contextlib.contextmanager
def scene(command: Sequence[str], *, cwd: Path = FOREIGN) -> Iterator[Scene]:
    """A command, started in a folder with a short path: that of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/tmp") as place:
        folder = Path(place)
        (slots := folder / "slots").mkdir(mode=0o700)
        (folder / "queue").mkdir()
        environment = clean_environment(
            {"MEMBUDGET_AGENT_DIRECTORY": str(slots), "QUEUE": str(folder / "queue")}
        )
        with started(command, folder, cwd=cwd, environment=environment) as program:
            yield Scene(program, slots)


def python(text: str) -> tuple[str, ...]:
    return (sys.executable, "-u", "-c", textwrap.dedent(text))


PRE_FORK = python("""
    import os, signal, sys, time

    def fork():
        if (pid := os.fork()) == 0:
            time.sleep(300)
            os._exit(0)
        return pid

    children = [fork(), fork()]
    sys.stdin.readline()
    children.append(fork())
    sys.stdin.readline()
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    sys.stdin.readline()
""")


def test_a_supervisor_rests_while_its_workers_are_governed() -> None:
    """Those that it forks while it rests are, too; left alone, it is governed again."""
    with scene((*RUN, *PRE_FORK)) as pre_fork:
        eventually(lambda: pre_fork.rests() and len(pre_fork.resting()) == 3, LONG)
        pre_fork.program.goes_on()
        eventually(lambda: len(pre_fork.resting()) == 4, LONG)
        assert [pid for pid, rests in pre_fork.resting().items() if rests] == [pre_fork.pid]
        pre_fork.program.goes_on()
        eventually(lambda: pre_fork.resting() == {pre_fork.pid: False}, LONG)
        ended = pre_fork.program.end()
    assert ended.code == 0
    assert "peak" in ended.errors  # The summary of a launch is its first process's.


GUNICORN = ("gunicorn", "--no-control-socket", "--workers=2", "--bind=127.0.0.1:0")
SERVERS = {
    "gunicorn": (*GUNICORN, "flask_app:app"),
    "gunicorn-preload": (*GUNICORN, "--preload", "flask_app:app"),
    "uvicorn": ("uvicorn", "--workers=2", "--port=0", "starlette_app:app"),
    "celery": ("celery", "-A", "celery_tasks", "worker", "--pool=prefork", "-c2"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_of_workers_rests_and_they_do_not(name: str) -> None:
    """Without a list of names: by what it holds and does."""
    with scene((*RUN, sys.executable, "-m", *SERVERS[name])) as server:
        seen = eventually(
            lambda: rests if len(rests := server.resting()) >= 3 and server.rests() else {}, LONG
        )
        assert [pid for pid, rests in seen.items() if rests] == [server.pid]
        server.program.end(signal.SIGTERM)


POOL = """
    import sys
    {made}

    if __name__ == "__main__":
        with pool as workers:
            sys.stdin.readline()
            held = [bytearray(b"x" * (1 << 20)) for _ in range(300)]
            print("loaded")
            sys.stdin.readline()
"""
POOLS = {
    "multiprocessing": "import multiprocessing; pool = multiprocessing.Pool(2)",
    "futures": """from concurrent.futures import ProcessPoolExecutor as Pool
    pool = Pool(2); pool.submit(int).result()""",
}


@pytest.mark.parametrize("kind", POOLS)
def test_a_parent_that_loads_later_is_governed_from_then_on(kind: str) -> None:
    """The main process of a pool looks like a supervisor until it holds the data."""
    with scene((*RUN, *python(POOL.format(made=POOLS[kind])))) as pool:
        eventually(pool.rests, LONG)
        pool.program.goes_on()
        pool.says("loaded")
        eventually(lambda: not pool.rests(), LONG)
        # At its next look it would rest again, if it were to.
        began = _written(pool)
        eventually(lambda: _written(pool) > began + AT_EASE + 2, LONG)
        assert not pool.rests()


def _written(of: Scene) -> float:
    """When the first process wrote its figures last."""
    return next(figures.at for one, figures in living(of._folder) if one.pid == of.pid)


@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
def test_under_pressure_workers_tell_and_let_go_and_the_supervisor_does_not() -> None:
    """A forked worker fills the group; its level is told, though by a worker."""
    program = python("""
        import os, sys, time
        ends = [os.pipe() for _ in range(2)]
        for read, write in ends:
            if os.fork() == 0:
                for _, other in ends: os.close(other)
                os.read(read, 1)
                held = [bytearray(b"x" * (1 << 20)) for _ in range(60)]
                os.read(read, 1)  # The end of its parent.
                os._exit(0)
        sys.stdin.readline()
        for _, write in ends: os.write(write, b"!")
        sys.stdin.readline()
    """)
    with limited_group(170 << 20) as group:
        command = group.enter_command((sys.executable, "-m", "membudget", "run", "--", *program))
        with scene(command) as pressed:
            eventually(pressed.rests, LONG)
            pressed.program.goes_on()
            pressed.program.told(r"→ (WARNING|CRITICAL|EMERGENCY): ")
            assert pressed.rests()
            ended = pressed.program.end()
    tellers = re.findall(r"^membudget: \S+ \S+ (\d+) .*→", ended.errors, re.MULTILINE)
    assert tellers
    assert str(pressed.pid) not in tellers
    own = [line for line in ended.errors.splitlines() if f" {pressed.pid} " in line]
    assert len(own) == 2, own  # What is kept, and the summary.
    assert "; freed 0 B" in own[1]
