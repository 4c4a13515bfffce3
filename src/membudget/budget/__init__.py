"""The ready-made assembly, and what a process is called for people: the program, which worker."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_POOLS = ("multiprocessing.process", "billiard.process", "multiprocess.process")
"""The modules that know what a worker is called, where they are loaded: billiard is Celery's."""

_FORKING = ("gunicorn", "uwsgi", "hypercorn", "daphne", "circusd")  # Their children are workers.
_SPAWNED = "from multiprocessing."  # How the command of a process begins that it spawned.
_LONGEST = 60


def program_name(words: Sequence[str]) -> str:
    """What a Python's command line runs, for people: the script's name, or the module's."""
    for position, word in enumerate(words[1:], 1):
        if word == "-c":
            return "python -c"
        if word == "-m" and position + 1 < len(words):
            return words[position + 1]
        if words[position - 1] not in ("-X", "-W") and not word.startswith("-"):
            return os.path.basename(word)
    return "python"


class ProcessName:
    """This process's name, looked up at each call, in 2 µs: a worker learns its own late."""

    def __init__(self, words: Sequence[str] | None = None) -> None:
        self._words = list(sys.orig_argv if words is None else words)
        self._home = os.getpid()
        self._forks = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._count)

    def __call__(self) -> str:
        """The name, in at most 60 characters."""
        try:
            return self._name()[:_LONGEST]
        except Exception:  # noqa: BLE001  # a foreign module's affairs are no reason to be silent
            return program_name(self._words)

    def _count(self) -> None:
        self._forks += 1

    def _name(self) -> str:
        program, (module, name) = self._program(), _pool_name()
        if not name:
            if os.getpid() == self._home:
                return program
            return f"{program} {'worker' if program in _FORKING else 'child'} {self._forks}"
        number = name.rpartition("-")[2]
        is_numbered = number.replace(":", "").isdigit()
        if name.startswith("Loky"):
            return f"loky worker {number}" if is_numbered else "loky worker"
        if is_numbered and module.startswith("billiard"):
            return f"{program} prefork {number}"
        if is_numbered and ("Process-" in name or "PoolWorker-" in name):
            return f"{program} worker {number}"
        return f"{program} {name}"

    def _program(self) -> str:
        found = program_name(self._words)
        text = next((word for word in self._words if word.startswith(_SPAWNED)), None)
        if found != "python -c" or text is None:
            return found
        # What it works for: it has its parent's arguments by now.
        first = str(sys.argv[0]) if sys.argv and sys.argv[0] != "-c" else ""
        if not first:
            return text[len(_SPAWNED) :].split()[0]  # "forkserver", "resource_tracker", "spawn"
        name = os.path.basename(first)
        return os.path.basename(os.path.dirname(first)) if name == "__main__.py" else name


def _pool_name() -> tuple[str, str]:
    """Which pool has given this process a name, and which; empty ones in a main process."""
    for module in _POOLS:
        current: Any = getattr(sys.modules.get(module), "_current_process", None)
        name = getattr(current, "name", None)
        if isinstance(name, str) and name != "MainProcess":
            return module, " ".join(name.split())
    return "", ""


_own: ProcessName | None = None


def process_name() -> ProcessName:
    """That of this process, and of its forked children: one for all, since it hooks forks."""
    global _own  # noqa: PLW0603  # the interpreter keeps such a hook for ever
    if _own is None:
        _own = ProcessName()
    return _own
