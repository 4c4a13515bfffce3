"""What processes answer about their memory, looked at field by field before it is shown.

The answerer may be another version, or another user's program that answers what it likes. Fields
that are not known here are passed on as they are: JSON shows them, and words do not.
"""

from __future__ import annotations

from typing import Any

from membudget.bounded.stats import CacheStats  # noqa: TC001  # sections are read by these
from membudget.brake.brake import BrakeState  # noqa: TC001
from membudget.core import Record
from membudget.core.status import (
    AdoptedRow,
    AllocatorState,
    CollectorState,
    ContainerRow,
    LeakState,
    ProposalRow,
    Status,
)
from membudget.core.wire import Size, record_from
from membudget.errors import ControlError
from membudget.reclaimers.adopted.found import FoundCache  # noqa: TC001
from membudget.reclaimers.adopted.search import Untouched  # noqa: TC001
from membudget.watched.stats import WatchedStats  # noqa: TC001


class Sections(Record):
    """What a process tells beyond its own figures; see `core.status` for what each is."""

    gc: CollectorState
    allocator: AllocatorState
    threads: Size
    caches: tuple[CacheStats, ...]
    adopted: tuple[AdoptedRow, ...]
    found: tuple[FoundCache, ...]
    found_count: Size
    untouched: tuple[Untouched, ...]
    containers: tuple[ContainerRow, ...] = ()
    watched: tuple[WatchedStats, ...] = ()
    proposals: tuple[ProposalRow, ...] = ()
    leak: LeakState | None = None
    brake: BrakeState | None = None


_OF_THE_SLOT = ("pid", "name", "at", "namespace")
"""What is known of a process without asking it."""


def with_answer(row: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """A process's row with what it answered to "memory".

    Args:
        row: What its slot tells.
        answer: As the control socket gave it.

    Raises:
        ControlError: A field is missing, or is not what it should be.
    """
    try:
        record_from(Status, answer)
        record_from(Sections, answer)
    except ValueError as error:
        raise ControlError(
            f"the answer of process {row['pid']} is not understood ({error}): use the same version "
            "of membudget on both sides"
        ) from None
    return {**row, **{name: answer[name] for name in answer if name not in _OF_THE_SLOT}}
