"""What tells values that this cache wrote from any others, before they are unpickled.

Each value on the disk carries an HMAC over the cache's name, its generation, the value's number and
its bytes, so that a value neither made elsewhere, nor moved from another cache, number or time, is
believed. Where nothing is kept the key lives and dies with the process. Where values are kept, it
is the user's, in a file outside the folder they stand in: another host that
shares the disk, and may write to that folder, has no key by it.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import struct

from membudget.errors import ConfigError
from membudget.ownership import OTHERS, default_folder, open_own, read_own, safe_way

SEAL_BYTES = 32
KEY_BYTES = 32
GENERATION_BYTES = 16

_BEGINS = b"membudget key 1\n"
_FRAME = struct.Struct(">I")
_NUMBER = struct.Struct(">Q")
_ATTEMPTS = 10


class Seal:
    """The seal of one cache's values in one generation.

    Args:
        key: The secret.
        name: The cache's.
        generation: What no other set of values of this cache has.
    """

    def __init__(self, key: bytes, name: str, generation: bytes | None = None) -> None:
        self.generation = os.urandom(GENERATION_BYTES) if generation is None else generation
        space = name.encode("utf-8", "surrogatepass")
        begin = b"membudget spill 1\0" + _FRAME.pack(len(space)) + space + self.generation
        self._mac = hmac.new(key, begin, "sha256")

    def seal(self, number: int, text: bytes) -> bytes:
        """A value's bytes with its seal before them."""
        return self._of(number, text) + text

    def unseal(self, number: int, sealed: bytes) -> bytes | None:
        """The bytes that were sealed under this number, or None where they are any others."""
        text = sealed[SEAL_BYTES:]
        is_ours = hmac.compare_digest(sealed[:SEAL_BYTES], self._of(number, text))
        return text if is_ours else None

    def _of(self, number: int, text: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(_NUMBER.pack(number))
        mac.update(text)
        return mac.digest()


def new_key() -> bytes:
    """A key for as long as this process lives."""
    return os.urandom(KEY_BYTES)


def user_key(path: str | None = None) -> bytes:
    """The key of this user, made where there is none.

    Args:
        path: Its file; by default beside the folder in which the user's processes meet.

    Raises:
        ConfigError: The file, or a folder above it, is not this user's alone.
        OSError: It cannot be read or made.
    """
    path = safe_way(path or f"{default_folder()}.key")
    length = len(_BEGINS) + KEY_BYTES
    for _ in range(_ATTEMPTS):
        found = read_own(path, length, begins=_BEGINS, others=OTHERS)
        if found is None:
            _make(path)
        elif len(found) == length:
            return found[len(_BEGINS) :]
        else:
            break
    raise ConfigError(f"{path} holds no key: remove it, and a new one is made")


def _make(path: str) -> None:
    """Make a key file, whole at once, unless another process was first."""
    part = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        with open(open_own(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(_BEGINS + new_key())
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(part)
