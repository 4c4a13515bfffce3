"""What the program left behind, told from what was here before it. Linux only.

A process keeps its id and its children when it becomes another program by exec, as a container's
entry point does that starts a sidecar first. Those were never the program's.

Source: proc_tid_children(5), proc_pid_stat(5).
"""

from __future__ import annotations

import contextlib
import os

_STARTED = 19
"""The field of a process's start among those behind its name, from 0."""

_MOST_NAMED = 10


class Leftovers:
    """The processes below this one, but for those that were here when this was made.

    What those start is left alone as well, if they or their parents are still there when it is
    looked for: an orphan does not tell whose it was.
    """

    def __init__(self) -> None:
        self._earlier = _started(_below(os.getpid()))

    def find(self) -> list[int]:
        """The process ids, parents before their children. Cost: 20 µs each."""
        now = _started(list(self._earlier))
        self._earlier = {pid: now[pid] for pid in now if now[pid] == self._earlier[pid]}
        found: list[int] = []
        level = [os.getpid()]
        while level:
            children = [child for parent in level for child in _children(parent)]
            for pid in self._earlier.keys() & children:
                self._earlier |= _started(_below(pid))
            level = [child for child in children if child not in self._earlier]
            found += level
        return found


def name(pid: int) -> str | None:
    """The short name of a process, or None for one that has ended."""
    short, *fields = _stat(pid)
    return short if fields and fields[0] not in ("Z", "X") else None


def told_ended(names: dict[int, str]) -> str:
    """The line that tells which of the processes left behind were ended."""
    processes = "1 process" if len(names) == 1 else f"{len(names)} processes"
    named = [f"{pid} {short}" for pid, short in names.items()][:_MOST_NAMED]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"ended {processes} that the program left behind: {', '.join(named)}{more}"


def _below(pid: int) -> list[int]:
    found = level = [pid]
    while level:
        level = [child for parent in level for child in _children(parent)]
        found = found + level
    return found[1:]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):  # It has ended meanwhile.
        for thread in os.listdir(f"/proc/{pid}/task"):
            with (
                contextlib.suppress(OSError),
                open(f"/proc/{pid}/task/{thread}/children", "rb") as file,
            ):
                found += map(int, file.read().split())
    return found


def _started(pids: list[int]) -> dict[int, str]:
    """When each that is still there was started: an id alone may be another's tomorrow."""
    fields = {pid: _stat(pid) for pid in pids}
    return {pid: found[1 + _STARTED] for pid, found in fields.items() if len(found) > 1 + _STARTED}


def _stat(pid: int) -> list[str]:
    """The name and the fields behind it, or one empty name for a process that is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        front, _, behind = file.read().decode(errors="replace").rpartition(")")
        return [front.partition("(")[2], *behind.split()]
    return [""]
