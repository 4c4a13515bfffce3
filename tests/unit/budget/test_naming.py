"""What a process is called: the program as a person knows it, and which of its workers."""

import pytest

from commands import lines_of
from membudget.budget import program_name

NAME = "from membudget.budget import ProcessName; "
SPAWNED = ["python", "-c", "from multiprocessing.spawn import spawn_main; ...", "--multi"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["python", "/srv/app.py", "-x"], "app.py"),
        (["python", "-X", "utf8", "-m", "shop.web", "run"], "shop.web"),
        (["python", "/venv/bin/gunicorn", "app:app"], "gunicorn"),
        (["python", "-c", "print(1)"], "python -c"),
        (["python"], "python"),
    ],
)
def test_a_program_is_called_by_its_script_or_module(words: list[str], name: str) -> None:
    assert program_name(words) == name


def _named(words: list[str], setup: str) -> str:
    """The name in a fresh Python whose command line was that, once it has done this."""
    (line,) = lines_of(f"import sys\n{NAME}name = ProcessName({words!r})\n{setup}\nprint(name())")
    return line


def _worker(module: str, name: str) -> str:
    """What a pool does to its worker."""
    return (
        "from types import ModuleType, SimpleNamespace\n"
        f"pool = sys.modules[{module!r}] = ModuleType({module!r})\n"
        f"pool._current_process = SimpleNamespace(name={name!r})"
    )


@pytest.mark.parametrize(
    ("words", "argv", "module", "worker", "name"),
    [
        (SPAWNED, "/venv/bin/uvicorn", "multiprocessing.process", "SpawnProcess-2",
         "uvicorn worker 2"),
        (SPAWNED, "/lib/uvicorn/__main__.py", "multiprocessing.process", "SpawnProcess-1:3",
         "uvicorn worker 1:3"),
        (["python", "/v/celery"], "/v/celery", "billiard.process", "ForkPoolWorker-1",
         "celery prefork 1"),
        (["python", "app.py"], "app.py", "multiprocessing.process", "ForkPoolWorker-4",
         "app.py worker 4"),
        (["python", "app.py"], "app.py", "multiprocessing.process", "MainProcess", "app.py"),
        (["python", "app.py"], "app.py", "multiprocessing.process", "loader\n", "app.py loader"),
        (["python", "-m", "loky.backend.popen_loky_posix"], "x", "multiprocessing.process",
         "LokyProcess-3", "loky worker 3"),
        (["python", "app.py"], "app.py", "multiprocessing.process", "x" * 99, "app.py " + "x" * 53),
    ],
)  # fmt: skip
def test_a_worker_is_called_after_what_it_works_for(
    words: list[str], argv: str, module: str, worker: str, name: str
) -> None:
    assert _named(words, f"sys.argv = [{argv!r}]\n" + _worker(module, worker)) == name


def test_processes_that_serve_the_pool_itself_have_its_names() -> None:
    words = ["python", "-c", "from multiprocessing.resource_tracker import main;main(4)"]
    assert _named(words, "sys.argv = ['-c']") == "resource_tracker"


@pytest.mark.parametrize(("program", "kind"), [("gunicorn", "worker"), ("app.py", "child")])
def test_forked_children_are_counted(program: str, kind: str) -> None:
    """Where no pool knows them; the parent keeps its name."""
    fork = "import os\nfor _ in range(2):\n    if not os.fork(): print(name()); os._exit(0)\n"
    told = lines_of(
        f"{NAME}name = ProcessName(['python', {program!r}])\n"
        + fork.replace("print(name())", "print(name(), flush=True)")
        + "    os.wait()\nprint(name())"
    )
    assert told == [f"{program} {kind} 1", f"{program} {kind} 2", program]


def test_a_pool_that_answers_with_an_error_costs_the_name_and_nothing_else() -> None:
    broken = (
        "class Broken:\n    @property\n    def name(self): raise RuntimeError\n"
        "from types import ModuleType\n"
        "pool = sys.modules['multiprocessing.process'] = ModuleType('x')\n"
        "pool._current_process = Broken()"
    )
    assert _named(["python", "app.py"], broken) == "app.py"
