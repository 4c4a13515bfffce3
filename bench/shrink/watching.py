"""A second thread that sees how long it is kept from running."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

_NAP = 0.0005


class Watcher:
    """Looks at the clock in a loop of short sleeps and keeps the longest time between two looks.

    A sleep lets go of the interpreter; what comes on top of it is the wait to get it back, and
    whatever the system took. The switch interval stays the default.
    """

    def __init__(self) -> None:
        self._longest = 0.0
        self._ending = False
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        self._began.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._thread.join()

    @property
    def longest_ms(self) -> float:
        """The longest pause, the sleep itself off."""
        return max(0.0, self._longest - _NAP) * 1e3

    def _watch(self) -> None:
        last = time.perf_counter()
        self._began.set()
        while not self._ending:
            time.sleep(_NAP)
            now = time.perf_counter()
            self._longest = max(self._longest, now - last)
            last = now
