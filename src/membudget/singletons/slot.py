"""What belongs to one singleton class: its instance, its lock, its counts.

The lock may be entered again by its own thread, which is how a constructor that asks for its own
class is caught. Threads whose constructors wait for each other are caught by following who waits
for whom: a lock is never waited for without a look at that now and then.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

from membudget.core import Record
from membudget.errors import ConfigError
from membudget.registry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable

Arguments: TypeAlias = "tuple[tuple[Any, ...], dict[str, Any]]"

ABSENT: Any = object()
"""What stands in the place of an instance where there is none; None may be one."""

_LOOK_EVERY = 0.05
"""Seconds between two looks at who waits for whom, while another thread's constructor runs."""

_LONGEST_TOLD = 100


class SingletonStats(Record):
    """What became of one class.

    Attributes:
        name: Module and name of the class.
        exists: Whether there is an instance now.
        made: How often one was made: once, and once more after each `clear_instances`.
        asked: How often the one that was there was given. Counted without a lock: threads that
            race may lose a count.
        refused: How often it was asked for with other arguments, and refused.
        failed: How often the constructor raised.
    """

    name: str
    exists: bool
    made: int
    asked: int
    refused: int
    failed: int


class Slot:
    """One class's instance, its lock and its counts."""

    def __init__(self, name: str, *, ignores: bool) -> None:
        self.name = name
        self.ignores = ignores
        self.lock = threading.RLock()
        self.builder: int | None = None
        self.instance: Any = ABSENT
        self.arguments: Arguments = ((), {})
        self.made = self.asked = self.refused = self.failed = 0

    def make(self, construct: Callable[..., Any], given: Arguments) -> tuple[Any, bool]:
        """The instance, and whether it was made here: another thread may have done so meanwhile.

        Raises:
            ConfigError: This thread is making it already.
            BaseException: What the constructor raised.
        """
        found: list[tuple[Any, bool]] = []

        def make() -> None:
            if self.instance is not ABSENT:
                found.append((self.instance, False))
                return
            self.builder = threading.get_ident()
            try:
                found.append((construct(*given[0], **given[1]), True))
            except BaseException:
                self.failed += 1
                raise
            finally:
                self.builder = None
            self.arguments = given
            self.made += 1
            self.instance = found[0][0]

        self._under_lock(make)
        return found[0]

    def forget(self) -> None:
        """Let go of the instance, outside the lock: its finalizer may do anything."""
        gone: list[Any] = []

        def forget() -> None:
            gone.extend((self.instance, self.arguments))
            self.instance, self.arguments = ABSENT, ((), {})

        self._under_lock(forget)

    def _under_lock(self, work: Callable[[], object]) -> None:
        """Do something under the lock, which is another one after a fork.

        An exception from a signal's handler may come after any call, so also between taking the
        lock and saying so: then it is given back all the same. Where it is not this thread's, to
        give it back is refused.

        Raises:
            ConfigError: A constructor under way would wait for itself.
        """
        me, lock = threading.get_ident(), self.lock
        if self.builder == me:
            raise ConfigError(self._circle())
        try:
            if not lock.acquire(blocking=False):
                _waiting[me] = self
                try:
                    while not lock.acquire(timeout=_LOOK_EVERY):
                        self._check_circle(me)
                finally:
                    del _waiting[me]
            work()
        finally:
            try:  # noqa: SIM105  # suppress() would be a call that could be cut short after
                lock.release()
            except RuntimeError:
                pass

    def _check_circle(self, me: int) -> None:
        slot: Slot | None = self
        met: list[Slot] = []
        while slot is not None and slot not in met:
            met.append(slot)
            builder = slot.builder
            if builder == me:
                raise ConfigError(self._circle())
            slot = _waiting.get(builder) if builder is not None else None

    def _circle(self) -> str:
        return (
            f"{self.name} is asked for while it is being made: its constructor needs itself, "
            "perhaps through another singleton; hand it what it needs, or ask for that later"
        )

    def compare(self, cls: type[Any], given: Arguments) -> None:
        """Refuse other arguments than those the instance was made with.

        Raises:
            ConfigError: They are others.
        """
        theirs = self.arguments
        if _are_same(given, theirs):
            return
        mine, first = _bound(cls, given), _bound(cls, theirs)
        if mine is not None and first is not None and _are_same(mine, first):
            return
        self.refused += 1
        name = cls.__name__
        raise ConfigError(
            f"{name} was made as {name}({_told(theirs)}) and is asked for as "
            f"{name}({_told(given)}): give the same, or none, or define it with "
            f"class {name}(metaclass=Singleton, ignore_arguments=True)"
        )

    def figures(self) -> SingletonStats:
        """What became of the class."""
        return SingletonStats(
            name=self.name,
            exists=self.instance is not ABSENT,
            made=self.made,
            asked=self.asked,
            refused=self.refused,
            failed=self.failed,
        )


_slots: weakref.WeakSet[Slot] = weakref.WeakSet()
_waiting: dict[int, Slot] = {}
"""By thread, whose constructor it waits for."""


def new_slot(name: str, *, ignores: bool) -> Slot:
    """A class's slot, which is looked after in forked children: from the first class on."""
    if not _followed:
        _followed.append(_FORKS)
        REGISTRY.add(_FORKS, keep=True)
    slot = Slot(name, ignores=ignores)
    _slots.add(slot)
    return slot


def slots() -> list[Slot]:
    """The slots of all classes that there are."""
    return list(_slots)


def _are_same(mine: Any, theirs: Any) -> bool:
    try:
        return bool(mine == theirs)
    except Exception:  # noqa: BLE001  # arrays, say, which do not compare as a whole
        return False


def _bound(cls: type[Any], given: Arguments) -> dict[str, Any] | None:
    """Arguments by name with the defaults; None where the constructor does not take them so."""
    import inspect  # 7 ms, and only for arguments that are written differently

    try:
        bound = inspect.signature(cls.__init__).bind(None, *given[0], **given[1])
    except (TypeError, ValueError):
        return None
    bound.apply_defaults()
    return dict(bound.arguments)


def _told(given: Arguments) -> str:
    words = [repr(one) for one in given[0]]
    words += [f"{name}={one!r}" for name, one in given[1].items()]
    text = ", ".join(words)
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}..."


class _Forks:
    """Gives a forked child locks of its own."""

    def before_fork(self, until: float) -> None:
        """Nothing to do: a constructor may take any time."""

    def after_fork_in_parent(self) -> None:
        """Nothing to do."""

    def after_fork_in_child(self) -> None:
        """Forget what other threads had under way."""
        me = threading.get_ident()
        for thread in [one for one in _waiting if one != me]:
            del _waiting[thread]
        for slot in list(_slots):
            # A thread that forks within a constructor goes on in the child, with its lock.
            if slot.builder != me:
                slot.lock, slot.builder = threading.RLock(), None


_FORKS = _Forks()
_followed: list[_Forks] = []
