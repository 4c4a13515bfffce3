"""A process's slot: a small file in which its latest figures stand, for others to read.

Written into a shared mapping, they stay readable while it is stuck. A lock (`flock`) says that it
lives; the mapping keeps that even where all descriptors are closed. Readers tell a half-written
record by its checksum. Room is written at the start: a store into a hole is a SIGBUS.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from binascii import crc32
from math import isfinite

from membudget.core.native import sleep
from membudget.core.nouns import Status
from membudget.core.shares import Claim
from membudget.errors import ConfigError, ControlError
from membudget.host import SLOT, parse_stem
from membudget.ownership import identity as file_identity
from membudget.ownership import lock, open_locked, open_own, standard_taken
from membudget.units import MOST_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from membudget.core import Pressure
    from membudget.host import Identity

SIZE = 509  # An odd number of bytes, by which the mapping's own descriptor is recognised.
_MAGIC = b"mbslot1\n"
_HEAD = struct.Struct("<8sI")
_FIGURES = struct.Struct("<d64sq?q96s12sd?dqqq")
_LENGTH = _HEAD.size + _FIGURES.size
"""Bytes that every version knows; what came later stands behind them."""

_CLAIM = struct.Struct("<6Q2d9q4d")  # Of `core.shares.Claim`; behind its own checksum.
_CLAIM_AT, _GROUPS = 256, 3
_CLAIMED = (
    "at", "since", "own", "held", "share", "fixed", "most", "taken_in", "passing", "kept",
    "reserved", "hits", "space", "asked", "missed",
)  # fmt: skip
"""Its figures, as they stand in the slot behind the groups."""

_MAY_BE_NEGATIVE = ("at", "since", "most", "hits")

_LOCK_ATTEMPTS, _READ_ATTEMPTS = 50, 20
"""Tries, 1 ms apart, while others look whether its owner lives; and while a record is written."""

_kept: list[mmap.mmap] = []  # Their descriptors are somebody else's by now, and stay open.


class Slot:
    """This process's slot, in a folder that `claim_folder` approved. For one thread at a time."""

    def __init__(self, folder: str, identity: Identity, name: str) -> None:
        self.path: str = f"{folder}/{identity.stem}{SLOT}"
        self.rename(name)
        try:
            descriptor = _locked(self.path)
            try:
                self._file = file_identity(self.path)
                os.pwrite(descriptor, _MAGIC.ljust(SIZE, b"\0"), 0)
                # The mapping keeps a duplicate of the descriptor, and with it the lock.
                with standard_taken():
                    self._map = mmap.mmap(descriptor, SIZE)
            except OSError:
                os.unlink(self.path)
                raise
            finally:
                os.close(descriptor)
        except ConfigError as error:
            raise ControlError(f"{error}, by setting agent.directory") from error
        except ControlError:
            raise
        except OSError as error:
            raise ControlError(
                f"cannot make {self.path} ({error.strerror}): make room there and let this user "
                "write, or set agent.directory to a folder of your own"
            ) from error

    def write(
        self,
        pressure: Pressure,
        *,
        peak: int,
        governed: int,
        reclaimed: int,
        wall: float,
        is_resting: bool = False,
    ) -> None:
        """Put the latest figures in; nothing happens once closed. Cost: 2 µs, keeping the GIL.

        In bytes, but for `wall`, the time now in seconds of `time.time`.
        """
        limit, left = pressure.limit, pressure.seconds_left
        figures = _FIGURES.pack(
            wall,
            self._name,
            _writable(pressure.used),
            limit is not None,
            _writable(limit or 0),
            pressure.source.encode("utf-8", "replace"),
            pressure.level.name.encode(),
            pressure.growth,
            left is not None,
            left or 0.0,
            _writable(peak),
            _writable(governed),
            _writable(reclaimed),
        )
        head = _HEAD.pack(_MAGIC, crc32(figures))
        try:
            self._map[: _LENGTH + 1] = head + figures + bytes((is_resting,))
        except ValueError:
            return  # Closed meanwhile by another thread.

    def claim(self, one: Claim) -> None:
        """Put in what this process tells those that share its group's limit. Cost: 2 µs."""
        groups = [number for group in one.groups[:_GROUPS] for number in group]
        figures = [getattr(one, name) for name in _CLAIMED]
        figures[_CLAIMED.index("most")] = -1 if one.most > MOST_BYTES else int(one.most)
        told = _CLAIM.pack(*groups, *[0] * (2 * _GROUPS - len(groups)), *figures)
        with contextlib.suppress(ValueError):  # Closed meanwhile by another thread.
            self._map[_CLAIM_AT : _CLAIM_AT + 4 + _CLAIM.size] = crc32(told).to_bytes(4) + told

    def rename(self, name: str) -> None:
        """Be called that from the next figures on."""
        self._name = name.encode("utf-8", "replace")

    def is_in_place(self) -> bool:
        """Whether others still find it under its path."""
        return file_identity(self.path) == self._file

    def close(self) -> None:
        """End it and remove its file; a second call does nothing."""
        if not self._map.closed and self.is_in_place():
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self.abandon()

    def abandon(self) -> None:
        """Let go of it without removing the file: in a forked child, where it is the parent's."""
        if self._map.closed:
            return
        is_foreign = False
        with contextlib.suppress(OSError):  # Nobody has that number now: closing it does no harm.
            is_foreign = self._map.size() != SIZE
        if is_foreign:
            _kept.append(self._map)
        else:
            self._map.close()


def _locked(path: str) -> int:
    """A descriptor of the file at a path, made where missing, with the owner's lock on it."""
    for _ in range(_LOCK_ATTEMPTS):
        if (descriptor := open_locked(path, begins=_MAGIC)) is not None:
            return descriptor
        sleep(0.001)
    raise ControlError(
        f"{path} is held already: a process tells its figures once; stop() its other budget"
    )


def read_slot(path: str) -> Status | None:
    """The figures in a slot, or None where none can be made out, or none can be. Never blocks."""
    with contextlib.suppress(ConfigError, OSError), open(open_own(path, others=0), "rb", 0) as file:
        for _ in range(_READ_ATTEMPTS):
            if (figures := _parsed(os.pread(file.fileno(), SIZE, 0))) is not None:
                return figures
    return None


def read_claim(path: str) -> Claim | None:
    """The claim in a slot, or None where none can be made out. Never blocks. Cost: 10 µs."""
    with contextlib.suppress(ConfigError, OSError), open(open_own(path, others=0), "rb", 0) as file:
        for _ in range(_READ_ATTEMPTS):
            record = os.pread(file.fileno(), SIZE, 0)
            told = record[_CLAIM_AT + 4 : _CLAIM_AT + 4 + _CLAIM.size]
            is_whole = len(told) == _CLAIM.size and record.startswith(_MAGIC)
            if is_whole and crc32(told) == int.from_bytes(record[_CLAIM_AT : _CLAIM_AT + 4]):
                return _claim(_CLAIM.unpack(told))
    return None


def _claim(told: tuple[Any, ...]) -> Claim | None:
    one, numbers = Claim(), told[: 2 * _GROUPS]
    one.groups = tuple(pair for pair in zip(numbers[::2], numbers[1::2], strict=True) if any(pair))
    figures = dict(zip(_CLAIMED, told[2 * _GROUPS :], strict=True))
    for name, figure in figures.items():
        setattr(one, name, figure)
    one.most = float("inf") if one.most < 0 else one.most
    is_sound = all(figure >= 0 for name, figure in figures.items() if name not in _MAY_BE_NEGATIVE)
    is_sound &= all(abs(x) < MOST_BYTES for x in figures.values() if isinstance(x, float))
    return one if is_sound else None


def is_alive(path: str) -> bool:
    """Whether the process that a slot belongs to still runs, in whichever pid namespace."""
    with contextlib.suppress(ConfigError, OSError), open(open_own(path, others=0), "rb", 0) as file:
        return not lock(file.fileno(), shared=True)
    return False


def living(folder: str, names: Iterable[str] | None = None) -> list[tuple[Identity, Status]]:
    """Processes that live and have told figures, by pid; of `names` alone. Cost: 20 µs each."""
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(folder) if names is None else names:
            identity = parse_stem(name.removesuffix(SLOT)) if name.endswith(SLOT) else None
            if identity is None or not is_alive(path := f"{folder}/{name}"):
                continue
            if (figures := read_slot(path)) is not None:
                found.append((identity, figures))
    return sorted(found, key=lambda one: (one[0].pid, one[0].namespace))


def _writable(size: int) -> int:
    return max(-MOST_BYTES, min(size, MOST_BYTES))


def _parsed(record: bytes) -> Status | None:
    if len(record) < _LENGTH:
        return None
    magic, checksum = _HEAD.unpack_from(record)
    body = record[_HEAD.size : _LENGTH]
    if magic != _MAGIC or crc32(body) != checksum:
        return None
    (at, name, used, has_limit, limit, source, level, growth, has_end, left, *totals) = (
        _FIGURES.unpack(body)
    )
    if not (isfinite(at) and isfinite(growth) and isfinite(left)) or used < 0:
        return None
    peak, governed, reclaimed = totals
    try:
        return Status(
            at=at,
            name=_text(name),
            used=used,
            limit=limit if has_limit else None,
            source=_text(source),
            level=_text(level),
            rate=growth,
            seconds_left=left if has_end else None,
            peak=peak,
            governed=governed,
            reclaimed=reclaimed,
            is_resting=record[_LENGTH : _LENGTH + 1] == b"\x01",
        )
    except ValueError:  # A level or a limit that is none.
        return None


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode("utf-8", "ignore")
