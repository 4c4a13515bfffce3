"""Fifty deaths in a row under `membudget run --restart`: what is told, and what is left behind.

    uv run --group bench python bench/restarts [--deaths 50]

One supervisor in one memory group of cgroup v1. Its program dies by the kernel, by signals, by
errors of its own and by the ladder's exit, leaving orphans now and then, and ends well at last.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

import dying
from cgroup_v1 import limited_group, unavailable
from commands import clean_environment

if TYPE_CHECKING:
    from cgroup_v1 import LimitedGroup

_GROUP = 160 << 20
_LIMIT = "64MiB"
_SLOW = ("deaf", "asked", "asked")
_QUICK = ("oom", "kill", "error", "orphan", "fault", "oom", "left", "term", "other", "code")
_FIRST = "5ms"
_LASTING = 0.5
"""Seconds after which a zombie is one that nobody reaps."""

_LINE = re.compile(
    r"membudget: program (.*); starting it again in ([\d.]+) (ms|s) \(restart (\d+)\)"
)


class Watch:
    """What a supervisor looks like from outside while it runs: its lines, zombies, memory."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[tuple[float, str]] = []
        self.zombies = 0
        self.rss = self.anon = 0
        self._seen: dict[int, float] = {}

    def run(self) -> None:
        """Look every 20 ms until it ends."""
        reader = threading.Thread(target=self._read)
        reader.start()
        while self.process.poll() is None:
            self._look()
            time.sleep(0.02)
        reader.join()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.lines.append((time.monotonic(), line.rstrip()))

    def _look(self) -> None:
        pid, now = self.process.pid, time.monotonic()
        try:
            memory = Path(f"/proc/{pid}/status").read_text()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            dead = {int(child) for child in children if _is_zombie(child)}
        except OSError:  # It has just ended, or a child has.
            return
        self.rss, self.anon = (_kib(memory, key) for key in ("VmRSS", "RssAnon"))
        self._seen = {child: self._seen.get(child, now) for child in dead}
        self.zombies += sum(now - since > _LASTING for since in self._seen.values())


def _is_zombie(pid: str) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _kib(status: str, key: str) -> int:
    found = re.search(rf"{key}:\s+(\d+)", status)
    return int(found[1]) if found else 0


def main() -> int:
    """Run it and print the table; exits 1 where anything was told or left wrong."""
    options = argparse.ArgumentParser(prog="restarts")
    options.add_argument("--deaths", type=int, default=50)
    deaths = options.parse_args().deaths
    if (reason := unavailable()) is not None:
        print(f"restarts: {reason}", file=sys.stderr)
        return 2
    slow = _SLOW if deaths > len(_QUICK) else ()
    ways = [*islice(cycle(_QUICK), deaths - len(slow)), *slow]
    with tempfile.TemporaryDirectory() as folder, limited_group(_GROUP) as group:
        counter = Path(folder) / "lives"
        watch = _supervise(group, ways, counter)
        orphans = (group.path / "cgroup.procs").read_text().split()
        return _report(ways, watch, dying.starts(counter), len(orphans))


def _supervise(group: LimitedGroup, ways: list[str], counter: Path) -> Watch:
    options = ["--restart", "--restart-delay", _FIRST, "--limit", _LIMIT, "--quiet"]
    program = [sys.executable, dying.__file__, ",".join(ways), str(counter)]
    ladder = {"COOLDOWN": "10ms", "MAX_ATTEMPTS": "1", "DUMP": "false"}
    with group.start(
        [sys.executable, "-m", "membudget", "run", *options, "--", *program],
        stderr=subprocess.PIPE,
        env=clean_environment({f"MEMBUDGET_EMERGENCY_{key}": to for key, to in ladder.items()}),
    ) as process:
        watch = Watch(process)
        watch.run()
    return watch


def _report(ways: list[str], watch: Watch, lives: list[float], orphans: int) -> int:
    told = [(at, found) for at, line in watch.lines if (found := _LINE.match(line))]
    right = [
        dying.REASONS[way] in found[1] and int(found[4]) == number
        for number, (way, (_, found)) in enumerate(zip(ways, told, strict=False), 1)
    ]
    print("| kind of death | times | told right |\n| --- | ---: | ---: |")
    for kind in sorted(set(ways), key=ways.index):
        of_kind = [is_right for way, is_right in zip(ways, right, strict=False) if way == kind]
        print(f"| {kind}: {dying.REASONS[kind]} | {ways.count(kind)} | {sum(of_kind)} |")
    waits = [float(found[2]) / (1000 if found[3] == "ms" else 1) for _, found in told]
    late = [life - at - wait for (at, _), wait, life in zip(told, waits, lives[1:], strict=False)]
    print(f"\nrestarts told {len(told)}, lives {len(lives)}, exit code {watch.process.returncode}")
    if waits:
        print(f"back-off told {min(waits):.3f} to {max(waits):.3f} s; the program's first line ran")
        print(f"{min(late) * 1000:.0f} to {max(late) * 1000:.0f} ms after that")
    print(f"zombies {watch.zombies}, orphans {orphans}")
    print(f"supervisor: {watch.rss} KiB resident, {watch.anon} KiB of its own")
    is_good = all(right) and len(told) == len(ways) == len(lives) - 1 and not watch.zombies
    if not is_good:
        print("\n".join(line for _, line in watch.lines), file=sys.stderr)
    return int(not is_good or orphans > 0 or watch.process.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
