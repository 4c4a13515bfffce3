"""Bounds of parts as a file declares them, laid over recorded samples.

A JSON or YAML mapping of names to `max_items` (a count), `max_bytes` ("20MiB"), `ttl` ("1h") or
`ttl_h` (hours), and `bytes_per_item` (mean bytes of one, where a recording has items alone). It may
stand under `components` or `bounded`, as in a settings file or a label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.core import Record
from membudget.errors import ConfigError
from membudget.report.readers import shown
from membudget.units import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from membudget.core import PartSample, Sample

_KEYS = ("max_items", "max_bytes", "ttl", "ttl_h", "bytes_per_item", "essential")


class Bound(Record):
    """What one part may hold, seconds that an item may stay, and mean bytes of one; or None."""

    max_items: int | None = None
    max_bytes: int | None = None
    ttl: float | None = None
    bytes_per_item: float | None = None


def read_bounds(path: str) -> dict[str, Bound]:
    """The bounds by name.

    Raises:
        ConfigError: The file cannot be read, or says what cannot be used.
    """
    found = _mapping(path)
    for section in ("components", "bounded"):
        if isinstance(found.get(section), dict):
            found = found[section]
            break
    return {str(name): _bound(path, str(name), rows) for name, rows in found.items()}


def with_bounds(samples: Iterable[Sample], bounds: Mapping[str, Bound]) -> tuple[Sample, ...]:
    """The samples with these bounds on their parts, and what bounded parts hold counted anew.

    Raises:
        ConfigError: A bound is on a part that no sample has.
    """
    kept = tuple(samples)
    names = {part.name for one in kept for part in one.parts}
    for name in bounds:
        if kept and name not in names:
            known = ", ".join(sorted(names)) or "none"
            raise ConfigError(f"bound on {name!r:.80}: no sample has this part; known: {known}")
    return tuple(_sample(one, bounds) for one in kept)


def _sample(sample: Sample, bounds: Mapping[str, Bound]) -> Sample:
    parts = tuple(_part(part, bounds.get(part.name)) for part in sample.parts)
    return sample.replace(
        parts=parts, explained=sum(part.bytes or 0 for part in parts if part.is_bounded)
    )


def _part(part: PartSample, bound: Bound | None) -> PartSample:
    if bound is None:
        return part
    size = part.bytes
    if size is None and part.items is not None and bound.bytes_per_item is not None:
        size = round(part.items * bound.bytes_per_item)
    return part.replace(
        bytes=size,
        most_items=bound.max_items if bound.max_items is not None else part.most_items,
        most_bytes=bound.max_bytes if bound.max_bytes is not None else part.most_bytes,
        ttl=bound.ttl if bound.ttl is not None else part.ttl,
    )


def _mapping(path: str) -> dict[Any, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be read ({why}): check the name and the rights") from None
    import yaml  # JSON is YAML as well

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ConfigError(f"{path} is neither JSON nor YAML ({why:.200}): mend it") from None
    if not isinstance(found, dict):
        raise ConfigError(
            f"{path}: {shown(found)} is no mapping: write NAME: {{max_items: 500}} for each part"
        )
    return found


def _bound(path: str, name: str, rows: Any) -> Bound:
    where = f"{path}, {name!r:.80}"
    if not isinstance(rows, dict):
        raise ConfigError(f"{where}: {shown(rows)} is no mapping: write max_items: 500 under it")
    for key in rows:
        if key not in _KEYS:
            raise ConfigError(f"{where}: {key!r:.80} is not known: use {', '.join(_KEYS[:-1])}")
    hours = _number(where, rows, "ttl_h")
    items = _number(where, rows, "max_items")
    if items is not None and not items.is_integer():
        raise ConfigError(f"{where}: max_items {items!r} is a count: give a whole number")
    return Bound(
        max_items=None if items is None else int(items),
        max_bytes=_text(where, rows, "max_bytes", parse_bytes, "20MiB"),
        ttl=hours * 3600.0 if hours is not None else _text(where, rows, "ttl", parse_seconds, "1h"),
        bytes_per_item=_number(where, rows, "bytes_per_item"),
    )


def _number(where: str, rows: Mapping[str, Any], key: str) -> float | None:
    value = rows.get(key)
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < float("inf"):
        raise ConfigError(f"{where}: {key} {shown(value)} must be a number above zero")
    return float(value)


def _text(where: str, rows: Mapping[str, Any], key: str, parse: Any, example: str) -> Any:
    value = rows.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigError(f'{where}: {key} {shown(value)} has no unit: write it as "{example}"')
    return parse(value, name=f"{where}: {key}")
