"""Values as bytes, and which types are not worth trying."""

from __future__ import annotations

import pickle
import weakref
from typing import Any

TRIES = 3
"""Values of a type that could not be pickled, one after the other, before few are tried."""

TRIED_OF = 64
"""Of so many values of such a type, one is tried: a list holds now this, now that."""

_MOST_TYPES = 64


class Pickling:
    """Pickles values and remembers which types could not be.

    Used from one thread; any thread may ask `takes`. A count lost in a race does no harm.
    It keeps no type alive.
    """

    def __init__(self) -> None:
        self._failed: weakref.WeakKeyDictionary[type, int] = weakref.WeakKeyDictionary()

    def takes(self, kind: type) -> bool:
        """Whether a value of a type is worth trying."""
        failed = self._failed.get(kind, 0)
        if failed < TRIES:
            return True
        self._failed[kind] = failed + 1
        return not (failed + 1) % TRIED_OF

    def pickled(self, value: Any) -> tuple[bytes | None, str]:
        """A value as bytes; or None, and what that counts as."""
        kind = type(value)
        try:
            pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except MemoryError:
            return None, "dropped"
        except BaseException:  # noqa: BLE001  # what a value's own `__reduce__` raises: not ours
            if len(self._failed) >= _MOST_TYPES:
                self._failed.clear()
            self._failed[kind] = self._failed.get(kind, 0) + 1
            return None, "unpicklable"
        self._failed.pop(kind, None)
        return pickled, "dropped"
