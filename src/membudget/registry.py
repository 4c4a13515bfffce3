"""The weak register of everything that holds memory: the one global, like prometheus_client's.

Holders vanish when nobody else keeps them, find the meter here to check their inserts against, and
are brought to rest while the process forks.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import weakref
from collections import deque

from membudget.core.native import RLock
from membudget.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import Any

    from membudget.core import Chore, ForkAware, Holder, Meter, Reclaimer

FORK_PATIENCE = 0.05  # Seconds that a fork may wait for our own locks, all together.
_MOST_NOTED = 64  # Mistakes of the program that are told.
_SPARE = 16  # Members of a kind before a sweep is worth its while.

_PARTS = {
    "Holder": ("name", "held_bytes"),
    "Reclaimer": ("name", "rung", "reclaimable", "reclaim"),
    "Chore": ("name", "due", "run"),
    "ForkAware": ("before_fork", "after_fork_in_parent", "after_fork_in_child"),
}
"""What each protocol asks for. By name: protocols need `typing`, and from 3.12 on `inspect`."""


class Registry:
    """Weak references to holders, by what they can do, and the governor that watches them.

    Any thread may call any method.
    """

    def __init__(self) -> None:
        self.meter: Meter | None = None  # That of the governor.
        self.newcomer: Callable[[object], None] | None = None  # Called once a member was added.
        self._lock = RLock()
        self._governor: weakref.ref[ForkAware] | None = None
        self._members: dict[str, list[weakref.ref[Any]]] = {kind: [] for kind in _PARTS}
        self._sweep_at = dict.fromkeys(_PARTS, _SPARE)
        self._kept: list[object] = []
        self._named: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        self._noted: set[Hashable] = set()
        self.untold: deque[str] = deque()  # What the program gets wrong, for a governor to tell.
        _registries.add(self)

    def add(self, member: object, *, keep: bool = False) -> None:
        """Keep a weak reference to a holder under every protocol it satisfies, or a strong one too.

        They are looked up once, here: it costs microseconds. Those that are gone are swept when
        there may be as many of them as of the others.
        """
        _hook_forks_once()
        with self._lock:
            if keep:
                self._kept.append(member)
            for kind, members in self._members.items():
                if all(hasattr(member, part) for part in _PARTS[kind]):
                    if len(members) >= self._sweep_at[kind]:
                        members[:] = [ref for ref in members if ref() is not None]
                        self._sweep_at[kind] = max(_SPARE, 2 * len(members))
                    members.append(weakref.ref(member))
        if self.newcomer is not None:
            self.newcomer(member)

    def enter(self, member: Any, *, replace: bool | None, keep: bool = False) -> None:
        """Add one of the library's own, whose `name` no other of them has here (ADR 33).

        Where one has it, the newcomer gets the next number that is free ("prices-2"), and a warning
        says so; without one where `replace` is None. If it is true the earlier one leaves, after it
        was asked for all it holds. What its listener raises is raised once all is in order.
        """
        with self._lock:
            earlier, name = self._named.get(member.name), member.name
            if earlier is not None and not replace:
                member.name = self._free_name(name)
            self._named[member.name] = member
        if earlier is not None and replace is False:
            _warn(
                f"another one called {name!r} is alive, so the later one gets a number: give it a "
                "name of its own, or replace=True where it takes the other's place"
            )
        self.add(member, keep=keep)
        if earlier is None or not replace:
            return
        if not hasattr(earlier, "held_bytes"):
            earlier.stop()  # What is watched is the program's own.
            return
        self.remove(earlier)
        earlier.reclaim(earlier.held_bytes(), float("inf"))

    def _free_name(self, name: str) -> str:
        """A name with a number that nobody has. Names may be many: it asks for few of them."""
        taken, free = 1, 2
        while f"{name}-{free}" in self._named:
            taken, free = free, 2 * free
        while free - taken > 1:
            between = (taken + free) // 2
            if f"{name}-{between}" in self._named:
                taken = between
            else:
                free = between
        return f"{name}-{free}"

    def remove(self, member: object) -> None:
        """Forget a member; nothing happens where it is not known."""
        with self._lock:
            name = getattr(member, "name", None)
            if self._named.get(name) is member:  # type: ignore[arg-type]  # any object
                del self._named[name]  # type: ignore[arg-type]  # the same
            self._kept[:] = [one for one in self._kept if one is not member]
            for members in self._members.values():
                # By identity: containers are equal by what they hold.
                members[:] = [
                    ref for ref in members if (one := ref()) is not None and one is not member
                ]

    def note(self, cause: Hashable, what: str) -> None:
        """Have told once, in a governor's next step, what the program gets wrong. No lock."""
        if cause not in self._noted and len(self._noted) < _MOST_NOTED:
            self._noted.add(cause)
            self.untold.append(what)

    def holders(self) -> list[Holder]:
        """Everything whose bytes are counted."""
        return self._alive("Holder")

    def reclaimers(self) -> list[Reclaimer]:
        """Everything that can be asked to let go."""
        return self._alive("Reclaimer")

    def chores(self) -> list[Chore]:
        """Everything with upkeep to do."""
        return self._alive("Chore")

    def held_bytes(self) -> int:
        """The bytes that all holders count, together. Cost: about 0.2 µs a holder."""
        total = 0
        for holder in self._alive("Holder"):
            try:  # noqa: SIM105  # `suppress` costs more than the asking, at each tick
                total += holder.held_bytes()
            except Exception:  # noqa: BLE001, S110  # foreign code, asked by any thread that inserts
                pass
        return total

    @property
    def governor(self) -> ForkAware | None:
        """The governor that watches this register, if any."""
        return self._governor() if self._governor is not None else None

    def attach(self, governor: ForkAware, meter: Meter) -> None:
        """Let a governor watch this register; a ConfigError where another one does already."""
        _hook_forks_once()
        with self._lock:
            if self.governor is not governor:
                self.check_free()
            self._governor = weakref.ref(governor)
            self.meter = meter

    def check_free(self) -> None:
        """Raise a ConfigError where a governor watches already."""
        if self.governor is not None:
            raise ConfigError(
                "a budget is running already in this process: stop() it first, or give the "
                "second one a registry=membudget.Registry() of its own"
            )

    def detach(self, governor: ForkAware) -> None:
        """End what `attach` began; nothing happens for a governor that is not attached."""
        with self._lock:
            if self.governor in (None, governor):
                self._governor = self.meter = None

    def _alive(self, kind: str) -> list[Any]:
        # A copy by list() is atomic under the GIL; no lock, so that a tick never waits here.
        return [member for ref in list(self._members[kind]) if (member := ref()) is not None]

    def _pass_on(self, word: str, *arguments: object) -> None:
        # The governor first: it may be shrinking a cache, and can only rest while it still can
        # take that cache's lock. It goes on last, when all it reads and asks is in order again.
        members: list[ForkAware] = [*filter(None, [self.governor]), *self._alive("ForkAware")]
        if word == "after_fork_in_child":
            self._lock = RLock()
            self.untold.clear()  # The parent's to tell.
        for member in members if word == "before_fork" else reversed(members):
            with contextlib.suppress(Exception):  # A fork is the program's own: never stop it.
                getattr(member, word)(*arguments)


def _warn(words: str) -> None:
    """Warn at the program's own line, whoever of us it called."""
    import warnings  # most programs are never warned

    frame, depth = sys._getframe(1), 2  # noqa: SLF001  # there is no other way to the caller
    while frame.f_globals.get("__name__", "").startswith("membudget.") and frame.f_back:
        frame, depth = frame.f_back, depth + 1
    warnings.warn(words, RuntimeWarning, stacklevel=depth)


_registries: weakref.WeakSet[Registry] = weakref.WeakSet()
_hooked = False


def _hook_forks_once() -> None:
    """Ask the interpreter to call us around forks, at first use and never at import."""
    global _hooked  # noqa: PLW0603  # the interpreter keeps such hooks for ever, so once is state
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        os.register_at_fork(
            before=lambda: _tell_of_fork("before_fork", time.monotonic() + FORK_PATIENCE),
            after_in_parent=lambda: _tell_of_fork("after_fork_in_parent"),
            after_in_child=lambda: _tell_of_fork("after_fork_in_child"),
        )


def _tell_of_fork(word: str, *arguments: object) -> None:
    for registry in list(_registries):
        registry._pass_on(word, *arguments)  # noqa: SLF001  # one module, one mechanism


REGISTRY = Registry()  # The register that holders add themselves to where none is given.
