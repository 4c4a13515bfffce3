"""Running the command line as a person does: a real process, its output and its exit code."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Result = subprocess.CompletedProcess[str]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without settings of ours, plus some."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MEMBUDGET_")}
    return {**kept, **(extra or {})}


def ended(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    check: bool = False,
    **options: Any,
) -> Result:
    """A command run to its end, its output kept as text; variables of ours are those given."""
    options = {"timeout": 300, "env": clean_environment(environment), **options}
    return subprocess.run(command, capture_output=True, text=True, check=check, **options)


def membudget(*arguments: str, environment: Mapping[str, str] | None = None) -> Result:
    return ended([sys.executable, "-m", "membudget", *arguments], environment)


def run_python(program: str, *options: str, environment: Mapping[str, str] | None = None) -> Result:
    """Run a program's text under `membudget run` with these options."""
    return membudget("run", *options, "--", sys.executable, "-c", program, environment=environment)


@contextlib.contextmanager
def ready_process(
    *command: str, environment: Mapping[str, str] | None = None, errors: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that has printed "ready", with its streams; killed at the end if it still runs."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=clean_environment(environment),
    ) as process:
        try:
            assert line_from(process) == "ready\n"
            yield process
        finally:
            process.kill()


def line_from(process: subprocess.Popen[str]) -> str:
    """What a process says next."""
    assert process.stdout is not None
    return process.stdout.readline()


def say_to(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def lines_of(program: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """What a program's text prints in a fresh Python that finds the modules this one finds."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path), **(environment or {})},
        text=True,
    )
    return done.stdout.splitlines()
