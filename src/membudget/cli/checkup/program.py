"""What a command is: an interpreter, a script and for which one, or something else."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from typing import TYPE_CHECKING

from membudget.budget.interpreter import closed_by, flags_of, is_python
from membudget.core import Record
from membudget.errors import ProbeError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox", "fish"}
_PASSING = {
    "catatonit", "chrt", "conda", "dumb-init", "entr", "env", "flock", "foreman", "gdb", "gosu",
    "hatch", "honcho", "ionice", "just", "make", "nice", "nohup", "npm", "npx", "numactl",
    "overmind", "parallel", "pdm", "perf", "pipenv", "poetry", "runsv", "rye", "s6-setuidgid",
    "script", "setpriv", "setsid", "stdbuf", "strace", "su-exec", "taskset", "time", "timeout",
    "tini", "unbuffer", "uv", "uvx", "valgrind", "watchexec", "xargs",
}  # fmt: skip
_CLEANING = {"doas", "docker", "kubectl", "pkexec", "podman", "runuser", "ssh", "su", "sudo",
             "systemd-run"}  # fmt: skip

_HEAD = 4096
_TAIL = 1 << 16
_LIBRARIES = 1 << 23
"""Bytes of a binary in which the names of its libraries are looked for."""

_EMBEDDED = (b"libpython", b"Py_BytesMain", b"Py_RunMain")
"""The library's name, or what a binary that has it inside calls."""

_ISOLATED, _ORDINARY = b"PyConfig_InitIsolatedConfig", b"PyConfig_InitPythonConfig"
"""What a binary with the library beside it calls: the first leaves out environment and user."""

_FROZEN = b"MEI\014\013\012\013\016"
"""The mark near the end of a program that PyInstaller made."""

_PROGRAM_HEADER_AT, _PROGRAM_HEADER_SIZE_AT = 32, 54
_INTERPRETER = 3


class Program(Record):
    """What a command turns out to be.

    Attributes:
        path: The file that runs it: the interpreter of a script, else itself.
        kind: "python", "shell", "passing" (starts another program in the same environment),
            "cleaning" (starts one in another environment), "frozen" (Python inside, closed),
            "embedding" (a binary with libpython), "isolated" (such a one, closed), "static" or
            "other".
        flags: The interpreter's own flags that matter to us: -I, -E, -S, -P, -s.
        script: The file it was found in, where that is a script.
        is_setuid: Whether it runs as another user than the one who starts it.
    """

    path: str
    kind: str
    flags: tuple[str, ...] = ()
    script: str = ""
    is_setuid: bool = False


def program_of(command: Sequence[str]) -> Program:
    """What this command runs.

    Raises:
        ProbeError: It is not there, or cannot be executed or read.
    """
    path = shutil.which(command[0])
    if path is None:
        is_there = os.path.exists(command[0])
        raise ProbeError(
            f"command {command[0]!r} {'cannot be executed' if is_there else 'was not found'}: "
            "give an executable or a command on PATH"
        )
    if is_python(path):
        return Program(path=path, kind="python", flags=flags_of(command[1:]))
    if os.path.basename(command[0]) == "env":
        return _of_env(path, command[1:])
    head = _part(path, 0, _HEAD)
    if head.startswith(b"#!"):
        return _of_script(path, head.decode("utf-8", "replace").splitlines())
    kind = _kind(path, head, command)
    if kind == "passing":
        # Whatever its options are: what it starts, if that is a Python, stands among its words.
        for place, word in enumerate(command[1:], 2):
            if is_python(word) and closed_by(flags := flags_of(command[place:])):
                return Program(path=word, kind="python", flags=flags)
    return Program(path=path, kind=kind, is_setuid=_is_setuid(path))


def _of_env(path: str, words: Sequence[str]) -> Program:
    """What `env` does to what it starts, or what that is where no budget gets into it: env(1)."""
    rest, kind = list(words), "passing"
    while rest and (rest[0].startswith("-") or "=" in rest[0]):
        word = rest.pop(0)
        if word in {"-S", "--split-string"} and rest:
            rest[:1] = _split(rest[0])
        elif word in {"-u", "--unset", "-C", "--chdir"} and rest:
            word = f"{word} {rest.pop(0)}"
        if word in _CLEARING or word.startswith("PYTHONPATH="):
            kind = "cleaning"
    if kind == "passing" and rest and shutil.which(rest[0]) is not None:
        inner = program_of(rest)
        if (
            inner.is_setuid
            or inner.kind in {"cleaning", "frozen", "isolated"}
            or closed_by(inner.flags)
        ):
            return inner
    return Program(path=path, kind=kind)


_CLEARING = {
    "-", "-i", "--ignore-environment", "-u PYTHONPATH", "-uPYTHONPATH", "--unset PYTHONPATH",
    "--unset=PYTHONPATH",
}  # fmt: skip


def _of_script(path: str, lines: list[str]) -> Program:
    interpreter, _, rest = lines[0][2:].strip().partition(" ")
    # Linux hands over all that follows as one word.
    words = [rest.strip()] if rest.strip() else []
    if os.path.basename(interpreter) == "env":
        words = [one for one in _split(rest) if one not in {"-S", "--split-string"}]
        while words and (words[0].startswith("-") or "=" in words[0]):
            words = words[1:]
        interpreter = shutil.which(words[0]) or words[0] if words else interpreter
        words = words[1:]
    elif len(lines) > 1 and lines[1].startswith("'''exec' "):
        # What pip and uv write where the interpreter's path is too long for the first line.
        interpreter, *words = _split(lines[1].removeprefix("'''exec' "))[:1] or [interpreter]
    name = os.path.basename(interpreter)
    kind = "python" if is_python(interpreter) else "shell" if name in _SHELLS else "other"
    flags = flags_of(words) if kind == "python" else ()
    return Program(path=interpreter, kind=kind, flags=flags, script=path)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _kind(path: str, head: bytes, command: Sequence[str]) -> str:
    name = os.path.basename(command[0])
    if name in _SHELLS:
        return "shell"
    if name in _CLEANING:
        return "cleaning"
    if name in _PASSING:
        return "passing"
    return _kind_of_binary(path, head) if head.startswith(b"\x7fELF") else "other"


def _kind_of_binary(path: str, head: bytes) -> str:
    size = os.path.getsize(path)
    if _FROZEN in _part(path, max(0, size - _TAIL), _TAIL):
        return "frozen"
    start = _part(path, 0, _LIBRARIES)
    if any(mark in start for mark in _EMBEDDED):
        is_isolated = _EMBEDDED[0] in start and _ISOLATED in start and _ORDINARY not in start
        return "isolated" if is_isolated else "embedding"
    return "other" if _is_dynamic(head) else "static"


def _is_dynamic(head: bytes) -> bool:
    """Whether an ELF file (64 bits, little-endian) names a loader; others count as dynamic."""
    if head[4:6] != b"\x02\x01":
        return True
    start = int.from_bytes(head[_PROGRAM_HEADER_AT : _PROGRAM_HEADER_AT + 8], "little")
    at = _PROGRAM_HEADER_SIZE_AT
    size, count = (int.from_bytes(head[p : p + 2], "little") for p in (at, at + 2))
    kinds = (head[start + size * n :][:4] for n in range(count))
    return any(int.from_bytes(kind, "little") == _INTERPRETER for kind in kinds)


def _is_setuid(path: str) -> bool:
    found = os.stat(path)
    return bool(found.st_mode & stat.S_ISUID) and found.st_uid != os.geteuid()


def _part(path: str, start: int, most: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(most)
    except OSError as error:
        raise ProbeError(
            f"{path} may be run and not read ({error.strerror}), so what it is cannot be told"
        ) from error
