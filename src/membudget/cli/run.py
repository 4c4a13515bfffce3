"""`membudget run`: any Python program under a budget, with no change to it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from membudget.brake.children import note_launch_limit
from membudget.budget.interpreter import script_of
from membudget.budget.launch import TREE
from membudget.budget.reexec import LAUNCHED, REQUIRE
from membudget.cli.checkup.closed import of_other, unreached
from membudget.cli.checkup.program import program_of
from membudget.cli.pex import EXTRA, pex_of
from membudget.cli.restart.deaths import MOST, NOT_EXECUTABLE, NOT_FOUND
from membudget.errors import ConfigError, ProbeError
from membudget.probes.process import process_probe
from membudget.settings.resolve import DEFAULT, resolve
from membudget.settings.table import CONFIG_VARIABLE, SETTINGS
from membudget.units import human_bytes, parse_seconds

if TYPE_CHECKING:
    from membudget.cli.checkup.program import Program
    from membudget.settings.resolve import Settings

SHIM = Path(__file__).parent.parent / "_shim"
SUPERVISOR = Path(__file__).parent / "restart"

MALLOC = {"MALLOC_ARENA_MAX": "2"}
"""What --malloc sets for glibc: two arenas at most, instead of eight a core.

Sixteen threads of a pool that took turns building 30 MB and each left a few objects behind held
574 MiB afterwards, and 87 MiB with two arenas, in no more time; one thread alone sees no change.
MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ stay as they are: to set either ends glibc's own
adjusting (mallopt(3)), and the popular 65536 made arrays of 160 KB 130 times slower to allocate.
"""

LEND = "MEMBUDGET_LAUNCH_LEND"
"""Set to "no", it keeps our package from a Python that has none of its own; to "pex", it lets one
find it for good."""

EXIT_KEY = "emergency.exit"
LOW_KEY = "thresholds.low"


@click.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@click.option("--limit", metavar="SIZE", help="Bytes to keep within, as in 400MiB; else found.")
@click.option("--config", metavar="FILE", help="Settings file, checked before the start.")
@click.option(
    "--set",
    "pairs",
    metavar="KEY=VALUE",
    multiple=True,
    help="Any setting, as in thresholds.warning=85%; may be repeated.",
)
@click.option(
    "--brake", is_flag=True, help="Refuse with MemoryError what would get the program killed."
)
@click.option(
    "--adopt",
    metavar="MODULE:NAME",
    multiple=True,
    help="A cache of the program's to shrink as well; may be repeated.",
)
@click.option(
    "--spare",
    metavar="PATTERN",
    multiple=True,
    help="Caches found in the program never to touch; may be repeated.",
)
@click.option(
    "--malloc",
    is_flag=True,
    help="Set MALLOC_ARENA_MAX=2 unless it is set: threads then leave less behind. "
    "No thresholds: fixed ones make arrays slow to allocate.",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Stay, and start the program again when it dies; exit codes 0, 64, 126 and 127 end it. "
    f"Also sets {EXIT_KEY}=true unless it is set.",
)
@click.option(
    "--restart-delay",
    metavar="TIME",
    default="1s",
    show_default=True,
    help=f"Before the first restart; doubles up to {MOST} times as long.",
)
@click.option(
    "--require",
    is_flag=True,
    help="Exit 64 where no budget can start in PROGRAM, as --brake and the setting strict do; else "
    "that is told.",
)
@click.option(
    "--no-lend",
    is_flag=True,
    help="Start no budget in a Python that has no membudget of its own.",
)
@click.option(
    "--quiet",
    is_flag=True,
    help="Tell only failures, levels from CRITICAL on, and what is foreseen.",
)
@click.option("--dry-run", is_flag=True, help="Print the command and the variables it would set.")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def command(program: tuple[str, ...], *, dry_run: bool, **options: Any) -> None:
    """Run PROGRAM under a budget, in place of this process; put -- before it.

    Its output, its signals and its exit code are its own; messages go to standard error.
    """
    given = _given(options)
    settings = resolve(given, file=options["config"])
    _check_room(settings["limit"])
    delay = parse_seconds(options["restart_delay"], name="--restart-delay")
    variables = _variables(given, settings, options)
    path, argv = _find(program[0]), program
    must = settings["brake"] or settings["strict"] or options["require"]
    variables |= _reaching(program, must=must, options=options)
    if options["restart"]:
        path, argv = sys.executable, _supervised(delay, settings[LOW_KEY], path, program)
    if dry_run:
        lines = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
        click.echo("\n".join([shlex.join(argv), *lines]))
        return
    _execute(path, argv, {**os.environ, **variables})


def _given(options: dict[str, Any]) -> dict[str, str]:
    """The settings that the options give, as text by key."""
    given: dict[str, str] = {}
    for pair in options["pairs"]:
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
    return given


def _variables(
    given: dict[str, str], settings: Settings, options: dict[str, Any]
) -> dict[str, str]:
    """What the program finds in its environment besides what is there."""
    variables = {SETTINGS[key].variable: text for key, text in given.items()}
    # The program, or what it starts, may run somewhere else.
    if config := options["config"] or os.environ.get(CONFIG_VARIABLE):
        variables[CONFIG_VARIABLE] = os.path.abspath(config)
    if options["restart"] and settings.origins[EXIT_KEY] == DEFAULT:
        variables[SETTINGS[EXIT_KEY].variable] = "true"
    if options["malloc"]:
        variables |= {name: text for name, text in MALLOC.items() if name not in os.environ}
    variables[LAUNCHED] = "quiet" if options["quiet"] else "lines"
    note_launch_limit(variables)
    if sys.platform == "linux":
        from membudget.host.told import launch_mark

        if (mark := launch_mark(settings["agent.directory"])) is not None:
            variables[TREE] = mark
    paths = [str(SHIM), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables["PYTHONPATH"] = os.pathsep.join(paths)
    return variables


def _reaching(program: tuple[str, ...], *, must: bool, options: dict[str, Any]) -> dict[str, str]:
    """What else brings a budget into a command; says so where none can get there.

    Raises:
        ConfigError: None can, and there must be one.
    """
    variables: dict[str, str] = {}
    try:
        found: Program | None = program_of(program)
    except ProbeError:
        found = None  # It can be run and not read.
    is_python = found is not None and found.kind == "python"
    script = (found.script or script_of(program[1:])) if found and is_python else None
    if (pex := pex_of(script)) is not None:
        variables = {**pex.variables(str(SHIM), os.environ), LEND: "pex"}
    if found and EXTRA not in variables and (finding := unreached(found)) is not None:
        why = f"{finding.found}; {finding.advice}"
        if must:
            raise ConfigError(why)
        click.echo(f"membudget: {why}", err=True)
    elif found and found.kind == "embedding" and not options["quiet"]:
        finding = of_other(found)  # It may be, or not: only the process itself will tell.
        click.echo(f"membudget: {finding.found}; {finding.advice}", err=True)
    if must:  # An exec keeps the pid; a supervisor stays.
        variables[REQUIRE] = f"below {os.getpid()}" if options["restart"] else str(os.getpid())
    if options["no_lend"]:
        variables[LEND] = "no"
    return variables


def _supervised(delay: float, low: float, path: str, program: tuple[str, ...]) -> tuple[str, ...]:
    """The command of the supervisor: a bare interpreter, 6 MiB less than this one would keep."""
    if not sys.platform.startswith("linux"):
        raise ConfigError("--restart needs Linux: leave it out, and let your init system restart")
    # A mark in bytes is the program's own; the group and the machine are judged by a share.
    share = SETTINGS[LOW_KEY].default if isinstance(low, int) else low
    bare = (sys.executable, "-I", "-S", str(SUPERVISOR))
    return (*bare, str(delay), str(share), path, *program)


def _check_room(limit: int | None) -> None:
    """Refuse a limit that not even an interpreter fits in."""
    held = process_probe()().used
    if limit is not None and limit <= held:
        raise ConfigError(
            f"limit {human_bytes(limit)} is below what a bare interpreter holds "
            f"({human_bytes(held)} here): give it more"
        )


def _find(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        is_there = Path(name).exists()
        what = "cannot be executed" if is_there else "was not found"
        advice = "give an executable or a command on PATH, as in: membudget run -- python app.py"
        click.echo(f"membudget: command {name!r} {what}: {advice}", err=True)
        sys.exit(NOT_EXECUTABLE if is_there else NOT_FOUND)
    return path


def _execute(path: str, argv: tuple[str, ...], environment: dict[str, str]) -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # A closed one is the caller's wish.
            stream.flush()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Ignored by Python of its own accord.
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(path, argv, environment)  # noqa: S606  # running what was asked for is the job
    except OSError as error:
        click.echo(f"membudget: command {argv[0]!r} did not start: {error.strerror}", err=True)
        sys.exit(NOT_EXECUTABLE)
