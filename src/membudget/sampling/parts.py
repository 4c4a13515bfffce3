"""The registered parts of a process, as a sample has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.core.sample import PartSample

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.registry import Registry

MOST_PARTS = 32
"""Parts kept of a sample, the largest; what bounded ones hold counts for all of them."""

_FOREIGN = (Exception, SystemExit, GeneratorExit)


class Parts:
    """Asks the holders of a register, and the containers watched, how they stand.

    A part of ours answers through `as_part`, which takes no lock and changes nothing, or through
    `as_parts` for several; a holder of the program's own promises its name and its bytes, and is
    asked no more than that. One that raises is left out and told once.

    Args:
        registry: Where they are.
        failed: Takes the place and the error of one that raised.
    """

    def __init__(self, registry: Registry, failed: Callable[[str, BaseException], object]) -> None:
        self._registry = registry
        self._failed = failed
        self._told: set[str] = set()

    def take(self) -> tuple[tuple[PartSample, ...], int]:
        """The largest parts, and the bytes of all that have a bound. Cost: 2 µs a part."""
        found: list[PartSample] = []
        # Some are both, and containers may not be hashed; watched ones are chores alone.
        members: dict[int, Any] = {id(one): one for one in self._registry.holders()}
        members |= {id(one): one for one in self._registry.chores() if hasattr(one, "as_part")}
        for member in members.values():
            try:
                found += _asked(member)
            except _FOREIGN as error:  # a holder may be foreign code
                self._tell_once(member, error)
        explained = sum(_explained(part) for part in found if part.is_bounded)
        if len(found) > MOST_PARTS:
            found.sort(key=lambda part: -(part.bytes or 0))
        return tuple(found[:MOST_PARTS]), explained

    def _tell_once(self, member: Any, error: BaseException) -> None:
        where = f"part {type(member).__name__}"
        if where not in self._told and len(self._told) < MOST_PARTS:
            self._told.add(where)
            self._failed(where, error)


def _asked(member: Any) -> list[PartSample]:
    if (several := getattr(member, "as_parts", None)) is not None:
        return list(several())
    if (ask := getattr(member, "as_part", None)) is not None:
        return [ask()]
    held = int(member.held_bytes())
    return [PartSample(name=str(member.name), kind=type(member).__name__, bytes=held)]


def _explained(part: PartSample) -> int:
    """What it holds within its bounds: beyond them its growth has no end that it told."""
    held = part.bytes or 0
    if part.most_bytes is not None:
        held = min(held, part.most_bytes)
    if part.most_items is not None and part.items is not None and part.items > part.most_items:
        held = held * part.most_items // part.items
    return held
