"""`membudget demo`: two workers under the same limit, only one of them with a budget.

A worker is `python -m membudget.cli.demo plain|budget LIMIT RATE SECONDS`: it keeps answers that it
makes up, and prints its figures as JSON objects. It ends when nobody reads them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import click

from membudget.cli import warn
from membudget.cli.drawing import WIDEST, Screen
from membudget.errors import ProbeError
from membudget.probes.cgroup import Group, membership, visible_groups
from membudget.probes.process import process_probe
from membudget.units import as_bytes, human_bytes, human_seconds, one_line, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("plain", "budget")
_LEAST, _LOOK, _PATIENCE = 60 << 20, 0.05, 30.0
_KEYS, _PAYLOAD, _WEIGHT = 2_000_000, 1_000, 1_400  # Questions; bytes of an answer, and all told.
_HEIGHT, _GAP, _NARROWEST = 8, 3, 60  # Rows of a chart, columns between two, and of both.
_ENTER = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
_LIMITS = {
    1: {"memory.limit_in_bytes": 1, "memory.memsw.limit_in_bytes": 1},
    2: {"memory.max": 1, "memory.swap.max": 0},
}


@click.command()
@click.option(
    "--for", "lasting", metavar="TIME", default="20s", show_default=True, help="How long."
)
@click.option("--limit", metavar="SIZE", default="200MiB", show_default=True, help="Of each.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a second and a summary.")
def command(lasting: str, limit: str, *, as_json: bool) -> int:
    """Run two workers under the same memory limit, one of them with a budget.

    The one without is killed by the kernel. Where no memory group can be made (that takes root, or
    a group that is yours), the demo itself stops it at the limit, and says so.

    Exits 0 when the one with a budget stayed within the limit, and 1 when not.
    """
    seconds, size = parse_seconds(lasting, name="--for"), as_bytes(limit, name="--limit")
    if size < _LEAST:
        raise click.UsageError(f"--limit {limit} is too small for the demo: give 60MiB or more")
    with _held_signals() as asked, contextlib.ExitStack() as stack:
        groups = [stack.enter_context(_group(kind, size)) for kind in KINDS]
        if None in groups:
            groups = [None, None]
        show = (_Json if as_json else _Show)(size, seconds, groups[0])
        plain, budget = (
            stack.enter_context(_worker(kind, group, size, seconds))
            for kind, group in zip(KINDS, groups, strict=True)
        )
        while budget.is_running and not asked:
            time.sleep(_LOOK)
            for worker in (plain, budget):
                worker.look()
            show.update(plain, budget)
    if asked:
        show.stopped()
        return 128 + asked[0]
    show.end(plain, budget)
    return 0 if budget.is_kept else 1


@contextlib.contextmanager
def _held_signals() -> Iterator[list[int]]:
    """Note what would end this process, so that nothing is cut short that must be undone."""
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {
        number: signal.signal(number, lambda number, _frame: asked.append(number))
        for number in numbers
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _group(kind: str, limit: int) -> Iterator[Group | None]:
    """A memory group with that limit in or beside ours, as the kernel allows; None where not."""
    name = f"membudget-demo-{os.getpid()}-{kind}"
    for above in visible_groups(membership(None, "/"), "/", None):
        group = Group(above.version, f"{above.folder}/{name}", above.name, None)
        try:
            os.mkdir(group.folder)
        except OSError:
            continue
        try:
            if is_limited := _is_limited(group, limit):
                yield group
        finally:
            _remove(group)
        if is_limited:
            return
    yield None


def _is_limited(group: Group, limit: int) -> bool:
    """Whether the group has the limit now, with no swap beyond it, and takes processes."""
    for name, times in _LIMITS[group.version].items():
        # Those of swap are missing where it is not accounted for.
        with contextlib.suppress(OSError), open(f"{group.folder}/{name}", "w") as file:
            file.write(str(times * limit))
    enter = ["sh", "-c", _ENTER, group.folder, "true"]
    entered = subprocess.run(enter, stderr=subprocess.DEVNULL, check=False)  # noqa: S603
    return entered.returncode == 0 and group.limit() is not None


def _remove(group: Group) -> None:
    group.close()
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            os.rmdir(group.folder)
        except OSError as error:  # What was killed leaves it a moment later.
            if time.monotonic() > until:
                warn(f"{group.folder} is left behind ({error.strerror}): remove it with rmdir")
                return
            time.sleep(0.01)
        else:
            return


class _Worker:
    """One of the two: its process, and what was seen of it."""

    def __init__(
        self, process: subprocess.Popen[bytes], group: Group | None, limit: int, seconds: float
    ) -> None:
        self.samples: dict[int, tuple[int, str]] = {}  # By part of the time: most bytes, level.
        self.used = 0
        self.figures: dict[str, Any] = {"seconds": 0.0, "level": "", "entries": 0, "peak": 0}
        self.lasted, self.killed_by, self.is_running = 0.0, "", True
        self._process, self._group, self._limit = process, group, limit
        self._probe, self._text = process_probe(process.pid), b""
        self._told = process.stdout.fileno() if process.stdout else -1
        os.set_blocking(self._told, False)
        self._began, self._seconds = time.monotonic(), seconds

    @property
    def peak(self) -> int:
        """The most bytes that were seen, by itself or from here."""
        return max(int(self.figures["peak"]), *(used for used, _ in self.samples.values()), 0)

    @property
    def code(self) -> int:
        """What it ended with."""
        return self._process.returncode

    @property
    def is_kept(self) -> bool:
        """Whether it ended well and was never over the limit."""
        return self.code == 0 and 0 < self.peak <= self._limit

    def look(self) -> None:
        """See what it uses and tells now, whether it ended, and how."""
        if not self.is_running:
            return
        self.lasted = time.monotonic() - self._began
        self.is_running = self._process.poll() is None
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._told, 1 << 16):
                self._text += chunk
        *lines, self._text = self._text.split(b"\n")
        if lines:
            self.figures = json.loads(lines[-1])
        if not self.is_running:
            if self.code == -signal.SIGKILL and self._group and self._group.kills() != 0:
                self.killed_by = "kernel"
            return
        if self.figures["seconds"] < self._seconds:
            with contextlib.suppress(ProbeError):
                self.used = self._group.use()["cgroup"] if self._group else self._probe().used
            part = min(WIDEST - 1, int(self.lasted / self._seconds * WIDEST))
            most = max(self.used, self.samples.get(part, (0, ""))[0])
            self.samples[part] = (most, self.figures["level"])
        if self._group is None and self.used >= self._limit:
            self.killed_by = "demo"
        if self.killed_by or self.lasted > self._seconds + _PATIENCE:
            self._process.kill()


@contextlib.contextmanager
def _worker(kind: str, group: Group | None, limit: int, seconds: float) -> Iterator[_Worker]:
    # Without a budget it is at the limit after a quarter of the time, and five seconds at most.
    rate = limit / max(1.0, min(5.0, seconds / 4))
    given = 0 if group else limit  # A real limit is found, as it would be anywhere.
    words = [sys.executable, "-m", "membudget.cli.demo", kind, *map(str, (given, rate, seconds))]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603  # our own module
            ["sh", "-c", _ENTER, group.folder, *words] if group else words,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={k: v for k, v in os.environ.items() if not k.startswith("MEMBUDGET_")},
            start_new_session=True,  # Ctrl-C is for the demo, which then ends its workers.
        ) as process,
    ):
        try:
            yield _Worker(process, group, limit, seconds)
        finally:
            process.kill()
            process.wait()
            errors.seek(0)
            if process.returncode > 0 and (lines := errors.read().splitlines()):
                warn(f"the worker failed: {one_line(lines[-1].decode(errors='replace'), 500)}")


class _Show:
    """What is seen of it: charts where they can be drawn in place, else a line a second."""

    def __init__(self, limit: int, seconds: float, group: Group | None) -> None:
        self._limit, self._seconds, self._group = limit, seconds, group
        self._told, self._screen = 0, Screen()
        self._begin()

    def update(self, plain: _Worker, budget: _Worker) -> None:
        """Show how both stand now."""
        if self._is_drawn:
            self._screen.redraw(self._drawn(plain, budget))
        elif budget.lasted >= self._told + 1:
            self._told = int(budget.lasted)
            self._tell(plain, budget)

    def stopped(self) -> None:
        """Say that it was cut short."""
        click.echo("Stopped: both workers have ended.")

    def end(self, plain: _Worker, budget: _Worker) -> None:
        """Say what happened, and what to try next."""
        figures = budget.figures
        click.echo(f"\nWithout a budget: {self._ending(plain)}.")
        click.echo(f"With a budget: {self._ending(budget)}.")
        if "inserted" in figures:
            taken, let_go = (human_bytes(figures[key]) for key in ("inserted", "evicted"))
            click.echo(
                f"It took in {taken}, freed {let_go}, and found "
                f"{figures['hit_rate']:.0%} of the answers in memory."
            )
        run = "uv run membudget" if "UV" in os.environ else "membudget"
        click.echo(
            f"\nNext, your own program, as it is:\n  {run} run --limit 400MiB -- python app.py\n"
            f"and in another terminal:\n  {run} memory --watch"
        )

    @property
    def _is_drawn(self) -> bool:
        return self._screen.is_live and self._screen.width >= _NARROWEST

    def _begin(self) -> None:
        most = human_bytes(self._limit)
        how = "and no memory group can be made here: the\ndemo itself stops what needs more"
        if self._group:
            how = f"and the kernel kills what needs\nmore (cgroup v{self._group.version})"
        click.echo(
            "Two workers do the same work: one keeps its answers in a dict, the other in a\n"
            f"cache under a budget. Each may use {most}, {how}.\n"
        )

    def _tell(self, plain: _Worker, budget: _Worker) -> None:
        click.echo(
            f"{self._told:>4} s   without: {self._fate(plain) or self._use(plain):<17}"
            f"   with: {self._use(budget)} {budget.figures['level']}"
        )

    def _use(self, worker: _Worker) -> str:
        return f"{human_bytes(worker.used):>8} {worker.used / self._limit:>4.0%}"

    def _ending(self, worker: _Worker) -> str:
        after = f"after {human_seconds(worker.lasted)}"
        if worker.killed_by:
            how = "killed by the kernel" if worker.killed_by == "kernel" else "stopped at the limit"
            return f"{how} {after}, {worker.figures['entries']:,} answers lost"
        if worker.code:
            return f"failed {after}, exit code {worker.code}"
        after = f"after {human_seconds(worker.figures['seconds'])}"  # By its own clock.
        return f"alive {after}, at most {human_bytes(worker.peak)} of {human_bytes(self._limit)}"

    def _fate(self, worker: _Worker) -> str:
        if worker.is_running:
            return ""
        how = {"kernel": "KILLED", "demo": "STOPPED"}.get(worker.killed_by, "ended")
        return f"{how} at {worker.lasted:.1f} s"

    def _drawn(self, plain: _Worker, budget: _Worker) -> list[str]:
        wide = (self._screen.width - _GAP) // 2
        sides = [
            self._panel("without a budget", plain, wide),
            self._panel("with a budget", budget, wide),
        ]
        return [f"{left}{' ' * _GAP}{right}" for left, right in zip(*sides, strict=True)]

    def _panel(self, title: str, worker: _Worker, wide: int) -> list[str]:
        """One worker's half: its title, the limit, the chart, what it uses and what it has."""
        painted, figures = self._screen.painted, worker.figures
        columns = [(0.0, "")] * wide
        last = -1
        for part, (used, level) in worker.samples.items():
            column = part * wide // WIDEST
            share = max(columns[column][0] if column == last else 0.0, used / self._limit)
            # A column that no look fell into is as the next one is.
            columns[last + 1 : column + 1] = [(share, level)] * (column - last)
            columns[column], last = (share, level), column
        fate = self._fate(worker)
        if fate and worker.killed_by:
            columns[last] = (columns[last][0], "EMERGENCY")
            state = painted(fate.ljust(wide), "EMERGENCY")
            has = f"{figures['entries']:,} answers lost"
        else:
            state = f"{self._use(worker).lstrip()}  {figures['level']}".ljust(wide)
            state = painted(state, figures["level"])
            has = f"{figures['entries']:,} answers"
            if "inserted" in figures:
                has += f", {human_bytes(figures['evicted'])} freed"
        limit = f"{human_bytes(self._limit)} "
        return [
            title.ljust(wide),
            limit + "┄" * (wide - len(limit)),
            *self._screen.chart(columns, _HEIGHT),
            state,
            has.ljust(wide),
        ]


class _Json(_Show):
    """The same for scripts."""

    def stopped(self) -> None:
        """Say nothing: there is no summary."""

    def end(self, plain: _Worker, budget: _Worker) -> None:
        """Tell the summary."""
        twin = {
            "reached_limit": bool(plain.killed_by),
            "killed_by": plain.killed_by or None,
            "peak": plain.peak,
            "took": round(plain.lasted, 2),
            "entries": plain.figures["entries"],
        }
        group = f"cgroup v{self._group.version}" if self._group else None
        summary = {"kept": budget.is_kept, "limit": self._limit, "group": group, "twin": twin}
        click.echo(json.dumps({"summary": {**summary, **budget.figures, "exit_code": budget.code}}))

    @property
    def _is_drawn(self) -> bool:
        return False

    def _begin(self) -> None:
        pass

    def _tell(self, plain: _Worker, budget: _Worker) -> None:
        click.echo(json.dumps({**budget.figures, "seconds": self._told, "twin_used": plain.used}))


def work(kind: str, limit: int, rate: float, seconds: float) -> None:
    """Be a worker until the time is over."""
    from membudget import start  # the demo itself has no budget

    began, made = time.monotonic(), 0
    with start(limit or None, sinks=[]) if kind == "budget" else contextlib.nullcontext() as budget:
        answers: Any = budget.cache("answers") if budget else {}
        now = 0.0
        while now < seconds:
            now = time.monotonic() - began
            # A machine that is slower than the rate leaves out what it is behind.
            made = max(made, int(rate * (now - 4 * _LOOK)))
            while made < rate * now:
                # Skewed as real questions are: few are asked often.
                key = f"question-{int(_KEYS * random.random() ** 6)}"  # noqa: S311  # no secret
                if answers.get(key) is None:
                    answers[key] = {"question": key, "answer": key.ljust(_PAYLOAD, ".")}
                    made += _WEIGHT
            told = {"seconds": round(now, 2), "level": "", "entries": len(answers), "peak": 0}
            if budget:
                stats, figures = answers.stats(), budget.stats()
                told |= {
                    "used": figures.used,
                    "level": figures.level,
                    "peak": figures.peak,
                    "hit_rate": round(stats.hit_rate, 4),
                    # What an entry weighs is more than its answer: both are in the same measure.
                    "inserted": stats.bytes + stats.bytes_evicted,
                    "evicted": stats.bytes_evicted,
                }
            print(json.dumps(told), flush=True)  # noqa: T201  # its one way to speak
            # After the last, too: what it uses is seen before it is taken down.
            time.sleep(2 * _LOOK if now >= seconds else _LOOK)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
