"""The brake as a plugin: armed when it joins a governor, told of all that is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from membudget.brake.brake import Brake
from membudget.core import Rung
from membudget.errors import ConfigError, MembudgetError
from membudget.governor.watch import WARM
from membudget.probes.allocator import load_unwinder
from membudget.reclaimers.allocators import RISE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from membudget.core import Probe
    from membudget.governor import Governor
    from membudget.reclaimers.allocators import Allocators


class Read(Protocol):
    """What a brake needs of what is read for a process.

    Attributes:
        probe: Reads the figure that is judged.
        allocators: Who can be asked to give back.
        original_limit: Tells a soft limit of the process's from one that the brake has set.
    """

    probe: Probe
    allocators: Allocators
    original_limit: Callable[[int], int | None]


class BrakePlugin:
    """Arms the brake where that is possible, and says in one line where it is not.

    Args:
        sources: What is read.
        is_strict: Whether a brake that cannot be armed is an error.

    Attributes:
        brake: The brake, or None where it is not armed.
    """

    name = "brake"

    def __init__(self, sources: Read, *, is_strict: bool = False) -> None:
        self._sources = sources
        self._is_strict = is_strict
        self.brake: Brake | None = None

    def join(self, governor: Governor) -> None:
        """Arm it.

        Raises:
            ConfigError: It cannot be armed, and must be.
        """
        load_unwinder()
        sources, allocators = self._sources, self._sources.allocators

        def ask(size: int) -> None:
            governor.ladder.ask(Rung.GENTLE, size)

        ready = allocators.ready if governor.settings["cleanup.auto"] else int
        if (free := ready()) >= RISE:
            ask(free)
        try:
            brake = Brake(
                tell=governor.tell,
                registry=governor.registry,
                wake=governor.watch.ring,
                ready=ready,
                given_back=lambda: allocators.given_back,
                ask=ask,
            )
            note = brake.arm(sources.probe())
        except (MembudgetError, OSError, ValueError) as error:
            note = f"no brake: {error}"
            if self._is_strict:
                raise ConfigError(note) from error
            governor.notes.append(note)
            return
        governor.notes.append(note)
        self.brake = brake
        is_pressed = allocators.is_pressed
        allocators.is_pressed = lambda: brake.is_scarce or is_pressed()
        sources.original_limit = brake.original
        # What libraries map and never touch is taken for the program's until the next step: 66 MiB
        # of numpy's would refuse others 66 MiB for a quarter of a second.
        governor.watch.quick = WARM
        governor.followers.append(brake.follow)

    def leave(self) -> None:
        """Give the old limit back."""
        if self.brake is not None:
            self.brake.disarm()

    def status(self) -> Mapping[str, Any]:
        """How the brake stands; None where it is not armed."""
        return {"brake": None if self.brake is None else self.brake.state}
