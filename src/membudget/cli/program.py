"""What a command is, and whether a budget gets into it, as far as is told without a start."""

from __future__ import annotations

import os
import stat

from membudget.budget.reexec import closed_by, flags_of, is_python
from membudget.core import Record
from membudget.errors import ProbeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
_CLEARING = {
    "-", "-i", "--ignore-environment", "-u PYTHONPATH", "-uPYTHONPATH", "--unset PYTHONPATH",
    "--unset=PYTHONPATH",
}  # fmt: skip
"""The options of `env` that take our variables away."""

_HEAD, _TAIL = 4096, 1 << 16
_LIBRARIES = 1 << 23  # Bytes of a binary in which the names of its libraries are looked for.
_EMBEDDED = (b"libpython", b"Py_BytesMain", b"Py_RunMain")
"""The library's name, or what a binary that has it inside calls."""

_ISOLATED, _ORDINARY = b"PyConfig_InitIsolatedConfig", b"PyConfig_InitPythonConfig"
"""What a binary with the library beside it calls: the first leaves out environment and user."""

_FROZEN = b"MEI\014\013\012\013\016"  # The mark near the end of a program that PyInstaller made.


class Verdict(Record):
    """What a command is, what to do about it, and whether no budget gets there; else one may."""

    found: str
    advice: str
    is_lost: bool = True


class Program(Record):
    """What a command turns out to be.

    Its kind: "python", "shell", "passing" (starts another program in the same environment),
    "cleaning" (starts one in another), "frozen" (Python inside, closed), "embedding" (a binary with
    libpython), "isolated" (such a one, closed) or "other".
    """

    path: str  # The file that runs it: the interpreter of a script, else itself.
    kind: str
    flags: tuple[str, ...] = ()  # The interpreter's that matter to us: -I, -E, -S, -P, -s.
    script: str = ""  # The file it was found in, where that is a script.
    is_setuid: bool = False  # Whether it runs as another user than the one who starts it.

    @property
    def name(self) -> str:
        """It, for people."""
        return self.path + (f" (of {self.script})" if self.script else "")

    def verdict(self) -> Verdict | None:
        """What becomes of a budget in it, or None for an interpreter that nothing closes."""
        name, is_lost = self.script or self.path, True
        if self.is_setuid or self.kind == "cleaning":
            found = (
                f"{name} starts its program as somebody else or with another environment: "
                "no budget gets there"
            )
            starter = os.path.basename(name)
            advice = f"put it in front: {starter} ... membudget run -- python app.py"
        elif self.kind == "python":
            if (closing := closed_by(self.flags)) is None:
                return None
            where = f"the first line of {self.script}" if self.script else "the command"
            found = f"{self.name} is started with {closing}: no budget starts"
            advice = f"take it out of {where}, or call membudget.start() in the program"
        elif self.kind in {"shell", "passing"}:
            what = "is a shell" if self.kind == "shell" else "starts another program"
            if self.script:
                what = f"is a script of {os.path.basename(self.path)}"
            found = f"{name} {what}: each Python started from it is reached unless closed"
            advice, is_lost = "check that one: membudget doctor -- python app.py", False
        elif self.kind == "embedding":
            found = f"{name} has Python inside (libpython): reached where it heeds PYTHONPATH"
            is_lost = False
            advice = (
                "`membudget status` tells once it runs; else call membudget.start() in the program"
            )
        elif self.kind in {"frozen", "isolated"}:
            by = "PyInstaller" if self.kind == "frozen" else "libpython, isolated"
            found = f"{name} is closed ({by}): its Python heeds no PYTHONPATH"
            advice = "call membudget.start() in the program, and pack membudget with it"
        else:
            found = (
                f"{name} is no Python: it runs as without us; only a Python that it starts is "
                "reached"
            )
            advice = "for anything else set the limit of a cgroup"
        return Verdict(found=found, advice=advice, is_lost=is_lost)


def program_of(command: Sequence[str]) -> Program:
    """What this command runs; a `ProbeError` where it is not there, or cannot be run or read."""
    path = which(command[0])
    if path is None:
        raise ProbeError(missing(command[0]))
    if is_python(path):
        return Program(path=path, kind="python", flags=flags_of(command[1:]))
    name = os.path.basename(command[0])
    if name == "env":
        return _of_env(path, command[1:])
    head = _part(path, 0, _HEAD)
    if head.startswith(b"#!"):
        return _of_script(path, head.decode("utf-8", "replace").splitlines())
    kinds = (("shell", _SHELLS), ("cleaning", _CLEANING), ("passing", _PASSING))
    kind = next((kind for kind, names in kinds if name in names), None) or _of_binary(path, head)
    if kind == "passing":
        # Whatever its options are: what it starts, if that is a Python, stands among its words.
        for place, word in enumerate(command[1:], 2):
            if is_python(word) and closed_by(flags := flags_of(command[place:])):
                return Program(path=word, kind="python", flags=flags)
    found = os.stat(path)
    is_setuid = bool(found.st_mode & stat.S_ISUID) and found.st_uid != os.geteuid()
    return Program(path=path, kind=kind, is_setuid=is_setuid)


def which(name: str) -> str | None:
    """The file that a command's name stands for, as shutil has it, which takes 2 ms to import."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in [""] if os.path.dirname(name) else folders:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


def missing(name: str) -> str:
    """What to say of a command that is not to be had."""
    what = "cannot be executed" if os.path.exists(name) else "was not found"
    return f"command {name!r} {what}: give an executable or a command on PATH"


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
    if kind == "passing" and rest and which(rest[0]) is not None:
        inner = program_of(rest)
        verdict = inner.verdict()
        if verdict and verdict.is_lost and (inner.is_setuid or inner.kind != "other"):
            return inner
    return Program(path=path, kind=kind)


def _of_script(path: str, lines: list[str]) -> Program:
    interpreter, _, rest = lines[0][2:].strip().partition(" ")
    # Linux hands over all that follows as one word.
    words = [rest.strip()] if rest.strip() else []
    if os.path.basename(interpreter) == "env":
        words = [one for one in _split(rest) if one not in {"-S", "--split-string"}]
        while words and (words[0].startswith("-") or "=" in words[0]):
            words = words[1:]
        interpreter = which(words[0]) or words[0] if words else interpreter
        words = words[1:]
    elif len(lines) > 1 and lines[1].startswith("'''exec' "):
        # What pip and uv write where the interpreter's path is too long for the first line.
        interpreter, *words = _split(lines[1].removeprefix("'''exec' "))[:1] or [interpreter]
    if is_python(interpreter):
        return Program(path=interpreter, kind="python", flags=flags_of(words), script=path)
    kind = "shell" if os.path.basename(interpreter) in _SHELLS else "other"
    return Program(path=interpreter, kind=kind, script=path)


def _split(text: str) -> list[str]:
    import shlex  # only for those who quote

    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _of_binary(path: str, head: bytes) -> str:
    if not head.startswith(b"\x7fELF"):
        return "other"
    if _FROZEN in _part(path, max(0, os.path.getsize(path) - _TAIL), _TAIL):
        return "frozen"
    start = _part(path, 0, _LIBRARIES)
    if b"libpython" in start and _ISOLATED in start and _ORDINARY not in start:
        return "isolated"
    return "embedding" if any(mark in start for mark in _EMBEDDED) else "other"


def _part(path: str, start: int, most: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read(most)
    except OSError as error:
        raise ProbeError(
            f"{path} may be run and not read ({error.strerror}): let this user read it"
        ) from error


def pex_variables(path: str, shim: str, environ: Mapping[str, str]) -> dict[str, str] | None:
    """What lets the start in a folder into a pex file; None for any other file.

    A pex run with PYTHONPATH set starts itself anew with -I, unless PEX_INHERIT_PATH lets it find
    what is installed beside it. One that makes a virtual environment of itself (--venv) does in any
    case, and adds PEX_EXTRA_SYS_PATH. Source: pex 2, `pex --help-variables`, pex/pex_boot.py.
    """
    try:
        if (info := _pex_info(path)) is None:
            return None
        import json  # only for those that are one

        told = json.loads(info)
    except (OSError, ValueError, KeyError):
        return None
    if not isinstance(told, dict):
        return None
    if not told.get("venv") and environ.get("PEX_VENV", "").lower() not in {"1", "true"}:
        return {} if "PEX_INHERIT_PATH" in environ else {"PEX_INHERIT_PATH": "fallback"}
    extra = [*filter(None, [environ.get("PEX_EXTRA_SYS_PATH")]), shim]
    return {"PEX_EXTRA_SYS_PATH": os.pathsep.join(extra)}


def _pex_info(path: str) -> str | None:
    """What a pex file tells of itself, or one that lies unpacked."""
    folder, name = os.path.split(os.path.abspath(path))
    if os.path.isdir(path) or name in {"pex", "__main__.py"}:
        unpacked = os.path.join(path if os.path.isdir(path) else folder, "PEX-INFO")
        with open(unpacked, encoding="utf-8") as file:
            return file.read()
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _TAIL))
        if b"PK\5\6" not in file.read():
            return None
    from zipfile import BadZipFile, ZipFile  # only for those that are one

    try:
        with ZipFile(path) as archive:
            return archive.read("PEX-INFO").decode()
    except BadZipFile:
        return None
