"""The folder in which the processes of one user meet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from membudget.cli.checkup.finding import Finding, note, ok, warning
from membudget.errors import ControlError
from membudget.host.identity import claim_folder
from membudget.host.slot import living
from membudget.ownership import default_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.cli.checkup.surroundings import Surroundings

SUBJECT = "folder"

_KEY = "agent.directory"


def folder_in(around: Surroundings) -> str:
    """Where the slots lie; "" where there is no such place."""
    directory: str = around.settings[_KEY]
    if directory == "none":
        return ""
    if directory != "auto":
        return directory
    try:
        return default_folder(None if around.pid is None else os.stat(f"/proc/{around.pid}").st_uid)
    except FileNotFoundError:
        return ""


def check_folder(around: Surroundings) -> Iterator[Finding]:
    """Whether processes can be found, and how many there are."""
    folder = folder_in(around)
    if not folder:
        yield note(
            SUBJECT,
            "agent.directory is none: `membudget status` finds nobody, and nobody can be asked",
            "leave it at auto, or name a folder of your own",
        )
        return
    if around.pid is None:
        try:
            claim_folder(folder)
        except ControlError as error:
            yield warning(
                SUBJECT, f"{error}; budgets are kept, `status` and `memory -v` find nobody"
            )
            return
    elif _is_elsewhere(around.pid):
        yield note(
            SUBJECT,
            f"process {around.pid} runs in a container of its own, whose {folder} is not this one",
            "run the doctor inside, or share a folder and name it by agent.directory",
        )
    count = len(living(folder))
    yield ok(
        SUBJECT, f"{folder}: {count} {'process' if count == 1 else 'processes'} under a budget"
    )


def _is_elsewhere(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino != os.stat("/proc/self/ns/mnt").st_ino
    except OSError:
        return False
