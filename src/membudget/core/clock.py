"""The clock of the running system; tests pass one of their own."""

from __future__ import annotations

import time

from membudget.core.native import sleep


class SystemClock:
    """Monotonic time and real waiting."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(sleep)
