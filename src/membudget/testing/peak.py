"""How much more memory a stretch of code held than at its start, at most and at its end."""

from __future__ import annotations

import gc
import os
import threading
from typing import Self

from membudget.errors import ProbeError
from membudget.probes.allocator import trim
from membudget.probes.kernel_files import status_bytes
from membudget.probes.process import process_probe

_EVERY = 0.005
"""Seconds between samples where the kernel keeps no peak that can be set back."""

_RESET_PEAK = b"5"
"""Written to /proc/self/clear_refs, sets VmHWM to what is resident now (Linux 4.0, proc(5))."""


class HighMark:
    """The peak of this process above its start, as a context manager.

    On Linux it is the kernel's own high-water mark of resident memory, set back at the start; so no
    peak is missed, however short, and nothing is slowed down. Pages of files that were mapped
    meanwhile, such as a library's, are left out as they stand at the end. Where the mark cannot be
    set back, a thread samples private and shared memory every 5 ms instead, and may miss a peak
    that C code makes while it holds the GIL.

    Either way it is the whole process: threads beside count. What the allocator held free before
    and uses now does not count; garbage is collected and free pages given back before, which keeps
    that small. Cost: a collection and a trim at the start, 0.1 ms at each end.

    Attributes:
        peak: Bytes above the start, at most, so far or until the end.
        end: Bytes above the start at the end.
        means: How it was measured, in words.
    """

    def __init__(self) -> None:
        self.peak = self.end = 0
        self.means = "the kernel's high-water mark"
        self._sampler: threading.Thread | None = None

    def __enter__(self) -> Self:
        gc.collect()
        trim()
        if _reset_mark():
            self._start, self._files = _resident()
            return self
        self.means = f"sampled every {_EVERY * 1000:g} ms"
        self._probe, self._over = process_probe(), threading.Event()
        self._start = self._probe().used
        self._sampler = threading.Thread(target=self._sample, name="membudget-peak", daemon=True)
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._sampler is not None:
            self._over.set()
            self._sampler.join()
            self._look()
            self._probe.close()
            return
        resident, files = _resident()
        mapped = max(0, files - self._files)
        self.peak = max(0, _mark() - self._start - mapped)
        self.end = max(0, resident - self._start - mapped)

    def _sample(self) -> None:
        while not self._over.wait(_EVERY):
            try:
                self._look()
            except ProbeError:
                return  # Nothing to read any more; the end will say so.

    def _look(self) -> None:
        self.end = max(0, self._probe().used - self._start)
        self.peak = max(self.peak, self.end)


def _reset_mark() -> bool:
    """Set VmHWM back; whether that is possible here."""
    if not os.path.exists("/proc/self/clear_refs"):
        return False
    try:
        with open("/proc/self/clear_refs", "wb", buffering=0) as file:
            file.write(_RESET_PEAK)
    except OSError:
        return False
    resident, _ = _resident()
    # Some sandboxes accept the write and do nothing.
    return 0 < _mark() <= resident + (1 << 20)


def _mark() -> int:
    return status_bytes(b"VmHWM")


def _resident() -> tuple[int, int]:
    """All resident bytes, and those of files among them."""
    return status_bytes(b"VmRSS"), status_bytes(b"RssFile")
