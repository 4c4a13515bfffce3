"""Running the command line as a person does: a real process, its output and its exit code."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping

Result = subprocess.CompletedProcess[str]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without settings of ours, plus some."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MEMBUDGET_")}
    return {**kept, **(extra or {})}


def membudget(
    *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 300
) -> Result:
    return subprocess.run(
        [sys.executable, "-m", "membudget", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=clean_environment(environment),
        check=False,
    )


def run_python(program: str, *options: str, environment: Mapping[str, str] | None = None) -> Result:
    """Run a program's text under `membudget run` with these options."""
    return membudget("run", *options, "--", sys.executable, "-c", program, environment=environment)


@contextlib.contextmanager
def ready_process(
    *command: str, environment: Mapping[str, str] | None = None, errors: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that has printed "ready", with its streams; what still runs at the end is killed.

    Args:
        command: What is run.
        environment: Variables of ours that it finds.
        errors: `subprocess.PIPE` for its standard error as well.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=clean_environment(environment),
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


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
