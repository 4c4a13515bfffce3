"""The Python that runs, and what it runs in."""

from __future__ import annotations

import os
import platform
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from membudget.cli.checkup.finding import Finding, note, ok, warning
from membudget.cli.checkup.limits import room

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from membudget.cli.checkup.surroundings import Surroundings

SUBJECT = "python"


def check_python(around: Surroundings) -> Iterator[Finding]:
    """Which Python it is."""
    if around.pid is not None:
        try:
            yield ok(SUBJECT, f"process {around.pid} runs {os.readlink(f'/proc/{around.pid}/exe')}")
        except OSError as error:
            yield note(SUBJECT, f"what process {around.pid} runs is not told ({error.strerror})")
        return
    name, version = platform.python_implementation(), platform.python_version()
    yield ok(SUBJECT, f"{name} {version} ({sys.executable})")
    yield from _threading()
    yield from _flags(around.environ)
    if sys.platform != "linux" and find_spec("psutil") is None:
        yield warning(
            SUBJECT, f"psutil is missing, and {sys.platform} is read by it", "pip install psutil"
        )


def check_container(around: Surroundings) -> Iterator[Finding]:
    """Whether this is a container, and whether it has a limit.

    Raises:
        ProbeError: The group cannot be read.
    """
    hint = around.is_in_container()
    if hint is None:
        yield ok("container", "none that can be seen")
    elif room(around) is not None:
        yield ok("container", f"{hint}; its group has a limit")
    elif "KUBERNETES_SERVICE_HOST" in around.environ:
        yield warning(
            "container",
            f"{hint}, and no limit is found: the pod may use the whole node, and is evicted first",
            "set resources.limits.memory in its manifest",
        )
    else:
        advice = "docker run --memory 512m, or deploy.resources.limits.memory in compose"
        yield note("container", f"{hint}, and no limit is found", advice)


def _threading() -> Iterator[Finding]:
    if "free-threading" not in sys.version:
        return
    is_on = getattr(sys, "_is_gil_enabled", lambda: True)()
    if is_on:
        yield note(SUBJECT, "a free-threaded build, with the GIL switched on")
    else:
        yield warning(
            SUBJECT, "a free-threaded build without GIL: budgets were not measured on it",
            "PYTHON_GIL=1",
        )  # fmt: skip


def _flags(environ: Mapping[str, str]) -> Iterator[Finding]:
    if environ.get("PYTHONSAFEPATH"):
        yield ok(SUBJECT, "PYTHONSAFEPATH is set; a budget starts all the same")
    if environ.get("PYTHONHOME"):
        yield note(
            SUBJECT,
            f"PYTHONHOME is {environ['PYTHONHOME']}: every Python takes its library from there",
            "unset it unless all of them are of that version",
        )
