"""One instance a class, made once however many threads ask: `class Pool(metaclass=Singleton)`.

Each class has a lock of its own from its definition on. Constructors that ask for their own class,
or wait for each other, are caught by following who waits for whom now and then.
"""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABCMeta
from typing import TYPE_CHECKING, Any, TypeAlias

from membudget.core import Record
from membudget.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

Arguments: TypeAlias = "tuple[tuple[Any, ...], dict[str, Any]]"

ABSENT: Any = object()
"""What stands in the place of an instance where there is none; None may be one."""

_LOOK_EVERY = 0.05
"""Seconds between two looks at who waits for whom, while another thread's constructor runs."""

_LONGEST_TOLD = 100


class SingletonStats(Record):
    """What became of one class, by its module and name.

    It was `made` once, and once more after each `clear_instances`; `asked` is how often the one
    that was there was given (without a lock: threads that race may lose a count), `refused` how
    often it was asked for with other arguments, `failed` how often the constructor raised.
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
        self.lock: threading.RLock = threading.RLock()
        self.builder: int | None = None
        self.instance: Any = ABSENT
        self.arguments: Arguments = ((), {})
        self.refused: int = 0
        self.made = self.asked = self.failed = 0

    def make(self, construct: Callable[..., Any], given: Arguments) -> tuple[Any, bool]:
        """The instance, and whether it was made here: another thread may have done so meanwhile."""

        def make() -> tuple[Any, bool]:
            if self.instance is not ABSENT:
                return self.instance, False
            self.builder = threading.get_ident()
            try:
                made = construct(*given[0], **given[1])
            except BaseException:
                self.failed += 1
                raise
            finally:
                self.builder = None
            self.arguments = given
            self.made += 1
            self.instance = made
            return made, True

        made: tuple[Any, bool] = self._under_lock(make)
        return made

    def forget(self) -> None:
        """Let go of the instance, outside the lock: its finalizer may do anything."""

        def forget() -> Any:
            gone = self.instance, self.arguments
            self.instance, self.arguments = ABSENT, ((), {})
            return gone

        self._under_lock(forget)

    def compare(self, cls: type[Any], given: Arguments) -> None:
        """Refuse other arguments than those the instance was made with."""
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

    def _under_lock(self, work: Callable[[], Any]) -> Any:
        """Do something under the lock; refused where a constructor under way waits for itself.

        A signal's handler may raise between taking the lock and saying so: it is given back all the
        same.
        """
        me, lock = threading.get_ident(), self.lock
        self._check_circle(me)
        try:
            if not lock.acquire(blocking=False):
                _waiting[me] = self
                try:
                    while not lock.acquire(timeout=_LOOK_EVERY):
                        self._check_circle(me)
                finally:
                    del _waiting[me]
            return work()
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
                raise ConfigError(
                    f"{self.name} is asked for while it is being made: its constructor needs "
                    "itself, perhaps through another singleton; hand it what it needs, or ask for "
                    "that later"
                )
            slot = _waiting.get(builder) if builder is not None else None


_slots: weakref.WeakSet[Slot] = weakref.WeakSet()
_waiting: dict[int, Slot] = {}  # By thread, whose constructor it waits for.


def _after_fork_in_child() -> None:
    """Give the child locks of its own, and forget what other threads had under way."""
    me = threading.get_ident()
    for thread in [one for one in _waiting if one != me]:
        del _waiting[thread]
    for slot in list(_slots):
        # A thread that forks within a constructor goes on in the child, with its lock.
        if slot.builder != me:
            slot.lock, slot.builder = threading.RLock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


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


class Singleton(type):
    """The metaclass of classes that have one instance.

    `Pool(...)` makes it the first time and returns it from then on. A constructor that raises
    leaves nothing behind. Subclasses have their own. Copying, deep copying and unpickling return
    the one; a process that has none makes it, with the arguments of the one that was pickled.

    Asked for again without any arguments, or with the same, the one is returned; others are refused
    unless `ignore_arguments`, which subclasses inherit. The first are kept as long as the instance.

    For an abstract class there is `SingletonABC`. Any thread may ask. A forked child has its
    parent's instances, but for one whose constructor was under way in another thread. Cost: about
    0.3 µs where the instance is there, 1 µs with arguments to compare.

    Args:
        ignore_arguments: Whether the arguments of later calls are ignored; None is as in the base.

    Raises:
        ConfigError: When called: other arguments than those it was made with; a constructor that
            needs its own class, directly or through others.
    """

    _singleton: Slot

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        ignore_arguments: bool | None = None,
        **options: Any,
    ) -> Singleton:
        """Define a class whose copies are itself."""
        own = {"__copy__": _same, "__deepcopy__": _same, "__reduce_ex__": _reduced, **namespace}
        cls = super().__new__(mcs, name, bases, own, **options)
        if ignore_arguments is None:
            before: Slot | None = getattr(cls, "_singleton", None)
            ignore_arguments = before is not None and before.ignores
        cls._singleton = Slot(f"{cls.__module__}.{cls.__qualname__}", ignores=ignore_arguments)
        _slots.add(cls._singleton)
        return cls

    def __init__(cls, *given: Any, ignore_arguments: object = None, **options: Any) -> None:  # noqa: ARG002  # used up
        super().__init__(*given, **options)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """The one instance, made where there is none."""
        slot = cls._singleton
        instance = slot.instance
        if instance is ABSENT:
            instance, is_new = slot.make(super().__call__, (args, kwargs))
            if is_new:
                return instance
        if (args or kwargs) and not slot.ignores:
            slot.compare(cls, (args, kwargs))
        slot.asked += 1
        return instance

    # Called on a class these mean that one; on the metaclass, all of them.

    def clear_instances(*classes: Singleton) -> None:
        """Forget a class's instance, for tests: `Singleton.clear_instances()` means all classes.

        Waits for a constructor under way in another thread; in the thread that makes it, a
        ConfigError.
        """
        for slot in _slots_of(classes):
            slot.forget()

    def stats(*classes: Singleton) -> list[SingletonStats]:
        """What became of a class: `Singleton.stats()` tells of all there are, by name."""
        figures = [
            SingletonStats(
                name=slot.name,
                exists=slot.instance is not ABSENT,
                made=slot.made,
                asked=slot.asked,
                refused=slot.refused,
                failed=slot.failed,
            )
            for slot in _slots_of(classes)
        ]
        return sorted(figures, key=lambda one: one.name)


class SingletonABC(Singleton, ABCMeta):
    """`Singleton` for abstract classes: a class has one metaclass, and these need both."""


def _slots_of(classes: tuple[Singleton, ...]) -> list[Slot]:
    return [one._singleton for one in classes] or list(_slots)  # noqa: SLF001  # set on them here


def _same(self: Any, _memo: object = None) -> Any:
    return self


def _reduced(self: Any, _protocol: object) -> tuple[Any, ...]:
    cls = type(self)
    return _the_one, (cls, *cls._singleton.arguments)


def _the_one(cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The instance there is, whatever its arguments; else a new one."""
    instance = cls._singleton.instance
    return cls(*args, **kwargs) if instance is ABSENT else instance
