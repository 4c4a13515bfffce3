"""A launched program that starts Python anew in its own place: its budget comes along, or a line.

`os.execv` and `os.execve`, which all others of their kind call, are exchanged for functions that
look first, and give our entry in PYTHONPATH back, once; ADR 24 tells why.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

LAUNCHED = "MEMBUDGET_LAUNCH"  # Tells a launched program how much to say: "lines" or "quiet".
REQUIRE = "MEMBUDGET_LAUNCH_REQUIRE"
"""Names the process that is to end rather than run without a budget, if any: by its own pid, or by
that of the supervisor that it runs "below"."""

TREE = "MEMBUDGET_LAUNCH_TREE"  # Where a launch notes what was told: see `host.launch`.
REFUSED = 64  # EX_USAGE of sysexits.h, as the launcher itself ends where no budget can start.
_AGAIN = "MEMBUDGET_LAUNCH_AGAIN"
"""Holds the pid of a process that was given our entry back: not again, or a program that starts
anew until PYTHONPATH is gone would never end."""

_SHIM = os.path.join("membudget", "_shim")
_PEX_PATHS = ("PEX_EXTRA_SYS_PATH", "__PEX_EXTRA_SYS_PATH__")


def keep_through_exec() -> None:
    """Look at what this process is about to become, from now on; in one that was launched."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    shim = next((one for one in paths if one.endswith(_SHIM)), None)
    if shim is None:
        return  # Something else than PYTHONPATH brought us here, and will again.
    for name in ("execv", "execve"):
        original = getattr(os, name, None)
        if original is not None:
            replacement = _looking(original, shim)
            setattr(os, name, replacement)
            if original in os.supports_fd:
                os.supports_fd.add(replacement)


def _looking(original: Callable[..., Any], shim: str) -> Callable[..., Any]:
    home, execve = os.getpid(), os.execve  # Not exchanged yet.

    def execute(path: Any, argv: Any, *environ: Any) -> Any:
        wanted: Mapping[Any, Any] | None = None
        try:
            now = environ[0] if environ else os.environ
            wanted = _mended(path, argv, now, shim, is_program=os.getpid() == home)
        except Exception:  # noqa: BLE001  # what the program does is its own matter
            wanted = None
        if wanted is not None:
            return execve(path, argv, wanted)
        return original(path, argv, *environ)

    execute.__name__ = execute.__qualname__ = original.__name__
    execute.__doc__ = original.__doc__
    return execute


def _mended(
    path: Any, argv: Sequence[Any], environ: Mapping[Any, Any], shim: str, *, is_program: bool
) -> Mapping[Any, Any] | None:
    """The environment with our entry back in it, or None where nothing is to be changed."""
    there = {os.fsdecode(name): os.fsdecode(text) for name, text in environ.items()}
    if any(shim in there.get(name, "").split(os.pathsep) for name in _PEX_PATHS):
        return None  # What starts there adds it by itself.
    paths = there.get("PYTHONPATH", "").split(os.pathsep)
    own = str(os.getpid())
    is_back = shim not in paths and LAUNCHED in there and there.get(_AGAIN) != own
    if is_back:
        there["PYTHONPATH"] = os.pathsep.join([shim, *filter(None, paths)])
        there[_AGAIN] = own
    if is_program and not isinstance(path, int):  # Not a child, on its way to be another one.
        _tell_if_lost(os.fsdecode(path), [os.fsdecode(word) for word in argv[1:]], there, shim)
    return there if is_back else None


def _tell_if_lost(path: str, words: list[str], environ: Mapping[str, str], shim: str) -> None:
    if not is_python(path) or not os.path.exists(path):  # A name is tried in each folder of PATH.
        return
    if (closing := closed_by(flags_of(words))) is not None:
        why = f"with {closing}"
    elif shim not in environ.get("PYTHONPATH", "").split(os.pathsep):
        why = "without the PYTHONPATH of its launch"
    else:
        return
    from membudget.sinks import StandardError  # the launcher only wants the names above

    StandardError().write(
        f"membudget: the program starts Python anew {why}, in its own place: no budget from here "
        "on; call membudget.start() in the program"
    )
    if os.environ.get(REQUIRE) in (str(os.getpid()), f"below {os.getppid()}"):
        os._exit(REFUSED)


_NAMES = ("python", "pypy")
_VERSION = frozenset("0123456789.tdw")  # What may follow: "python3.13t", "pythonw".
_CLOSING = {
    "-I": "ignores PYTHONPATH and the rest of the environment",
    "-E": "ignores PYTHONPATH and the rest of the environment",
    "-S": "leaves out what starts before the program (site)",
}
_WITH_ARGUMENT = "WX"
_ENDING = "cm"
_MATTERING = "EISPs"


def is_python(path: str) -> bool:
    """Whether a path's name, or what it leads to, is an interpreter's."""
    names = [os.path.basename(one).removesuffix(".exe") for one in (path, os.path.realpath(path))]
    return any(
        name.startswith(one) and set(name[len(one) :]) <= _VERSION
        for name in names
        for one in _NAMES
    )


def flags_of(words: Sequence[str]) -> tuple[str, ...]:
    """Python's own flags that matter to us, from the words behind its name."""
    return _parsed(words)[0]


def script_of(words: Sequence[str]) -> str | None:
    """The file that an interpreter is to run, from the words behind its name; None for others."""
    rest = _parsed(words)[1]
    return rest[0] if rest and rest[0] != "-" else None


def closed_by(flags: Sequence[str]) -> str | None:
    """The flag that keeps a budget out, and what it does; None where there is none."""
    flag = next((one for one in flags if one in _CLOSING), None)
    return None if flag is None else f"{flag}, which {_CLOSING[flag]}"


def _parsed(words: Sequence[str]) -> tuple[tuple[str, ...], Sequence[str]]:
    """The flags that matter, and what comes behind all flags; nothing behind `-c` and `-m`."""
    letters: list[str] = []
    position = 0
    while position < len(words) and words[position].startswith("-") and words[position] != "-":
        word = words[position]
        position += 1
        if word.startswith("--"):
            # The only one that takes a word of its own.
            position += word == "--check-hash-based-pycs"
            continue
        for index, letter in enumerate(word[1:], start=1):
            if letter in _ENDING:
                return tuple(letters), ()
            if letter in _WITH_ARGUMENT:
                position += index == len(word) - 1
                break
            if letter in _MATTERING:
                letters.append(f"-{letter}")
    return tuple(letters), words[position:]
