"""Who leaks: what grew in every look, ranked by the growth that it explains.

Growth in every interval of at least three looks, times what an item takes: with four looks over
some hours this named all of 26 leaks in Python objects first or second, and rightly kept silent on
three native ones. Pure: censuses and samples in, culprits out.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

from membudget.core import Record
from membudget.heap import GARBAGE, TYPE, Detail
from membudget.trend import theil_sen

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from membudget.core import Sample
    from membudget.heap import Census, Garbage
    from membudget.heap.window import Line

LOOKS = 3  # Looks at least: in two, most of what is busy has grown

CARRIERS = {"frame": 0.3, "traceback": 0.3, "generator": 0.3, "coroutine": 0.2}
"""Types that keep others alive, and what a share of theirs counts for."""

NATIVE = "native or mmap"
SILENT = 0.15  # Share of the growth below which nothing is accused
_NATIVE = "native"
_ADVICE = (
    "nothing that Python can reach grew along: run it under `memray run --native`, "
    "or profile the allocator"
)
_FRAMES = "exceptions or generators keep the local variables of the functions they passed"
_CYCLES = "cycles that only a collection frees: is gc off, or frozen?"
_REGISTERED = "registered component"

_POINTS = 64  # Of a part's figures, so many are compared, each with each: 1 ms, and 288 took 11
_BEYOND = 0.01  # What counts of bytes beyond the growth to be explained, to tell two such apart
_UNKNOWN = 64.0  # Bytes taken for an item that nobody weighed

_WEIGHTS = {TYPE: 0.5, GARBAGE: 0.9}
"""What a share counts for in the ranking: a holder says more than the type of what it holds."""

_COMPONENT = 1.2
_BUILTIN_TYPE = 0.05
_INNER = 0.4  # For what lies within another suspect
_COMPARED = 50  # Of the suspects, so many may have others within
_KEPT = 200  # Of the suspects, so many are looked at for lying within others
_AT_A_TIME = 50  # Names looked at in a stretch: 1 ms where all of them grew


class Culprit(Record):
    """One suspect."""

    name: str  # As "app.store.SessionStore._by_id"
    # "dict", "lru_cache", "task", "thread", "type", "garbage", "native", "line", or a component's
    kind: str
    items_per_hour: float | None  # By how many items it grows
    # How fast that is, guessed; None where nobody can tell what an item takes
    bytes_per_hour: float | None
    # The share of the growth that it explains, 0 to 1; None where that is not known
    share: float | None = None
    newest: str = ""  # The newest item's type and shortened text
    chain: tuple[str, ...] = ()  # The steps from a root to it
    note: str = ""  # What is to be said of it


def components(samples: Sequence[Sample]) -> Generator[None, None, list[Culprit]]:
    """The registered parts without a bound that grew; others have told where it ends."""
    rows: dict[tuple[str, str], list[tuple[float, int, int | None]]] = {}
    for place, one in enumerate(samples, 1):
        if place % 32 == 0:  # A millisecond of them.
            yield
        if (one.pid, one.began) != (samples[-1].pid, samples[-1].began):
            continue
        for part in one.parts:
            if part.items is not None and not part.is_bounded:
                row = (one.wall / 3600, part.items, part.bytes)
                rows.setdefault((part.name, part.kind), []).append(row)
    found = []
    for (name, kind), told in rows.items():
        yield
        sizes = None if any(size is None for _, _, size in told) else [row[2] or 0 for row in told]
        if not grew([items for _, items, _ in told]) and not (sizes and grew(sizes)):
            continue
        # There are slopes for each two: of all figures some are compared, the last one always.
        step = -max(1, ceil(len(told) / _POINTS))
        hours, items, _ = zip(*told[::step][::-1], strict=True)
        found.append(
            Culprit(
                name=name,
                kind=kind,
                items_per_hour=theil_sen(hours, items),
                bytes_per_hour=theil_sen(hours, sizes[::step][::-1]) if sizes else None,
                note=_REGISTERED,
            )
        )
    return found


def _from_garbage(garbage: Garbage | None) -> list[Culprit]:
    """Garbage as a suspect, by the program's own type that most of it has."""
    if garbage is None or not garbage.garbage:
        return []
    own = {name: count for name, count in garbage.types.items() if _is_users(name)}
    named = own or garbage.types
    most = sorted(named, key=lambda one: -named[one])[:3]
    said = [f"{_CYCLES} One freed {garbage.garbage} objects"]
    if most:
        said.append("among them " + ", ".join(f"about {named[one]} {one}" for one in most))
    if garbage.uncollectable:
        kept = f", most of them {garbage.kept}" if garbage.kept else ""
        said.append(
            f"{garbage.uncollectable} more wait in gc.garbage for somebody to clear it{kept}"
        )
    name = most[0] if most else "objects in cycles"
    hours = max(garbage.over, 1e-3) / 3600
    one = Culprit(
        name=name,
        kind=GARBAGE,
        items_per_hour=named.get(name, garbage.garbage) / hours,
        bytes_per_hour=garbage.bytes / hours,
        note="; ".join(said),
    )
    return [one]


def _from_censuses(censuses: Sequence[Census]) -> Generator[None, None, list[Culprit]]:
    """What grew in all of them, some names at a time."""
    hours = [one.at / 3600 for one in censuses]
    found: list[Culprit] = []
    looked_at = 0
    for kind, names in censuses[-1].counts.items():
        for name in names:
            looked_at += 1
            if looked_at % _AT_A_TIME == 0:
                yield
            items = [float(one.counts.get(kind, {}).get(name, 0)) for one in censuses]
            if grew(items):
                # As the newest census that looked closer says.
                told = [one.details[kind, name] for one in censuses if (kind, name) in one.details]
                detail, slope = told[-1] if told else Detail(), theil_sen(hours, items)
                each = detail.bytes_each
                carries = kind == TYPE and name in CARRIERS
                found.append(
                    Culprit(
                        name=name,
                        kind=kind,
                        items_per_hour=slope,
                        bytes_per_hour=None if each is None else slope * each,
                        newest=detail.newest,
                        chain=detail.chain,
                        note=detail.note or (_FRAMES if carries else ""),
                    )
                )
    return found


def grew(items: Sequence[float]) -> bool:
    """Whether it grew in every interval; of five and more, one may have stood still."""
    if len(items) < LOOKS:
        return False
    steps = [after - before for before, after in pairwise(items)]
    still = sum(step == 0 for step in steps)
    return min(steps) >= 0 and items[-1] > items[0] and still <= (1 if len(steps) > LOOKS else 0)


def _is_users(name: str) -> bool:
    """Whether a type is of the program or a library, not of the interpreter's own."""
    root = name.partition(".")[0]
    return "." in name and (root == "__main__" or root not in sys.stdlib_module_names)


def ranking(
    censuses: Sequence[Census],
    growth: float | None = None,
    parts: Sequence[Culprit] = (),
    garbage: Garbage | None = None,
    most: int = 10,
) -> Generator[None, None, tuple[Culprit, ...]]:
    """The suspects, the likeliest first, in slices of about a millisecond.

    Cost: 2 µs a name, 20 µs one that grew. The growth is what is to be explained, in bytes an hour;
    with fewer than three censuses, in order of time, only parts and garbage are ranked.
    """
    found = [*parts, *_from_garbage(garbage)]
    if len(censuses) >= LOOKS:
        found += yield from _from_censuses(censuses)
    scored = []
    for place, one in enumerate(found, 1):
        if place % _AT_A_TIME == 0:
            yield
        rate = one.bytes_per_hour
        if growth is None or growth <= 0 or rate is None:
            scored.append((_score(one, growth), one))
        else:
            share = max(0.0, min(1.0, rate / growth))
            scored.append((_score(one, growth), one.replace(share=share)))
    yield
    scored.sort(key=lambda pair: -pair[0])
    explained = max((one.share or 0.0 for _, one in scored), default=0.0)
    yield
    # Those behind come among the first no more, whoever lies within whom.
    outer = scored[:_COMPARED]
    for place, (score, one) in enumerate(scored[: max(most, _KEPT)]):
        if place % _AT_A_TIME == 0:
            yield
        if any(
            one.name.startswith((f"{other.name}[", f"{other.name}."))
            for others, other in outer
            if other is not one and other.kind != TYPE and others >= _INNER * score
        ):
            # It belongs to another suspect that explains nearly as much.
            scored[place] = (score * _INNER, one)
    del scored[max(most, _KEPT) :]
    scored.sort(key=lambda pair: -pair[0])
    ranked = [one for _, one in scored]
    if growth and len(censuses) >= LOOKS and explained < SILENT:
        native = Culprit(
            name=NATIVE,
            kind=_NATIVE,
            items_per_hour=None,
            bytes_per_hour=growth,
            share=1.0 - explained,
            note=_ADVICE,
        )
        ranked.insert(0, native)
    return tuple(ranked[:most])


def _score(one: Culprit, growth: float | None) -> float:
    rate = one.bytes_per_hour
    if rate is None:
        rate = (one.items_per_hour or 0.0) * _UNKNOWN
    if growth is not None and rate > growth > 0:
        # Nothing explains more than there is: one that seems to was weighed by a large example.
        rate = growth + _BEYOND * (rate - growth)
    if one.note == _REGISTERED:
        return rate * _COMPONENT
    if one.kind == TYPE and not _is_users(one.name):
        return rate * CARRIERS.get(one.name, _BUILTIN_TYPE)
    return rate * _WEIGHTS.get(one.kind, 1.0)


def located(found: tuple[Culprit, ...], lines: Sequence[Line]) -> tuple[Culprit, ...]:
    """The suspects, the first with the line that kept the most; without any, the line."""
    notes = []
    if found and found[0].kind == _NATIVE:
        from membudget.heap.window import memray_advice  # looks for a package on the disk

        notes.append(memray_advice())
    if lines:
        first, stayed = lines[0], sum(one.bytes for one in lines)
        where = f"{first.file}:{first.line}"
        share = f"{first.bytes / stayed:.0%} of what stayed while it was traced"
        notes.append(f"allocated at {where}, {share}")
        if not found:
            found = (
                Culprit(
                    name=where, kind="line", items_per_hour=None, bytes_per_hour=first.per_hour
                ),
            )
    if not any(notes):
        return found
    note = "; ".join(text for text in (found[0].note, *notes) if text)
    return (found[0].replace(note=note), *found[1:])


def reached(found: Sequence[Culprit]) -> float | None:
    """Share of the growth that what Python can reach explains; None where that is not known.

    Types do not count: one of the others holds them. A holder that grew unweighed may hold all.
    """
    shares = [one.share for one in found if one.kind not in {TYPE, _NATIVE}]
    most = max((share or 0.0 for share in shares), default=0.0)
    if most >= SILENT:
        return most
    is_native = bool(found) and found[0].name == NATIVE
    return 1.0 - (found[0].share or 0.0) if is_native and None not in shares else None
