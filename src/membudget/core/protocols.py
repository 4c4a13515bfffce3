"""What a part must offer to take its place: function types and protocols, no behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from membudget.core.events import Event
from membudget.core.nouns import Pressure, Reading, Rung

Probe: TypeAlias = Callable[[], Reading]
"""A source of readings. Quick (a few µs), called on the governor's thread; raises `ProbeError`."""

Sink: TypeAlias = Callable[[Event], None]
"""A taker of events. Quick, called on the governor's thread; slow sinks queue, bounded."""

Follower: TypeAlias = Callable[[Reading, Pressure], object]
"""Wants every single reading and judgement. Quick (a few µs), called on the governor's thread."""

Command: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes a question's arguments and returns what can be written as JSON. Runs on the governor's
thread, should be quick and imports nothing; what it raises is told to who asks."""

Purgeable: TypeAlias = tuple[str, Callable[[], object], Callable[[], int | None]]
"""An allocator's name, what has it give back, and what tells the bytes that it holds free at most,
or None where that is not known; any thread may call both."""


class Clock(Protocol):
    """Where time comes from; tests pass one they can turn by hand."""

    def now(self) -> float:
        """Monotonic seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait; 0 only lets other threads run."""


class Named(Protocol):
    """What has a name of its own in events and reports."""

    @property
    def name(self) -> str:
        """What it is called there."""


@runtime_checkable
class Reclaimer(Named, Protocol):
    """Something that can let memory go when asked.

    Count, then free: `reclaimable` is cheap and may be asked often, `reclaim` does the work. Both
    run on the governor's thread, must not call the governor and must not wait for locks of the
    program without a time limit. Source: the Linux shrinker's count_objects and scan_objects.

    One whose attribute `is_under_way` is true after a call that let go of nothing has begun work
    that takes longer, and is asked on; any other has nothing, and is left alone for a while, unless
    its attribute `paces_itself` is true: it says by `reclaimable` when to be asked.
    """

    @property
    def rung(self) -> Rung:
        """At which rung it is asked."""

    def reclaimable(self) -> int | None:
        """Bytes it could let go now; 0 means do not ask, None means not known."""

    def reclaim(self, target: int, until: float) -> int:
        """Let go of at least `target` bytes if possible; return how many it believes went.

        Returns by `until` (monotonic), and is asked again where something remains.
        """


@runtime_checkable
class Chore(Named, Protocol):
    """Light upkeep at its own interval, without any pressure: sweeping, a young collection.

    One whose attribute `comes_early` is true is brought forward above the low mark, once a second.
    """

    def due(self, now: float) -> bool:
        """Whether its interval has passed."""

    def run(self, until: float) -> int:
        """Do a slice of the work until then (monotonic), return the bytes let go."""


@runtime_checkable
class Holder(Named, Protocol):
    """Something that holds memory and is counted: every cache and bounded container."""

    def held_bytes(self) -> int:
        """Bytes it holds now, as it counts them; O(1), takes no lock."""


@runtime_checkable
class ForkAware(Protocol):
    """Something with locks or threads, which must be at rest while the process forks."""

    def before_fork(self, until: float) -> None:
        """Come to rest, holding its locks, at the latest by `until` (monotonic)."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Go on in the child, with locks and threads of its own."""


class Hint(Named, Protocol):
    """A kernel wake-up: a descriptor that becomes ready when memory may be short."""

    @property
    def events(self) -> int:
        """The `select.poll` event mask to wait for."""

    def fileno(self) -> int:
        """The descriptor to wait on."""

    def clear(self) -> None:
        """Take note of the wake-up, so that it can fire again."""

    def close(self) -> None:
        """Give the descriptor back."""


class Plugin(Named, Protocol):
    """Whatever joins a governor; all but its name may be left out.

    It adds followers, chores, reclaimers and sinks when it joins, and meets other plugins through
    events, the registry and the status alone. What may be left out:

    - `join(governor)`: begin; before the governor's first step, or later.
    - `leave()`: end, once; the last that joined leaves first.
    - `take_settings(settings)`: put settings in force while running, or raise `ConfigError`; all
      that took them already are then given the old ones.
    - `before_fork(until)`: come to rest, at the latest by then (monotonic).
    - `after_fork_in_child()`: begin anew, before the child's first step.
    - `hints(is_early=)`: what to wait for on a new thread; early only what costs microseconds.
    - `status()`: its sections of the `Status`, records or plain values by name.
    - `commands()`: what it may be asked for, by the command's name.
    """
