"""What judging takes: the rules that settings ask for, its modules one by one, and its samples."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from membudget.core import Sample
    from membudget.leaks.rules import Rules
    from membudget.settings.resolve import Settings

HOUR = 3600.0
MIB = 1 << 20
MOST_JUDGED = 900
"""Samples judged: three days of five minutes each, which is as far as is looked back, and what the
detector's constants were set on. What turns them into columns takes 6 ms at a stretch."""

APART = 285.0
"""Seconds: five minutes, less what a sample may come early."""

NEEDED = (
    *("trend", "leaks.records", "leaks.rules", "leaks.series", "leaks.window", "leaks.windows"),
    *("leaks.evidence", "leaks.words", "leaks.children", "leaks.facts", "leaks.kinds"),
    *("leaks.shape", "leaks.onset", "leaks.parts", "leaks.state", "leaks.verdict"),
    *("forecast", "leaks.advice"),
)
"""What judging imports, each after what it imports itself: 1 to 2 ms each, 15 ms together."""


def rules_of(settings: Settings, *, can_collect: bool = False) -> Rules:
    """The rules of the verdict that these settings ask for."""
    from membudget.leaks.rules import Rules  # when a verdict is due

    return Rules(
        minimum_rate=settings["leaks.minimum_rate"] / MIB,
        threshold_mb_per_hour=settings["leaks.threshold_mb_per_hour"],
        min_duration=settings["leaks.min_duration"] / HOUR,
        min_samples=settings["leaks.min_samples"],
        gc_efficiency=settings["leaks.gc_efficiency"],
        collect_first=can_collect,
    )


def loading() -> Iterator[Callable[[], object]]:
    """What imports a module each, for a thread that has other things to do between two."""
    for name in NEEDED:
        yield lambda name=name: import_module(f"membudget.{name}")  # type: ignore[misc]  # its default


def fewer(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples to judge: all, or where they are many, about 900 that are evenly apart.

    Hardly ever farther than five minutes; the newest is always among them.
    """
    if len(samples) <= MOST_JUDGED:
        return samples
    apart = min(APART, (samples[-1].wall - samples[0].wall) / MOST_JUDGED)
    kept = [samples[0]]
    for one in samples[1:-1]:
        before = kept[-1]
        is_other = (one.pid, one.began) != (before.pid, before.began)
        if is_other or one.wall - before.wall >= apart:
            kept.append(one)
    return [*kept, samples[-1]]
