"""Trying something out in a short-lived process, so that nothing is changed in this one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from membudget.cli.checkup.limits import room
from membudget.settings.table import LAUNCH_PREFIX
from membudget.units import MIB, human_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from membudget.cli.checkup.surroundings import Surroundings

MARK = "membudget-answer "
"""What the line with the answer begins with: a program's start may print as well."""

SECONDS = 15.0

_NEEDED = 48 * MIB
"""What an interpreter with a budget takes at the most; a checkup must not get others killed."""


def why_not(around: Surroundings) -> str | None:
    """Why no process is to be started here, or None where one may.

    Raises:
        ProbeError: A limit is there and cannot be read.
    """
    free = room(around)
    if free is None or free >= _NEEDED:
        return None
    return f"not tried: only {human_bytes(free)} are free in this group"


def answer_of(
    argv: Sequence[str], environ: Mapping[str, str], seconds: float = SECONDS
) -> dict[str, Any] | str:
    """What a Python program prints as JSON behind `MARK`, or in words why there is none.

    Args:
        argv: The command; its first word is a path.
        environ: Its environment; the launcher's own messages are left out, so that no budget
            starts by itself.
        seconds: How long it may take.
    """
    kept = {name: text for name, text in environ.items() if not name.startswith(LAUNCH_PREFIX)}
    try:
        process = subprocess.Popen(  # noqa: S603  # trying what the user named is the job
            argv,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"it did not start ({error})"
    with process:
        try:
            told, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"it gave no answer within {seconds:g} s"
    for line in told.splitlines():
        if line.startswith(MARK):
            answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return answer
    last = errors.strip().splitlines()[-1:] or ["without a word"]
    return f"it ended with {process.returncode}: {last[0][:200]}"


def _end(process: subprocess.Popen[str]) -> None:
    """End it and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdout, process.stderr):
        if stream is not None:  # Whoever still holds the other end is not waited for.
            stream.close()
    process.wait()
