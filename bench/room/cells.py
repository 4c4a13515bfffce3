"""One cell: a scene with one contestant in a fresh memory group, and what its workers told."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from math import inf
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from groups import limited_group
from scenes import LEAK
from splits import WORKER, best, equal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scenes import Member, Scene
    from splits import Split

    from cgroup_v1 import LimitedGroup

CONTESTANTS: Mapping[str, Callable[[Scene], Split | None]] = {
    "membudget": lambda _scene: None,
    "equal": equal,
    "best": best,
}
"""What bounds the caches: the budget of each, or a fixed split."""

WINDOW = 2.0
"""Seconds that are summed up in one figure."""

_LAST = 4.0
"""Seconds at the end in which it is looked who holds what."""

_PATIENCE = 30.0
_MOST_SAID = 1000
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "cont": signal.SIGCONT}

_LEAKING = """
import sys, time
kept, size = [], int(sys.argv[1]) // 10
while sum(map(len, kept)) < int(sys.argv[2]):
    kept.append(b"1" * size)
    time.sleep(0.1)
time.sleep(1000)
"""


class Told(NamedTuple):
    """What one worker told: when, its role, keys asked for and had so far, and bytes."""

    at: float
    role: str
    asks: int
    hits: int
    held: int
    rss: int


class Life(NamedTuple):
    """One worker's life: what it told, its exit code (None: it had to be ended), its last words."""

    told: list[Told]
    code: int | None
    said: str

    def is_there_at(self, end: float) -> bool:
        """Whether it told anything in the last seconds before the end."""
        return bool(self.told) and self.told[-1].at >= end - _LAST

    def rate(self, role: str, start: float, end: float) -> float | None:
        """Percent of what it asked for then in a role; None where it asked for nothing."""
        asks = hits = 0
        for before, one in pairwise(self.told):
            if one.role == before.role == role and start < one.at <= end:
                asks += one.asks - before.asks
                hits += one.hits - before.hits
        return 100 * hits / asks if asks else None


class Outcome(NamedTuple):
    """What came of one cell; times are seconds from the scene's begin."""

    scene: str
    contestant: str
    split: Split | None
    ends: float
    lives: list[Life]
    peak: int
    oom_kills: int
    neighbour: int | None

    def rates(self, role: str, start: float = 0.0, end: float = inf) -> list[float]:
        """Of each of them that asked for something then."""
        found = (one.rate(role, start, end) for one in self.lives)
        return [rate for rate in found if rate is not None]

    def path(self, role: str) -> list[int | None]:
        """The mean of their hits in each window."""
        found = []
        for number in range(int(self.ends / WINDOW)):
            rates = self.rates(role, number * WINDOW, (number + 1) * WINDOW)
            found.append(round(fmean(rates)) if rates else None)
        return found

    def held(self, role: str) -> float:
        """Bytes held at the end in the mean of those who were there then."""
        start = self.ends - _LAST
        found = [
            told.held
            for one in self.lives
            for told in one.told
            if told.at >= start and told.role == role
        ]
        return fmean(found) if found else 0.0

    def arrivals(self, part: float) -> list[float | None]:
        """Seconds until each hot worker has so many bytes; None: never."""
        found: list[float | None] = []
        for one in self.lives:
            if one.told and one.told[0].role == "hot":
                at = (told.at for told in one.told if told.held >= part)
                reached = next(at, None)
                found.append(None if reached is None else reached - one.told[0].at)
        return found

    def deaths(self, scene: Scene) -> int:
        """Workers and neighbours that ended as nobody asked them to."""
        codes = [one.code for number, one in enumerate(self.lives) if number not in scene.killed]
        return sum(code != 0 for code in codes) + (self.neighbour is not None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        lives = [
            {**one._asdict(), "told": [told._asdict() for told in one.told]} for one in self.lives
        ]
        return {**self._asdict(), "lives": lives}


def run_cell(name: str, scene: Scene, contestant: str) -> Outcome:
    """Go through a scene once."""
    split = CONTESTANTS[contestant](scene)
    with limited_group(scene.limit) as group, tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        started: dict[int, subprocess.Popen[str]] = {}
        neighbour = None
        for at, what, who in sorted(_plan(scene)):
            time.sleep(max(0.0, began + at - time.monotonic()))
            if what == "start":
                started[who] = _start(group, folder, scene.members[who], who, split)
            elif what == "leak":
                leak = [sys.executable, "-c", _LEAKING, str(scene.leaks), str(LEAK)]
                neighbour = group.start(leak)
            elif started[who].poll() is None:
                started[who].send_signal(_SIGNALS[what])
        lives = []
        for number, member in enumerate(scene.members):
            code = _code(started[number], began + member.ends + _PATIENCE)
            with open(f"{folder}/{number}.err") as errors:
                said = errors.read()[-_MOST_SAID:]
            lives.append(Life(_told(folder, number, began), code, said))
        ended = None if neighbour is None else neighbour.poll()
        peak, kills = group.peak(), group.oom_kills()
        if neighbour is not None:
            neighbour.kill()
            neighbour.wait()
    return Outcome(name, contestant, split, scene.ends, lives, peak, kills, ended)


def _plan(scene: Scene) -> Iterator[tuple[float, str, int]]:
    yield from scene.done
    for number, member in enumerate(scene.members):
        yield member.start, "start", number
    if scene.leaks:
        yield 2.0, "leak", 0


def _start(
    group: LimitedGroup, folder: str, member: Member, number: int, split: Split | None
) -> subprocess.Popen[str]:
    most = split and (split.hot if member.is_hot else split.cold)
    spec = {"number": number, "most": most, "roles": member.roles}
    with open(f"{folder}/{number}", "w") as out, open(f"{folder}/{number}.err", "w") as errors:
        return group.start([sys.executable, WORKER, json.dumps(spec)], stdout=out, stderr=errors)


def _code(process: subprocess.Popen[str], until: float) -> int | None:
    try:
        return process.wait(max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def _told(folder: str, number: int, began: float) -> list[Told]:
    """What it told; a last line that broke off is left out."""
    found = []
    with open(f"{folder}/{number}") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                one = json.loads(line)
                one["at"] -= began
                found.append(Told(**{name: one[name] for name in Told._fields}))
    return found
