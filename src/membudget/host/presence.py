"""What makes a process findable on its host: its slot and its control socket.

The governor's thread rests around every fork and closes what it waited for. The slot and the
socket stay meanwhile, so that a program that forks often is always there to be found: what is
handed out to wait for is only a view of the socket.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType

from membudget.core.native import Imports, Lock
from membudget.errors import ControlError, MembudgetError
from membudget.governor.status import commands_of
from membudget.host.control import ControlSocket
from membudget.host.identity import claim_folder, identity_of, sweep
from membudget.host.slot import Slot
from membudget.ownership import default_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from membudget.core import Hint, Pressure, Reading
    from membudget.governor.loop import Governor
    from membudget.host.control import Answer

PRESENT_EVERY = 10.0
"""Seconds between two looks whether slot and socket are where they were put."""


class Presence:
    """A process's slot and socket, kept for its whole life and made anew in a forked child.

    A plugin; any thread may call any method.

    Args:
        folder: Where they lie, or None for the user's default, looked up at each opening, since a
            program may change its user.
        name: What runs, for people; a function is asked now and then, since a worker learns its
            name after it has begun.
        answers: What can be asked, by command; those of the governor that it joins.
    """

    name = "presence"

    def __init__(
        self,
        folder: str | None,
        name: str | Callable[[], str],
        answers: Mapping[str, Answer] = MappingProxyType({}),
    ) -> None:
        # The program may change its directory before the first opening.
        self._folder = None if folder is None else os.path.abspath(folder)
        self._name = name if callable(name) else lambda: name
        self._answers = answers
        self._lock = Lock()
        self._governor: Governor | None = None
        self._looked_at = float("-inf")
        self._home, self._pid = os.getpid(), 0
        self._slot: Slot | None = None
        self._socket: ControlSocket | None = None

    def join(self, governor: Governor) -> None:
        """Tell this governor's figures, and let it answer, until it stops."""
        self._governor = governor
        self._answers = _Commands(governor)
        self._looked_at = time.monotonic()
        governor.followers.append(self.follow)

    def leave(self) -> None:
        """Be findable no more."""
        self.close()

    def hints(self, *, is_early: bool) -> Sequence[Hint]:
        """The control socket, where it can be had: a budget is kept without one as well.

        A program that forks often is still to be found: its thread is young each time.
        """
        governor = self._governor
        if governor is None or (is_early and not self.is_due):
            return ()
        try:
            hint = self.open(governor.imports)
        except (MembudgetError, OSError) as error:
            if not is_early:
                governor.tell.failed("control socket", error)
            return ()
        self._write()  # Its slot gets its first figures now, not after an interval.
        if not is_early:
            _load_json(governor.imports)
        return (hint,)

    def follow(self, reading: Reading, _pressure: Pressure) -> None:
        """Write each judgement into the process's slot. Cost: 3 µs."""
        if reading.at - self._looked_at > PRESENT_EVERY:
            self._looked_at = reading.at
            if not self.touch() and self._governor is not None:
                self._governor.watch.listen_anew()
        self._write()

    def _write(self) -> None:
        governor = self._governor
        if governor is not None:
            self.write(
                governor.pressure,
                peak=governor.peak,
                governed=governor.registry.held_bytes(),
                reclaimed=governor.ladder.reclaimed,
                wall=time.time(),
                is_resting=governor.is_resting,
            )

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
        """Put these figures into the slot, if there is one; see `Slot.write`."""
        if (slot := self._slot) is not None:
            slot.write(
                pressure,
                peak=peak,
                governed=governed,
                reclaimed=reclaimed,
                wall=wall,
                is_resting=is_resting,
            )

    def open(self, imports: Imports | None = None) -> Hint:
        """Be findable from now on; returns what to wait for, whose `close` only ends the waiting.

        May be called again at any time: what still stands is used on, at 15 µs. The first call
        sweeps the folder as well and costs about 0.5 ms.

        Args:
            imports: Marks what is loaded for the first question.

        Raises:
            ControlError: The folder cannot be used, or the slot or the socket cannot be made; a
                slot that was made stays.
            ProbeError: This process cannot be identified.
        """
        with self._lock:
            if self._pid != os.getpid():
                self._abandon()
            socket = self._socket
            if not (self._slot and self._slot.is_in_place() and socket and socket.is_in_place()):
                socket = self._make()
            return _Waiting(socket, imports or Imports())

    def touch(self) -> bool:
        """Show that the slot is in use; whether all is where it was put. Cost: 10 µs.

        Folders of temporary files are swept by age, and a mapped file does not grow younger.
        """
        slot, socket = self._slot, self._socket
        if slot is None or socket is None or not (slot.is_in_place() and socket.is_in_place()):
            return False
        slot.rename(self._name())
        with contextlib.suppress(OSError):
            os.utime(slot.path)
            os.utime(socket.path)
        return True

    @property
    def is_due(self) -> bool:
        """Whether this process is to be found at once: forked children often live for a moment."""
        return os.getpid() in (self._home, self._pid)

    @property
    def place(self) -> str:
        """The slot's path; "" where there is none."""
        slot = self._slot
        return slot.path if slot is not None else ""

    def close(self) -> None:
        """Be findable no more and remove what was made; a second call does nothing."""
        with self._lock:
            if self._pid != os.getpid():
                self._abandon()
            slot, self._slot = self._slot, None
            socket, self._socket = self._socket, None
            # The socket first: one without a slot is taken for a dead process's.
            if socket is not None:
                socket.close()
            if slot is not None:
                slot.close()

    def after_fork_in_child(self) -> None:
        """Let go of what belongs to the parent, which lives on with it; called after a fork."""
        self._lock = Lock()  # Another thread may have held it, and is not here.
        self._abandon()

    def _make(self) -> ControlSocket:
        """Whatever is missing, under the identity of this process."""
        folder = claim_folder(self._folder or default_folder())
        identity = identity_of()
        self._pid = os.getpid()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._slot is None or not self._slot.is_in_place():
            if self._slot is not None:
                self._slot.close()
                self._slot = None
            sweep(folder)
            self._slot = Slot(folder, identity, self._name())
        self._socket = ControlSocket(folder, identity, self._answers)
        return self._socket

    def _abandon(self) -> None:
        slot, self._slot = self._slot, None
        socket, self._socket = self._socket, None
        if slot is not None:
            slot.abandon()
        if socket is not None:
            socket.abandon()


class _Commands(Mapping[str, "Answer"]):
    """What a governor may be asked for, also of plugins that join it later."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor

    def __getitem__(self, command: str) -> Answer:
        return commands_of(self._governor)[command]

    def __iter__(self) -> Iterator[str]:
        return iter(commands_of(self._governor))

    def __len__(self) -> int:
        return len(commands_of(self._governor))


def _load_json(imports: Imports) -> bool:
    """Load what reads questions and writes answers; whether it is there."""
    if imports.is_closed:
        return hasattr(sys.modules.get("json"), "loads")  # The import may have been of this one.
    with imports:
        import json  # noqa: F401  # a start need not wait for it: 2 ms
    return True


class _Waiting:
    """The socket as something to wait for; many may come and go while it stays open."""

    def __init__(self, socket: ControlSocket, imports: Imports) -> None:
        self._imports = imports
        self.name = socket.name
        self.events = socket.events
        self._socket = socket
        self._descriptor = socket.fileno()

    def fileno(self) -> int:
        """The descriptor to wait on; the same number even once closed, to be forgotten by."""
        return self._descriptor

    def clear(self) -> None:
        """Answer those who wait.

        Raises:
            ControlError: Nobody can ask any more.
        """
        if not _load_json(self._imports):
            raise ControlError("forked amid the import of what answers questions")
        self._socket.clear()

    def close(self) -> None:
        """Wait no more; the socket itself stays until the presence is closed."""
