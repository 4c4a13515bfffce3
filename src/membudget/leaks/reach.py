"""How much of the growth lies within Python's reach, by those who looked for what grew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from membudget.heap.census import TYPE
from membudget.leaks.culprit import NATIVE, SILENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from membudget.leaks.culprit import Culprit

_NATIVE = "native"


def reached(found: Sequence[Culprit]) -> float | None:
    """Share of the growth that what Python can reach explains; None where that is not known.

    Types do not count: what they take is held by one of the others. Where a holder that grew could
    not be weighed, it may hold all of it.
    """
    shares = [one.share for one in found if one.kind not in {TYPE, _NATIVE}]
    most = max((share or 0.0 for share in shares), default=0.0)
    if most >= SILENT:
        return most
    is_native = bool(found) and found[0].name == NATIVE
    return 1.0 - (found[0].share or 0.0) if is_native and None not in shares else None
