"""`membudget run`: its options, and the command that takes this process's place.

Every program under a budget waits for this, so where there is nothing to explain its options are
read here: click takes longer to load than all the rest.
"""

from __future__ import annotations

import os
import signal
import sys

from membudget.budget.reexec import LAUNCHED, REQUIRE, TREE, script_of
from membudget.cli import NOT_EXECUTABLE, NOT_FOUND, warn
from membudget.cli.program import missing, pex_variables, program_of, which
from membudget.errors import ConfigError, ProbeError
from membudget.settings import DEFAULT, resolve
from membudget.settings.table import CONFIG_VARIABLE, SETTINGS
from membudget.units import human_bytes, parse_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import click

    from membudget.cli.program import Program
    from membudget.settings import Settings

_HERE = os.path.dirname(os.path.abspath(__file__))
SHIM = os.path.join(os.path.dirname(_HERE), "_shim")
SUPERVISOR = os.path.join(_HERE, "restart")

MALLOC = {"MALLOC_ARENA_MAX": "2"}
"""What --malloc sets for glibc: two arenas at most, instead of eight a core.

Sixteen threads that took turns building 30 MB held 574 MiB afterwards, with two arenas 87 MiB, in
no more time. The thresholds stay: to set one ends glibc's own adjusting (mallopt(3)), and the
popular 65536 made arrays of 160 KB 130 times slower to allocate.
"""

_LEND = "MEMBUDGET_LAUNCH_LEND"
"""Whether a Python without our package is lent ours: not with "no", for good with "pex"."""

_EXIT = "emergency.exit"

OPTIONS: dict[str, tuple[str, object, str]] = {
    "limit": ("SIZE", None, "Bytes to keep within, as in 400MiB; else found."),
    "config": ("FILE", None, "Settings file, checked before the start."),
    "set": ("KEY=VALUE", (), "Any setting, as in thresholds.warning=85%; may be repeated."),
    "brake": ("", False, "Refuse with MemoryError what would get the program killed."),
    "adopt": ("MODULE:NAME", (), "A cache of the program's to shrink as well; may be repeated."),
    "spare": ("PATTERN", (), "Caches found in the program never to touch; may be repeated."),
    "malloc": ("", False, (
        "Set MALLOC_ARENA_MAX=2 unless it is set: threads then leave less behind. No thresholds: "
        "fixed ones make arrays slow to allocate."
    )),
    "restart": ("", False, (
        "Stay, and start the program again when it dies; exit codes 0, 64, 126 and 127 end it. "
        f"Also sets {_EXIT}=true unless it is set: an end in good order after three attempts at 98 "
        "%, 60 s apart; what grows faster is killed first."
    )),
    "restart-delay": ("TIME", "1s", "Before the first restart; doubles up to 60 times as long."),
    "require": ("", False, (
        "Exit 64 where no budget can start in PROGRAM, as --brake and the setting strict do; "
        "else that is told."
    )),
    "no-lend": ("", False, "Start no budget in a Python that has no membudget of its own."),
    "quiet": ("", False, "Tell only failures, levels from CRITICAL on, and what is foreseen."),
    "dry-run": ("", False, "Print the command and the variables it would set."),
}  # fmt: skip
"""By name: what the value is ("" for a switch), its default (an empty tuple for what may be
repeated), and what it does."""

_HELP = """
Run PROGRAM under a budget, in place of this process; put -- before it.

Its output, its signals and its exit code are its own; messages go to standard error.
"""


def as_command() -> click.Command:
    """The same for click, which explains what there is to be explained."""
    import click

    files = click.Path()  # Completed by shells; what is wrong with one is told later.
    options = [
        click.Option(
            [f"--{name}", name.replace("-", "_")],
            help=text,
            metavar=metavar or None,
            type=files if metavar == "FILE" else None,
            is_flag=not metavar,
            multiple=absent == (),
            default=absent or (None if metavar else False),
            show_default=isinstance(absent, str),
        )
        for name, (metavar, absent, text) in OPTIONS.items()
    ]

    def callback(program: tuple[str, ...], **given: Any) -> None:
        launch({name.replace("_", "-"): value for name, value in given.items()}, program)

    program = click.Argument(["program"], nargs=-1, required=True, type=files)
    context = {"ignore_unknown_options": False, "allow_interspersed_args": False}
    params = [*options, program]
    return click.Command(
        "run", callback=callback, help=_HELP, params=params, context_settings=context
    )


def read_options(words: Sequence[str]) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    """The options by name and the program, or None where something is to be explained."""
    options: dict[str, Any] = {name: absent for name, (_, absent, _) in OPTIONS.items()}
    rest = list(words)
    while rest and len(rest[0]) > 1 and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        name, is_given, value = word.partition("=")
        name = name.removeprefix("--")
        if name not in options or not word.startswith("--"):
            return None
        metavar, absent, _ = OPTIONS[name]
        if not metavar:
            if is_given:
                return None
            options[name] = True
            continue
        if not is_given:
            if not rest:
                return None
            value = rest.pop(0)
        options[name] = (*options[name], value) if absent == () else value
    return (options, tuple(rest)) if rest else None


def launch(options: Mapping[str, Any], program: tuple[str, ...]) -> None:
    """Become the program, with what starts a budget in it in its environment; or tell what that is.

    Raises ConfigError where the options do not fit, or no budget gets there that must.
    """
    if sys.platform == "win32":
        raise ConfigError(
            "`membudget run` puts a program in its own place, which Windows cannot: "
            "call membudget.start() in the program"
        )
    given, settings = _settled(options)
    delay = parse_seconds(options["restart-delay"], name="--restart-delay")
    variables = _variables(given, settings, options)
    path, argv = which(program[0]), program
    if path is None:
        warn(f"{missing(program[0])}, as in: membudget run -- python app.py")
        sys.exit(NOT_EXECUTABLE if os.path.exists(program[0]) else NOT_FOUND)
    must = settings["brake"] or settings["strict"] or options["require"]
    variables |= _reaching(program, must=must, options=options)
    if options["restart"]:
        if not sys.platform.startswith("linux"):
            why = "--restart needs Linux: leave it out, and let your init system restart"
            raise ConfigError(why)
        # A mark in bytes is the program's own; the group and the machine are judged by a share.
        low = settings["thresholds.low"]
        share = SETTINGS["thresholds.low"].default if isinstance(low, int) else low
        # A bare interpreter keeps 6 MiB less than this one would.
        argv = (sys.executable, "-I", "-S", SUPERVISOR, str(delay), str(share), path, *program)
        path = sys.executable
    if options["dry-run"]:
        import shlex  # the others quote nothing

        lines = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
        if sys.stdout is not None:
            sys.stdout.write("\n".join([shlex.join(argv), *lines, ""]))
            sys.stdout.flush()
        return
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Ignored by Python of its own accord.
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(path, argv, {**os.environ, **variables})  # noqa: S606  # asked for
    except OSError as error:
        warn(f"command {argv[0]!r} did not start: {error.strerror}")
        sys.exit(NOT_EXECUTABLE)


def _settled(options: Mapping[str, Any]) -> tuple[dict[str, str], Settings]:
    """The settings that the options give, as text by key, and those that hold."""
    given: dict[str, str] = {}
    for pair in options["set"]:
        key, found, value = pair.partition("=")
        if not found:
            raise ConfigError(f"--set {pair!r} has no value: write it as KEY=VALUE")
        given[key.strip()] = value.strip()
    if options["limit"] is not None:
        given["limit"] = options["limit"]
    if options["brake"]:
        given["brake"] = "true"
    for key in ("adopt", "spare"):
        if options[key]:
            given[f"caches.{key}"] = ",".join(options[key])
    settings = resolve(given, file=options["config"])
    if (limit := settings["limit"]) is not None:
        from membudget.probes.process import process_probe

        held = process_probe()().used
        if limit <= held:
            raise ConfigError(
                f"limit {human_bytes(limit)} is below what a bare interpreter holds "
                f"({human_bytes(held)} here): give it more"
            )
    return given, settings


def _variables(
    given: Mapping[str, str], settings: Settings, options: Mapping[str, Any]
) -> dict[str, str]:
    """What the program finds in its environment besides what is there."""
    variables = {SETTINGS[key].variable: text for key, text in given.items()}
    # The program, or what it starts, may run somewhere else.
    if config := options["config"] or os.environ.get(CONFIG_VARIABLE):
        variables[CONFIG_VARIABLE] = os.path.abspath(config)
    if options["restart"] and settings.origins[_EXIT] == DEFAULT:
        variables[SETTINGS[_EXIT].variable] = "true"
    if options["malloc"]:
        variables |= {name: text for name, text in MALLOC.items() if name not in os.environ}
    variables[LAUNCHED] = "quiet" if options["quiet"] else "lines"
    if sys.platform == "linux":
        from membudget.brake import note_launch_limit
        from membudget.host import launch_mark

        note_launch_limit(variables)
        if (mark := launch_mark(settings["agent.directory"])) is not None:
            variables[TREE] = mark
    paths = filter(None, [SHIM, os.environ.get("PYTHONPATH")])
    variables["PYTHONPATH"] = os.pathsep.join(paths)
    return variables


def _reaching(
    program: tuple[str, ...], *, must: bool, options: Mapping[str, Any]
) -> dict[str, str]:
    """What else brings a budget into a command; that none can get there is said, or refused."""
    variables: dict[str, str] = {}
    try:
        found: Program | None = program_of(program)
    except ProbeError:
        found = None  # It can be run and not read.
    is_let_in = False
    if found is not None and found.kind == "python":
        script = found.script or script_of(program[1:])
        pex = pex_variables(script, SHIM, os.environ) if script else None
        if pex is not None:
            variables = {**pex, _LEND: "pex"}
            is_let_in = "PEX_EXTRA_SYS_PATH" in pex
    if found is not None and not is_let_in and (verdict := found.verdict()) is not None:
        why = f"{verdict.found}; {verdict.advice}"
        if verdict.is_lost and must:
            raise ConfigError(why)
        # Of one with Python inside, only the process itself will tell.
        if verdict.is_lost or (found.kind == "embedding" and not options["quiet"]):
            warn(why)
    if must:  # An exec keeps the pid; a supervisor stays.
        variables[REQUIRE] = f"below {os.getpid()}" if options["restart"] else str(os.getpid())
    if options["no-lend"]:
        variables[_LEND] = "no"
    return variables
