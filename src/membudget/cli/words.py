"""The figures of a process in words.

What processes answer about their memory, looked at field by field before it is shown.

The answerer may be another version, or another user's program that answers what it likes. Fields
that are not known here are passed on as they are: JSON shows them, and words do not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from membudget.brake.brake import BrakeState  # noqa: TC001
from membudget.cache.table import CacheStats  # noqa: TC001  # sections are read by these
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
from membudget.core.wire import Size, plain, record_from
from membudget.errors import ControlError
from membudget.reclaimers.found import HANDFUL, FoundCache, Untouched
from membudget.units import LONGEST_NAME, human_bytes, human_seconds, one_line
from membudget.watched.container import WatchedStats  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
        told = record_from(Status, answer).as_answer()
        sections: dict[str, Any] = plain(record_from(Sections, answer))
    except ValueError as error:
        raise ControlError(
            f"the answer of process {row['pid']} is not understood ({error}): use the same version "
            "of membudget on both sides"
        ) from None
    # What an older process leaves out has its default; what a newer one adds is passed on.
    told |= answer | sections
    return {**row, **{name: told[name] for name in told if name not in _OF_THE_SLOT}}


SILENT = 10.0
"""Seconds without a new figure that are worth telling: at rest there is one each second."""

RESTING = "a supervisor, not governed while it holds nothing"

_ROWS = 12
"""Caches shown of each kind; JSON has more."""

_LONGEST_COMPLAINT = 1000


def complain(error: object) -> None:
    """Say on standard error what went wrong; others' words may be in it."""
    click.echo(f"membudget: {one_line(error, _LONGEST_COMPLAINT)}", err=True)


def line(row: Mapping[str, Any]) -> str:
    """One process in one line."""
    used, limit = row["used"], row["limit"]
    who = f"{row['pid']} {_plain(row.get('name') or '')}".strip()
    if "namespace" in row:
        who += " (in another pid namespace)"
    size = human_bytes(used)
    if limit is not None:
        size += f" of {human_bytes(limit)} ({used / limit:.0%}, {_plain(row['source'])})"
    sign = "-" if row["rate"] < 0 else "+"
    parts = [f"{who}: {size} {_plain(row['level'])} {sign}{human_bytes(abs(row['rate']))}/s"]
    if row.get("is_resting"):
        parts.append(RESTING)
    if row["seconds_left"] is not None:
        parts.append(f"limit in {human_seconds(row['seconds_left'])}")
    silent = time.time() - row["at"] if "at" in row else 0.0
    if silent > SILENT:
        parts.append(f"silent for {human_seconds(silent)}")
    return ", ".join(parts)


def details(row: Mapping[str, Any]) -> Iterator[str]:
    """What a process answers beyond that, a line each; nothing where it was not asked."""
    if "parts" in row:
        sizes = ", ".join(
            f"{_plain(name)} {human_bytes(size)}" for name, size in row["parts"].items()
        )
        yield f"  parts      {sizes}"
    if "caches" not in row:
        return
    yield (
        f"  use        peak {human_bytes(row['peak'])}; caches {human_bytes(row['governed'])}; "
        f"reclaimed {human_bytes(row['reclaimed'])}, of it not yet given back "
        f"{human_bytes(row['held_free'])}; reserved {human_bytes(row['reserved'])}"
    )
    if floor := row.get("floor"):
        others = row.get("elsewhere")
        whose = f"; {human_bytes(others)} of it not this process's" if others else ""
        yield f"  floor      {human_bytes(floor)} that shrinking does not lower{whose}"
    spent = ", ".join(
        f"{_plain(name)} {human_seconds(at)}" for name, at in row["seconds_at"].items() if at
    )
    yield f"  levels     {spent}; late {row['late'].get('times', 0)} times"
    yield from _rows("cache", row["caches"], _cache)
    large = [one for one in row["found"] if one["why"] != HANDFUL]
    yield from _rows("lru_cache", large, _found)
    if (more := row["found_count"] - len(large)) > 0:
        # The process tells its largest only; where those are all large, the rest may be, too.
        why = f", left alone: {HANDFUL} each" if len(large) < len(row["found"]) else ""
        yield f"  lru_cache  {more} more{why}"
    yield from _rows("container", row.get("containers", []), _container)
    yield from _rows("adopted", row["adopted"], _adopted)
    yield from _rows("watched", row.get("watched", []), _watched)
    yield from _rows("untouched", row["untouched"], _untouched)
    yield f"  gc         {_collector(row['gc'])}"
    yield f"  allocator  {_allocator(row['allocator'])}; {row['threads']} threads"
    yield from _rows("allocator", row["allocator"].get("asked", []), _asked)
    if (leak := row.get("leak")) is not None:
        yield f"  leak       {_leak(leak)}"
    yield from _rows("proposed", row.get("proposals", []), _proposed)
    if (brake := row.get("brake")) is not None:
        yield f"  brake      {_brake(brake)}"
    yield from _rows("changes", row["changes"][::-1], _change)


def _rows(title: str, rows: list[Any], tell: Any) -> Iterator[str]:
    for row in rows[:_ROWS]:
        yield f"  {title:<10} {tell(row)}"
    if len(rows) > _ROWS:
        yield f"  {title:<10} and {len(rows) - _ROWS} more"


def _cache(row: Mapping[str, Any]) -> str:
    limit = f" of {human_bytes(row['max_bytes'])}" if row["max_bytes"] is not None else ""
    return (
        f"{_plain(row['name'])}: {row['entries']:,} entries, {human_bytes(row['bytes'])}{limit}, "
        f"{row['hit_rate']:.0%} hits, {sum(row['evictions'].values()):,} evicted"
    )


def _container(row: Mapping[str, Any]) -> str:
    return f"{_plain(row['name'])}: {row['items']:,} items, {human_bytes(row['bytes'])}"


def _found(row: Mapping[str, Any]) -> str:
    held = f", about {human_bytes(row['held'])}" if row["held"] is not None else ""
    bound = "unbounded" if row["most"] is None else f"of {row['most']:,}"
    lookups = row["hits"] + row["misses"]
    hits = f", {row['hits'] / lookups:.0%} hits" if lookups else ""
    why = f"; left alone: {_plain(row['why'])}" if row["why"] else ""
    dropped = f", {row['dropped']:,} dropped" if row["dropped"] else ""
    return f"{_plain(row['name'])}: {row['entries']:,} entries {bound}{held}{hits}{dropped}{why}"


def _adopted(row: Mapping[str, Any]) -> str:
    entries = "not there (yet)" if row["entries"] is None else f"{row['entries']:,} entries"
    held = f", about {human_bytes(row['held'])}" if row["held"] is not None else ""
    return f"{_plain(row['name'])}: {entries}{held}, {row['dropped']:,} dropped"


def _watched(row: Mapping[str, Any]) -> str:
    if row["items"] is None:
        return f"{_plain(row['name'])}: not there (yet)"
    bound = row["max_items"] if row["max_items"] is not None else row["maxlen"]
    items = f"{row['items']:,} items" + (f" of {bound:,}" if bound is not None else "")
    limit = f" of {human_bytes(row['max_bytes'])}" if row["max_bytes"] is not None else ""
    held = f", about {human_bytes(row['bytes'])}{limit}" if row["bytes"] is not None else ""
    told = f", {row['exceeded']:,} times over" if row["exceeded"] else ""
    trimmed = f", {row['trimmed']:,} trimmed" if row["trimmed"] else ""
    return f"{_plain(row['name'])}: {items}{held}, peak {row['peak']:,}{told}{trimmed}"


def _untouched(row: Mapping[str, Any]) -> str:
    name, kind, why = (_plain(row[key]) for key in ("name", "kind", "why"))
    return f"{name}: {kind} of {row['entries']:,} entries; {why}"


def _collector(row: Mapping[str, Any]) -> str:
    state = "on" if row["is_enabled"] else "off"
    counts = "/".join(map(str, row["counts"]))
    collections = "/".join(map(str, row["collections"]))
    frozen = "objects" if row["frozen"] is None else f"{row['frozen']:,} objects"
    if row.get("keeps_shared"):
        frozen = f", {frozen} inherited and frozen, so that their pages stay shared"
    else:
        frozen = f", {frozen} frozen" if row["frozen"] is not None else ""
    return f"{state}, pending {counts}, collections {collections}{frozen}"


def _allocator(row: Mapping[str, Any]) -> str:
    told = f"{row['blocks']:,} live blocks"
    used, free = row.get("malloc_in_use"), row.get("malloc_free")
    if used is not None and free is not None:
        told += f", malloc {human_bytes(used)} in use, {human_bytes(free)} kept free"
    return told


def _asked(row: Mapping[str, Any]) -> str:
    if row["why"]:
        return f"{_plain(row['name'])}: left alone: {_plain(row['why'])}"
    more = f", at most {human_bytes(row['free'])} more to give" if row["free"] else ""
    return f"{_plain(row['name'])}: {human_bytes(row['given_back'])} given back{more}"


def _leak(row: Mapping[str, Any]) -> str:
    reason = _plain(row["reason"])
    if row["confidence"] is None:
        return f"too early to say: {reason}"
    where = f" in {_plain(row['culprits'][0])}" if row["culprits"] else ""
    sure = "" if row["confidence"] == "none" else f" ({_plain(row['confidence'])})"
    return f"{_plain(row['kind'])}{sure}{where}: {reason}"


def _proposed(row: Mapping[str, Any]) -> str:
    setting, to, now, reason = (_plain(row[key]) for key in ("setting", "to", "now", "reason"))
    return f"{setting} {to}{f' in place of {now}' if now else ''}: {reason}"


def _brake(row: Mapping[str, Any]) -> str:
    if not row["is_armed"]:
        return "not armed"
    return f"{human_bytes(row['room'])} may still be mapped, {row['hits']:,} refusals"


def _change(row: Mapping[str, Any]) -> str:
    limit = f" of {human_bytes(row['limit'])}" if row["limit"] is not None else ""
    before, level, cause = (_plain(row[key]) for key in ("before", "level", "cause"))
    return f"{before} → {level} at {human_bytes(row['used'])}{limit} ({cause})"


def _plain(text: str) -> str:
    """A name from another process, which may hold anything, fit for a terminal."""
    return one_line(text, LONGEST_NAME)
