"""Standard error as a pipe that nobody reads."""

import contextlib
import os
from collections.abc import Iterator

from membudget.sinks import STDERR


@contextlib.contextmanager
def unread_standard_error() -> Iterator[int]:
    """The reading end of a pipe that is standard error meanwhile.

    Not a fixture: between set-up and test the capture of output changes the descriptor.
    """
    source, target = os.pipe()
    kept = os.dup(STDERR)
    os.dup2(target, STDERR)
    os.close(target)
    try:
        yield source
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
        os.close(source)


def fill_standard_error() -> int:
    """Fill the pipe to its last byte, and tell how many there are."""
    os.set_blocking(STDERR, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while filled < 1 << 24:
            filled += os.write(STDERR, bytes(4096))
    os.set_blocking(STDERR, True)
    return filled
