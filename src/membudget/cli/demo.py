"""`membudget demo`: two workers that outgrow the same limit, one of them under a budget.

A worker is `python -m membudget.cli.demo budget|plain LIMIT SECONDS`: it fills caches with records
that grow, and prints one JSON object a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click

from membudget.errors import ProbeError
from membudget.probes.process import process_probe
from membudget.units import as_bytes, human_bytes, human_seconds, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST, _POLL, _BAR = 60 << 20, 0.005, 24
_KEYS, _BATCH, _GROWS_OVER, _LEAK_A_SECOND = 2_000_000, 500, 0.6, 512 << 10


@click.command()
@click.option(
    "--for", "lasting", metavar="TIME", default="20s", show_default=True, help="How long."
)
@click.option("--limit", metavar="SIZE", default="200MiB", show_default=True, help="The budget.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a second and a summary.")
def command(lasting: str, limit: str, *, as_json: bool) -> int:
    """Run a worker whose caches would outgrow the limit, and watch it being kept inside.

    Beside it runs a twin without a budget, which is stopped where a container would kill it.
    """
    seconds, size = parse_seconds(lasting, name="--for"), as_bytes(limit, name="--limit")
    if size < _LEAST:
        raise click.UsageError(f"--limit {limit} is too small for the demo: give 60MiB or more")
    say = (lambda _: None) if as_json else click.echo
    say(
        f"Two workers fill caches with records that grow tenfold; the limit is {human_bytes(size)}."
    )
    twin, took = _twin(size)
    say(
        f"without a budget: over the limit after {human_seconds(took)} "
        f"({human_bytes(twin['peak'])}); a container would have killed it, the demo stopped it."
    )
    last = _watch(size, seconds, as_json=as_json)
    is_kept = last["exit_code"] == 0 and last.get("peak", size + 1) <= size
    if as_json:
        click.echo(json.dumps({"summary": {"kept": is_kept, "twin": twin, **last}}))
    elif "peak" not in last:
        say(f"with a budget: the worker ended early, exit code {last['exit_code']}.")
    else:
        say(
            f"with a budget: {'kept' if is_kept else 'NOT kept'}; "
            f"peak {human_bytes(last['peak'])} of {human_bytes(size)}, "
            f"{human_bytes(last['inserted'])} inserted, {human_bytes(last['evicted'])} evicted, "
            f"{last['hit_rate']:.0%} hits."
        )
    return 0 if is_kept else 1


def _twin(limit: int) -> tuple[dict[str, Any], float]:
    """Run the worker without a budget until it is over the limit; its figures, and the seconds."""
    began, used, peak = time.monotonic(), 0, 0
    # It may end between two looks; what was seen stands.
    with _worker("plain", limit, 30.0) as worker, contextlib.suppress(ProbeError):
        probe = process_probe(worker.pid)
        while worker.poll() is None and used < limit:
            used = probe().used
            peak = max(peak, used)
            time.sleep(_POLL)
    took = time.monotonic() - began
    return {"reached_limit": peak >= limit, "peak": peak, "took": round(took, 2)}, took


def _watch(limit: int, seconds: float, *, as_json: bool) -> dict[str, Any]:
    """Run the worker under a budget, one line a second; its last figures."""
    last: dict[str, Any] = {}
    with _worker("budget", limit, seconds) as worker:
        guard = threading.Timer(seconds + 30, worker.kill)
        guard.daemon = True
        guard.start()
        try:
            for text in worker.stdout or ():
                last = json.loads(text)
                click.echo(json.dumps(last) if as_json else _live_line(last, limit))
            last["exit_code"] = worker.wait()
        finally:
            guard.cancel()
    return last


@contextlib.contextmanager
def _worker(kind: str, limit: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MEMBUDGET_")}
    with subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-m", "membudget.cli.demo", kind, str(limit), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the demo, which then ends its workers.
    ) as worker:
        try:
            yield worker
        finally:
            worker.kill()


def _live_line(figures: dict[str, Any], limit: int) -> str:
    filled = min(_BAR, round(figures["used"] / limit * _BAR))
    bar = "█" * filled + "·" * (_BAR - filled)
    share = figures["used"] / limit
    return (
        f"{figures['seconds']:>4.0f} s  {bar} {share:>4.0%} {figures['level']:<9} "
        f"{human_bytes(figures['used']):>8}  {figures['entries']:>7,} entries "
        f"{figures['hit_rate']:>4.0%} hits  {human_bytes(figures['evicted']):>8} evicted"
    )


def work(kind: str, limit: int, seconds: float) -> None:
    """Be a worker until the time is over."""
    from membudget import start  # the demo itself has no budget
    from membudget.core import Severity
    from membudget.sinks import merged, stderr_sink

    began = time.monotonic()
    if kind == "plain":
        held = {}
        while time.monotonic() < began + seconds:
            for _ in range(_BATCH):
                key = _key()
                held[key] = _record(key, 0.0)
        return
    with start(limit, sinks=[merged(stderr_sink(least=Severity.WARNING))]) as budget:
        prices = budget.cache("prices", ttl=60.0)
        next_line, inserted, leaked = began + 1, 0, []
        while True:
            now = time.monotonic()
            is_over = now >= began + seconds
            if is_over or now >= next_line:
                leaked.append(bytes(_LEAK_A_SECOND))
                next_line += 1
                stats, figures = prices.stats(), budget.stats()
                line = {
                    "seconds": seconds if is_over else round(now - began),
                    "used": figures.used,
                    "level": figures.level,
                    "peak": figures.peak,
                    "entries": stats.entries,
                    "hit_rate": round(stats.hit_rate, 4),
                    "inserted": inserted,
                    "evicted": stats.bytes_evicted,
                }
                print(json.dumps(line), flush=True)  # noqa: T201  # its one way to speak
            if is_over:
                return
            for _ in range(_BATCH):
                key = _key()
                if prices.get(key) is None:
                    record = _record(key, (now - began) / seconds)
                    prices.set(key, record)
                    inserted += len(record["payload"])


def _key() -> str:
    # Skewed as real keys are: few are asked for often.
    return f"symbol-{int(_KEYS * random.random() ** 6)}"  # noqa: S311  # no secret


def _record(key: str, part: float) -> dict[str, Any]:
    size = 1_000 if part < _GROWS_OVER else 10_000
    return {"key": key, "price": len(key) * 1.5, "payload": key.ljust(size, ".")}


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
