"""What processes answer about their memory, looked at field by field before it is shown.

The answerer may be another version, or another user's program that answers what it likes. Fields
that are not named here are passed on as they are: JSON shows them, and words do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.core import Level
from membudget.core.wire import checked
from membudget.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONAL = "size | None"
_ROW = {"name": "str", "entries": "size"}

MEMORY: Mapping[str, Any] = {
    "used": "size",
    "limit": "bound | None",
    "source": "str",
    "level": "str",
    "rate": "float",
    "seconds_left": "float | None",
    "peak": "size",
    "governed": "int",
    "reclaimed": "int",
    "held_free": "int",
    "reserved": "int",
    "floor?": "size",
    "elsewhere?": "size",
    "parts": {"*": "int"},
    "late": {"times": "size"},
    "seconds_at": {"*": "float"},
    "caches": [
        {
            **_ROW,
            "bytes": "int",
            "max_bytes": _OPTIONAL,
            "hit_rate": "float",
            "evictions": {"*": "size"},
        }
    ],
    "containers?": [{"name": "str", "items": "size", "bytes": "int"}],
    "found": [
        {
            **_ROW,
            "held": _OPTIONAL,
            "most": _OPTIONAL,
            "hits": "size",
            "misses": "size",
            "dropped": "size",
            "why": "str",
        }
    ],
    "found_count": "size",
    "adopted": [{"name": "str", "entries": _OPTIONAL, "held": _OPTIONAL, "dropped": "size"}],
    "watched?": [
        {
            "name": "str",
            "items": _OPTIONAL,
            "bytes": _OPTIONAL,
            "max_items": _OPTIONAL,
            "max_bytes": _OPTIONAL,
            "maxlen": _OPTIONAL,
            "peak": "size",
            "exceeded": "size",
            "trimmed": "size",
        }
    ],
    "untouched": [{**_ROW, "kind": "str", "why": "str"}],
    "gc": {
        "is_enabled": "bool",
        "counts": ["size"],
        "collections": ["size"],
        "frozen": _OPTIONAL,
        "keeps_shared?": "bool",
    },
    "allocator": {
        "blocks": "size",
        "malloc_in_use?": "size",
        "malloc_free?": "size",
        "asked?": [{"name": "str", "free": "size", "given_back": "size", "why": "str"}],
    },
    "threads": "size",
    "proposals?": [{"setting": "str", "to": "str", "now": "str", "reason": "str"}],
    "changes": [
        {"before": "str", "level": "str", "used": "size", "limit": _OPTIONAL, "cause": "str"}
    ],
}

_LEAK = {"reason": "str", "confidence": "str | None"}
_VERDICT = {**_LEAK, "kind": "str", "culprits": ["str"]}
_BRAKE = {"is_armed": "bool", "room": "int", "hits": "size"}

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
        _check(answer)
    except ValueError as error:
        raise ControlError(
            f"the answer of process {row['pid']} is not understood ({error}): use the same version "
            "of membudget on both sides"
        ) from None
    return {**row, **{name: answer[name] for name in answer if name not in _OF_THE_SLOT}}


def _check(answer: dict[str, Any]) -> None:
    checked(answer, MEMORY, "memory")
    if answer["level"] not in Level.__members__:
        raise ValueError(f"level {answer['level']!r:.40} is not known")
    if answer.get("brake") is not None:
        checked(answer["brake"], _BRAKE, "brake")
    if (leak := answer.get("leak")) is not None:
        checked(leak, _LEAK, "leak")
        checked(leak, _LEAK if leak["confidence"] is None else _VERDICT, "leak")
