"""`membudget memory`: what the processes under a budget use now, and their figures in words.

What a process answers is looked at field by field: it may be another version, or a program that
answers what it likes. Fields that are not known here are shown by JSON only.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import click

from membudget.brake import BrakeState  # noqa: TC001
from membudget.cache.table import CacheStats  # noqa: TC001  # sections are read by these
from membudget.cli.drawing import WIDEST, Screen, fitted
from membudget.cli.lookup import (
    NOBODY,
    UNREACHABLE,
    Found,
    complain,
    exit_code,
    find,
    outside_view,
    settings_of,
    shared_groups,
    without_slot,
)
from membudget.core import OWN, Record
from membudget.core.nouns import (
    AdoptedRow,
    AllocatorState,
    CollectorState,
    ContainerRow,
    GroupState,
    LeakState,
    ProposalRow,
    Status,
)
from membudget.core.wire import Size, plain, record_from
from membudget.errors import ConfigError, ControlError, MembudgetError, ProbeError
from membudget.probes.process import SOURCE
from membudget.reclaimers.found import HANDFUL, FoundCache, Untouched
from membudget.sinks import why_raised
from membudget.units import (
    LONGEST_NAME,
    how_many,
    human_bytes,
    human_seconds,
    one_line,
    signed,
    until_limit,
)
from membudget.watched import WatchedStats  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SILENT = 10.0  # Seconds without a new figure that are told: at rest there is one each second.
RESTING = "a supervisor, only watched while it holds nothing"
_APART = 0.5  # Seconds between the two readings that give a rate.
_ROWS = 12  # Caches shown of each kind; JSON has more.
_HEIGHT = 5  # Rows of the chart of a process that is watched alone.


@click.command()
@click.option("--pid", type=click.IntRange(min=1), help="The process; else all of yours.")
@click.option("-v", "--verbose", is_flag=True, help="Caches, collector, allocator, levels: all.")
@click.option("--watch", is_flag=True, help="Once a second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a process and look.")
def command(*, pid: int | None, verbose: bool, watch: bool, as_json: bool) -> int:
    """Show use, limit, level, rate and time to the limit.

    Exits 0 when all is well, 1 at WARNING, 2 at CRITICAL or EMERGENCY, 3 when no process is found
    or, with -v, one did not answer.
    """
    drawn = _Drawn() if watch and not as_json else None
    if drawn and not drawn.screen.is_live:
        drawn = None
    try:
        while (code := _look(pid, drawn, verbose=verbose, as_json=as_json)) != UNREACHABLE:
            if not watch:
                break
            time.sleep(1.0)
    except (ConfigError, BrokenPipeError):
        raise
    except (MembudgetError, OSError) as error:
        complain(error)
        return UNREACHABLE
    return code


class _Drawn:
    """What is redrawn in place, with what each process used at the looks so far."""

    def __init__(self) -> None:
        self.screen = Screen()
        self._seen: dict[tuple[Any, ...], deque[tuple[int, str]]] = {}

    def chart(self, row: Mapping[str, Any], height: int) -> list[str]:
        """A process's use of its limit, or of the most that was seen where it has none."""
        key = (row["pid"], row.get("namespace"))
        seen = self._seen.setdefault(key, deque(maxlen=WIDEST))
        seen.append((row["used"], row["level"]))
        whole = max(1, row["limit"] or max(used for used, _ in seen))
        shares = [(used / whole, level) for used, level in seen][2 - self.screen.width :]
        return [f"  {line}" for line in self.screen.chart(shares, height)]


def _look(pid: int | None, drawn: _Drawn | None, *, verbose: bool, as_json: bool) -> int:
    found = find(pid)
    outside: list[dict[str, Any]] = []
    if pid is None or not found:
        views = [outside_view(pid, settings_of(pid))] if pid is not None else without_slot(found)
        outside = _outside(views, pid)
        if pid is not None and outside:
            found = find(pid)  # Its budget may have begun while it was looked at.
    rows, code = [], 0
    for one in found:
        try:
            row = one.as_row()
            rows.append(with_answer(row, one.ask("memory")) if verbose else row)
        except ControlError as error:
            complain(error)
            rows.append(one.as_row())
            code = UNREACHABLE
    if pid is None or not found:
        rows += outside
    if not rows:
        complain(NOBODY)
        return UNREACHABLE
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    else:
        # What was complained of stands below what was drawn before, and stays there.
        _show(rows, found, drawn if code != UNREACHABLE else None, verbose=verbose)
    if verbose and pid is not None and not found:
        complain(
            f"process {pid} cannot be asked: it has no budget, or was forked less than a second "
            "ago; start it with `membudget run -- CMD`, or call membudget.start() in it"
        )
        code = UNREACHABLE
    return max(code, *(exit_code(row["level"]) for row in rows))


def _show(
    rows: list[dict[str, Any]], found: list[Found], drawn: _Drawn | None, *, verbose: bool
) -> None:
    screen = drawn.screen if drawn else Screen()
    width = screen.width if screen.is_live else 0
    shown: list[str] = []

    def show(*lines: str) -> None:
        # A path is not cut: it is copied from here, unless it is drawn over the next moment.
        shown.extend(fitted(told, width, cuts_words=drawn is not None) for told in lines)

    for row in rows:
        show(line(row))
        if drawn:
            shown += drawn.chart(row, _HEIGHT if len(rows) == 1 else 1)
        show(*(details(row) if verbose else ()))
    for _group, told in shared_groups(found) if not verbose else ():
        show(told)
    text = "\n".join(shown)
    if drawn:
        screen.redraw(text.split("\n"))
    else:
        click.echo(text)


def _outside(views: list[Callable[[], dict[str, Any]]], named: int | None) -> list[dict[str, Any]]:
    """Look twice, for a rate; one that has ended is left out, and told where it was named."""
    for is_last in (False, True):
        rows = []
        for view in tuple(views):
            try:
                rows.append(view())
            except ProbeError as error:
                views.remove(view)
                if named is not None:
                    complain(error)
        if views and not is_last:
            time.sleep(_APART)
    return rows


class Sections(Record):
    """What a process tells beyond its own figures; see `core.nouns` for what each is."""

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
    group: GroupState | None = None
    share: Size | None = None  # Bytes for all caches together, where others share the limit.


def with_answer(row: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """A process's row, as its slot tells it, with its answer to "memory" if that can be read."""
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
    for known in ("pid", "name", "at", "namespace"):  # Who it is, is not its own to say.
        told.pop(known, None)
    return {**row, **told}


def line(row: Mapping[str, Any]) -> str:
    """One process in one line."""
    used, limit = row["used"], row["limit"]
    who = f"{row['pid']} {_plain(row.get('name') or '')}".strip()
    if "namespace" in row:
        who += " (in another pid namespace)"
    size = human_bytes(used)
    if limit is not None:
        size += f" of {human_bytes(limit)} ({used / limit:.0%}, {_plain(row['source'])})"
    if row["source"] == SOURCE and (own := row.get("parts", {}).get(OWN)) is not None:
        size = f"{human_bytes(own)} of its own; the machine {size}"
    parts = [f"{who}: {size} {_plain(row['level'])} {signed(row['rate'])}/s"]
    if row.get("is_resting"):
        parts.append(RESTING)
    if row["seconds_left"] is not None:
        parts.append(until_limit(row["seconds_left"], used - (limit or 0)))
    silent = time.time() - row["at"] if "at" in row else 0.0
    if silent > SILENT:
        parts.append(f"silent for {human_seconds(silent)}")
    return ", ".join(parts)


def details(row: Mapping[str, Any]) -> Iterator[str]:
    """What a process answers beyond that, a line each; nothing where it was not asked."""
    if "parts" in row:
        sizes = [f"{_plain(name)} {human_bytes(size)}" for name, size in row["parts"].items()]
        yield f"  parts      {', '.join(sizes)}"
    if "caches" not in row:
        return
    unshown = row["held_free"]
    kept = f" ({human_bytes(unshown)} still with the allocator)" if unshown else ""
    yield (
        f"  use        peak {human_bytes(row['peak'])}; caches {human_bytes(row['governed'])}"
        f"{_of_share(row.get('share'))}; freed {human_bytes(row['reclaimed'])}{kept}; "
        f"reserved {human_bytes(row['reserved'])}"
    )
    yield from _of_room(row)
    spent = ", ".join(
        f"{_plain(name)} {human_seconds(at)}" for name, at in row["seconds_at"].items() if at
    )
    yield f"  levels     {spent}; watched late {how_many(row['late'].get('times', 0), 'time')}"
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
    allocator = row["allocator"]
    used, free = allocator.get("malloc_in_use"), allocator.get("malloc_free")
    malloc = ""
    if used is not None and free is not None:
        malloc = f", malloc {human_bytes(used)} in use, {human_bytes(free)} free in it"
    threads = how_many(row["threads"], "thread")
    yield f"  allocator  {allocator['blocks']:,} live blocks{malloc}; {threads}"
    yield from _rows("allocator", allocator.get("asked", []), _asked)
    if (leak := row.get("leak")) is not None:
        yield f"  leak       {_leak(leak)}"
    yield from _rows("proposed", row.get("proposals", []), _proposed)
    if (brake := row.get("brake")) is not None:
        state = "not armed"
        if brake["is_armed"]:
            room = human_bytes(brake["room"])
            state = f"{room} may still be mapped, {brake['hits']:,} refusals"
        yield f"  brake      {state}"
    yield from _rows("changes", row["changes"][::-1], _change)


def _of_room(row: Mapping[str, Any]) -> Iterator[str]:
    """What is not there for caches, and who shares the rest."""
    if floor := row.get("floor"):
        others = row.get("elsewhere")
        whose = f"; {human_bytes(others)} of it used by other processes" if others else ""
        yield f"  floor      {human_bytes(floor)} that cannot be freed{whose}"
    if (group := row.get("group")) is not None:
        whole, *rows = record_from(GroupState, group).lines()
        yield f"  group      {whole}"
        yield from _rows("", [{"line": one} for one in rows], lambda row: row["line"])
    passing = row.get("transients", {})
    if kept := passing.get("kept"):
        peak, often = human_bytes(passing.get("highest", 0)), passing.get("an_hour", 0)
        free = human_bytes(kept)
        yield f"  peaks      keeps {free} free for peaks of {peak}, {often:,} an hour"


def _rows(title: str, rows: list[Any], tell: Any) -> Iterator[str]:
    for row in rows[:_ROWS]:
        name = f"{_plain(row['name'])}: " if "name" in row else ""
        yield f"  {title:<10} {name}{tell(row)}"
    if len(rows) > _ROWS:
        yield f"  {title:<10} and {len(rows) - _ROWS} more"


def _cache(row: Mapping[str, Any]) -> str:
    size = f"{human_bytes(row['bytes'])}{_of(row['max_bytes'])}"
    evicted = f"{sum(row['evictions'].values()):,} evicted"
    return f"{row['entries']:,} entries, {size}, {row['hit_rate']:.0%} hits, {evicted}"


def _container(row: Mapping[str, Any]) -> str:
    return f"{row['items']:,} items, {human_bytes(row['bytes'])}"


def _found(row: Mapping[str, Any]) -> str:
    bound = "unbounded" if row["most"] is None else f"of {row['most']:,}"
    lookups = row["hits"] + row["misses"]
    hits = f", {row['hits'] / lookups:.0%} hits" if lookups else ""
    why = f"; left alone: {_plain(row['why'])}" if row["why"] else ""
    dropped = f", {row['dropped']:,} dropped" if row["dropped"] else ""
    return f"{row['entries']:,} entries {bound}{_about(row['held'])}{hits}{dropped}{why}"


def _adopted(row: Mapping[str, Any]) -> str:
    entries = "not there (yet)" if row["entries"] is None else f"{row['entries']:,} entries"
    return f"{entries}{_about(row['held'])}, {row['dropped']:,} dropped"


def _watched(row: Mapping[str, Any]) -> str:
    if row["items"] is None:
        return "not there (yet)"
    bound = row["max_items"] if row["max_items"] is not None else row["maxlen"]
    items = f"{row['items']:,} items" + (f" of {bound:,}" if bound is not None else "")
    held = _about(row["bytes"]) + (_of(row["max_bytes"]) if row["bytes"] is not None else "")
    told = f", {row['exceeded']:,} times over" if row["exceeded"] else ""
    trimmed = f", {row['trimmed']:,} trimmed" if row["trimmed"] else ""
    return f"{items}{held}, peak {row['peak']:,}{told}{trimmed}"


def _untouched(row: Mapping[str, Any]) -> str:
    return f"{_plain(row['kind'])} of {row['entries']:,} entries; {_plain(row['why'])}"


def _collector(row: Mapping[str, Any]) -> str:
    state = "on" if row["is_enabled"] else "off"
    counts, collections = ("/".join(map(str, row[key])) for key in ("counts", "collections"))
    objects = "objects" if row["frozen"] is None else f"{row['frozen']:,} objects"
    frozen = "" if row["frozen"] is None else f", {objects} frozen"
    if row.get("keeps_shared"):
        frozen = f", {objects} inherited and frozen, so that their pages stay shared"
    return f"{state}, pending {counts}, collections {collections}{frozen}"


def _asked(row: Mapping[str, Any]) -> str:
    if row["why"]:
        return f"left alone: {_plain(row['why'])}"
    more = f", at most {human_bytes(row['free'])} more to give" if row["free"] else ""
    return f"{human_bytes(row['given_back'])} given back{more}"


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


def _change(row: Mapping[str, Any]) -> str:
    before, level, cause = (_plain(row[key]) for key in ("before", "level", "cause"))
    why = f" ({why_raised(cause)})" if cause else ""
    return f"{before} → {level} at {human_bytes(row['used'])}{_of(row['limit'])}{why}"


def _of(limit: int | None) -> str:
    return f" of {human_bytes(limit)}" if limit is not None else ""


def _of_share(share: int | None) -> str:
    return f" of the {human_bytes(share)} they may hold" if share is not None else ""


def _about(held: int | None) -> str:
    return f", about {human_bytes(held)}" if held is not None else ""


def _plain(text: str) -> str:
    """A name from another process, which may hold anything, fit for a terminal."""
    return one_line(text, LONGEST_NAME)
