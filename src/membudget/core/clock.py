"""The clock of the running system; tests pass one of their own."""

from __future__ import annotations

import time


class SystemClock:
    """Monotonic time and real waiting."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)
