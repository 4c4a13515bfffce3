"""`membudget run` and Pythons of others: lent to where it can be, and never silent elsewhere."""

import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

from commands import Result, membudget

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

TOO_OLD = sorted((Path.home() / ".pyenv" / "versions").glob("[23].[6-9].*/bin/python"))
LIMIT = ("--limit", "400MiB")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter in an environment of its own that has never heard of us."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


def run(
    *command: str, options: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
) -> Result:
    return membudget("run", *LIMIT, *options, "--", *command, environment=environment)


def script(folder: Path, text: str) -> str:
    file = folder / "program.py"
    file.write_text(textwrap.dedent(text))
    return str(file)


def test_another_environment_gets_a_budget_and_sees_nothing_else_of_us(python: str) -> None:
    """Not where it lies, nor a distribution, nor an entry point; only the one name is found."""
    text = """
        import importlib.metadata as metadata, importlib.util, os, sys
        import membudget
        home = os.path.dirname(os.path.dirname(membudget.__file__))
        print([path for path in sys.path if os.path.realpath(path or ".").startswith(home)])
        print([one for one in metadata.distributions() if "membudget" in str(one.metadata["name"])])
        print([one for one in metadata.entry_points() if "membudget" in one.value])
        print([importlib.util.find_spec(one) for one in ("click", "psutil", "yaml", "msgspec")])
        import membudget.report, membudget.cache.cache
        print(membudget.Cache("mine", max_entries=1).set("a", 1))
    """
    result = run(python, "-c", textwrap.dedent(text))
    assert result.stdout == "[]\n[]\n[]\n[None, None, None, None]\nTrue\n"
    assert re.search(r" limit 400 MiB \(configured\)", result.stderr)
    assert " peak " in result.stderr


def test_a_pex_keeps_its_budget_though_it_puts_away_what_is_not_its_own(
    python: str, tmp_path: Path
) -> None:
    """Modules and paths, as they do. What runs is found again, and there is no second of it."""
    text = """
        import os, sys
        from membudget.core import Level
        home = os.path.dirname(os.path.dirname(sys.modules["membudget"].__file__))
        sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != home]
        budget = sys.modules["membudget.registry"].REGISTRY.governor
        for name in [one for one in sys.modules if one.split(".")[0] == "membudget"]:
            paths = getattr(sys.modules.pop(name), "__path__", [])
            del paths[:]
        from membudget.core import Level as again
        import membudget.report
        print(Level is again, sys.modules["membudget.registry"].REGISTRY.governor is budget)
        print(os.environ["PEX_INHERIT_PATH"])
    """
    pex = tmp_path / "app.pex"
    with ZipFile(pex, "w") as archive:
        archive.writestr("__main__.py", textwrap.dedent(text))
        archive.writestr("PEX-INFO", "{}")
    for interpreter in (python, sys.executable):
        result = run(interpreter, str(pex), options=("--require",))
        assert result.stdout == "True True\nfallback\n"
        assert "failed" not in result.stderr


def test_nothing_is_lent_where_that_is_unwanted_and_that_is_told(python: str) -> None:
    """In the doctor's words; where there must be a budget, the program does not begin."""
    told = "cannot import membudget (ModuleNotFoundError: No module named 'membudget'); install it"
    free = run(python, "-c", "print('began')", options=("--no-lend", "--quiet"))
    assert (free.returncode, free.stdout) == (0, "began\n")
    (line,) = free.stderr.splitlines()
    assert line.startswith(f"membudget: {python}, Python ")
    assert told in line
    for option in ("--require", "--brake"):
        bound = run(python, "-c", "print('began')", options=("--no-lend", option))
        assert (bound.returncode, bound.stdout) == (64, "")
        assert told in bound.stderr


@pytest.mark.skipif(not TOO_OLD, reason="no interpreter of this machine is too old")
@pytest.mark.parametrize("python", [str(one) for one in TOO_OLD[:: max(1, len(TOO_OLD) - 1)]])
def test_a_python_that_is_too_old_is_told_and_runs(python: str) -> None:
    """Once for all that a command starts; its children are not ended for it."""
    text = (
        "import subprocess, sys; sys.stdout.write('began ')\n"
        "sys.exit(subprocess.call([sys.executable, '-c', 'pass']))"
    )
    free = run(python, "-c", text)
    assert (free.returncode, free.stdout) == (0, "began ")
    (line,) = free.stderr.splitlines()
    assert line.startswith(f"membudget: {python} is Python ")
    assert line.endswith(
        "needs 3.11; run the program by a newer Python, or set the limit of a cgroup"
    )
    assert run(python, "-c", text, options=("--require",)).returncode == 64


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["PYTHON", "-I", "-c", "print('began')"], "is started with -I, which ignores PYTHONPATH"),
        (["env", "PYTHON", "-Ec", "print('began')"], "is started with -E, which ignores"),
        (["timeout", "9", "PYTHON", "-S", "-c", "print('began')"], "is started with -S, which"),
        (["env", "-i", "PYTHON", "-c", "print('began')"], "or with another environment"),
        (["echo", "began"], "is no Python"),
    ],
)
def test_a_command_that_no_budget_gets_into_is_told_before_it_starts(
    command: list[str], told: str
) -> None:
    """One line, for the quiet as well; 64 where there must be a budget, and nothing is started."""
    words = [sys.executable if word == "PYTHON" else word for word in command]
    free = run(*words, options=("--quiet",))
    assert (free.returncode, free.stdout) == (0, "began\n")
    (line,) = free.stderr.splitlines()
    assert line.startswith("membudget: ")
    assert told in line
    for option in ("--require", "--brake"):
        bound = run(*words, options=(option,))
        assert (bound.returncode, bound.stdout) == (64, "")
        assert told in bound.stderr


@pytest.mark.parametrize("option", ["--require", "--brake"])
def test_what_can_be_reached_is_not_refused(option: str, python: str) -> None:
    """Also through a shell, where that is known only later, and by a supervisor."""
    shell = ("sh", "-c", f"exec {python} -c 'print(1)'")
    for command in ((sys.executable, "-c", "print(1)"), (python, "-c", "print(1)"), shell):
        for restart in ((), ("--restart",)):
            result = run(*command, options=(option, *restart))
            assert (result.returncode, result.stdout) == (0, "1\n"), result.stderr


def test_a_strict_budget_that_cannot_be_kept_is_no_start(tmp_path: Path) -> None:
    """What is told elsewhere ends it: the mark, the limit that was found, and what to do."""
    config = tmp_path / "budget.toml"
    config.write_text('[memory.thresholds]\nwarning = "50GiB"\n')
    words = ["sh", "-c", f"ulimit -v 4000000; exec {sys.executable} -c 'print(1)'"]
    for strict, code, out in (("false", 0, "1\n"), ("true", 64, "")):
        options = ("--config", str(config), "--set", f"strict={strict}")
        result = membudget("run", *options, "--", *words)
        assert (result.returncode, result.stdout) == (code, out), result.stderr
        assert "critical=90% is below warning=50GiB; raise critical" in result.stderr


def test_a_supervised_program_without_a_budget_is_not_started_again(python: str) -> None:
    """64 is wrong usage, which another attempt does not mend."""
    options = ("--no-lend", "--require", "--restart")
    result = run(python, "-c", "print('began')", options=options)
    assert (result.returncode, result.stdout) == (64, "")
    assert "not starting it again" in result.stderr


@pytest.mark.parametrize("call", ["execv(path, words)", "execve(path, words, dict(os.environ))"])
def test_a_program_that_starts_anew_without_pythonpath_keeps_its_budget(
    call: str, python: str, tmp_path: Path
) -> None:
    """As pex does: our own entry comes back, and nothing else; `sys.path` is what it would be."""
    text = f"""
        import os, sys
        print("membudget" in sys.modules, [one for one in sys.path if "_shim" in one], flush=True)
        if len(sys.argv) < 2:
            path, words = sys.executable, [sys.executable, __file__, "again"]
            del os.environ["PYTHONPATH"]
            os.{call}
    """
    result = run(python, script(tmp_path, text), options=("--require",))
    assert result.stdout == "True []\nTrue []\n"
    assert result.returncode == 0
    assert result.stderr.count(" limit 400 MiB (") == 1  # One process, one line.


def test_one_that_starts_anew_until_pythonpath_is_gone_comes_to_an_end(tmp_path: Path) -> None:
    """It gets our entry back once, and at the next time the line."""
    text = """
        import os, sys
        print("membudget" in sys.modules, flush=True)
        if os.environ.pop("PYTHONPATH", None):
            os.execv(sys.executable, [sys.executable, __file__])
    """
    result = run(sys.executable, script(tmp_path, text))
    assert result.stdout == "True\nTrue\nFalse\n"
    assert "anew without the PYTHONPATH of its launch" in result.stderr
    bound = run(sys.executable, script(tmp_path, text), options=("--brake",))
    assert (bound.returncode, bound.stdout) == (64, "True\nTrue\n")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ('execv(sys.executable, ["x", "-I", __file__, "again"])', "anew with -I, which ignores"),
        ('execle(sys.executable, "x", __file__, "again", {})', "anew without the PYTHONPATH"),
        ('execvpe("python3", ["x", __file__, "again"], {"PATH": path})', "without the PYTHONPATH"),
    ],
)
def test_one_that_shuts_us_out_as_it_starts_anew_is_told(
    call: str, told: str, tmp_path: Path
) -> None:
    """Once, though a name is tried in many folders; not let go where there must be a budget."""
    text = f"""
        import os, sys
        path = "/no/such/folder:" + os.path.dirname(sys.executable)
        print("began", flush=True)
        if sys.argv[-1] != "again":
            os.{call}
    """
    free = run(sys.executable, script(tmp_path, text), options=("--quiet",))
    assert (free.returncode, free.stdout) == (0, "began\nbegan\n")
    (line,) = free.stderr.splitlines()
    assert told in line
    bound = run(sys.executable, script(tmp_path, text), options=("--require",))
    assert (bound.returncode, bound.stdout) == (64, "began\n")


def test_children_that_shut_us_out_are_the_programs_own_matter(tmp_path: Path) -> None:
    """A helper with -I is none that was asked to keep a budget."""
    text = """
        import os, subprocess, sys
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-I", "-c", "print('forked')"])
        os.wait()
        print(subprocess.run([sys.executable, "-I", "-c", ""], env={}).returncode)
        print(os.execve in os.supports_fd)
    """
    # From 3.12 on Python warns of a fork beside threads; that is not what is asked here.
    command = (sys.executable, "-W", "ignore::DeprecationWarning", script(tmp_path, text))
    result = run(*command, options=("--require", "--quiet"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "forked\n0\nTrue\n", "")
