"""Takes a census, a slice at a time."""

from __future__ import annotations

import time
from itertools import chain
from types import FunctionType
from typing import TYPE_CHECKING, Any

from membudget.heap import CACHE, TASK, THREAD, TYPE, Census, Detail, items, raw, roots
from membudget.heap.owner import Steps
from membudget.heap.walk import MOST, Kinds, Walk

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from membudget.heap.walk import Kind

SLICE = 0.005  # Seconds of work at a time

LONG = 64
"""Items from which on a container is counted wherever it is; variables' and attributes' from 16."""

_NAMED = 20_000  # Containers that are named in one census: 20 µs each
_DETAILED = 300  # Things of which more is said in one census: up to 0.5 ms each
_SAMPLED = 8  # Of what grew, so many are weighed

_STACK = 20 * 1024
"""Resident bytes of a thread that waits, its own objects included.

Measured over 1000 threads (Linux, CPython 3.11 to 3.13, glibc): 16.8 KB with one function, 20.9 KB
with thirty. Page tables (4 KB) and the kernel's own stack (16 KB) count in a cgroup only.
"""

KEEPS_INSTANCES = "a cache bound to a method keeps its instances"
KEEPS_FRAMES = "exceptions kept with their tracebacks keep the variables of every function passed"

_traceback_of: Callable[[Any], Any] = BaseException.__dict__["__traceback__"].__get__


class CensusTaker(Walk):
    """Walks a process's heap in slices and counts. One thread at a time.

    A census changes nothing in the program: no line of its code runs, and what it drops goes away
    as before, except for at most some ten thousand objects that the walk is about to enter. More
    is said of what has grown since the census before. `extra` roots are read when all else was
    seen, such as the values of caches, which a walk does not enter; `only` replaces all others.
    """

    def __init__(
        self,
        before: Census | None = None,
        *,
        extra: Iterable[tuple[str, Any]] = (),
        only: Iterable[tuple[str, Any]] | None = None,
        redact: Callable[[str], str] | None = None,
        most: int = MOST,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._before = before
        self._redact = redact
        self._steps = Steps(redact)
        self._counts: dict[str, dict[str, int]] = {CACHE: {}, TASK: {}, THREAD: {}}
        self._details: dict[tuple[str, str], Detail] = {}
        self._threads: list[threading.Thread] | None = None
        self._alike: dict[str, list[threading.Thread]] = {}
        self._named = 0
        self._took = self._longest = 0.0
        super().__init__(
            roots.all_roots() if only is None else only,
            Kinds(before.types if before is not None else {}),
            # A task's chain is to begin at what waits for it, where anything else leads there.
            late=chain(roots.tasks() if only is None else (), extra),
            passed=roots.own_namespaces(),
            most=most,
            now=now,
        )

    def step(self, until: float) -> Census | None:
        """Work until a time has come (monotonic seconds), at most 5 ms; the census, once done."""
        begun = self._now()
        until = min(until, begun + SLICE)
        is_done = self.go_on(until) and self._count_threads(until)
        took = self._now() - begun
        self._took += took
        self._longest = max(self._longest, took)
        if not is_done:
            return None
        self._counts[TYPE] = self._kinds.counts()
        return Census(
            at=self._now(),
            objects=self.objects,
            took=self._took,
            longest_slice=self._longest,
            counts=self._counts,
            details=self._details,
            unread=self.unread,
            held=self.held_bytes,
        )

    def take(self) -> Census:
        """The whole census in one go: for tests and tools. Cost: about 1 s a million objects."""
        while (done := self.step(float("inf"))) is None:
            pass
        return done

    def meet(self, obj: Any, kind: Kind, place: int, is_noticed: bool) -> None:  # noqa: FBT001  # as the walk calls it
        """Count it, and say more of it where it grew."""
        if kind.grows:
            self._container(obj, kind, place)
        elif kind.type is raw.CACHE:
            self._cache(obj, place)
        elif kind.special:
            self._task(obj, place)
        if is_noticed:
            self._example(obj, kind, place)

    def _container(self, obj: Any, kind: Kind, place: int) -> None:
        length = kind.length(obj)  # type: ignore[misc]  # what grows has a length
        holder = type(self.paths.holder(place))
        # What refers to it may be a variable or an object with attributes.
        may_be_own = holder is str or holder is dict or raw.container_of(holder) is None
        if (length < LONG and not may_be_own) or holder is raw.CACHE:
            return  # The entries of a cache are counted where it is met.
        if self._named >= _NAMED and length < 16 * LONG:
            return
        self._named += 1
        path = self.paths.path(obj, place)
        if len(path) == 2 and path[0].startswith(roots.MODULE):  # noqa: PLR2004  # a root and itself
            name, is_own = f"{path[0].removeprefix(roots.MODULE)}.__dict__", False
        else:
            name, is_own = self._steps.owner(path)
        if length < LONG and not is_own:
            return
        if self._count(kind.name, name, length):
            item = next(iter(items.newest_items(obj)), None)
            keeps_frames = issubclass(type(item), BaseException) and _traceback_of(item) is not None
            self._details[kind.name, name] = Detail(
                bytes_each=items.item_bytes(obj),
                newest=items.newest(obj, self._redact),
                chain=self._steps.chain(path),
                note=KEEPS_FRAMES if keeps_frames else "",
                id=id(obj),
            )

    def _cache(self, obj: Any, place: int) -> None:
        function = raw.read(obj, "__wrapped__")
        name = raw.function_name(function)
        if self._count(CACHE, name, raw.cache_sizes(obj)[0]):
            code = function.__code__ if type(function) is FunctionType else None
            is_method = code is not None and code.co_varnames[:1] == ("self",)
            self._details[CACHE, name] = Detail(
                bytes_each=items.entry_bytes(obj),
                chain=self._steps.chain(self.paths.path(obj, place)),
                note=KEEPS_INSTANCES if is_method else "",
                id=id(obj),
            )

    def _task(self, obj: Any, place: int) -> None:
        coroutine = roots.coroutine_of(obj)
        if coroutine is None:
            return
        line, own = roots.awaited(coroutine)
        name = roots.name_of_coroutine((own or line)[0])
        path = self.paths.path(obj, place)
        if not own and (holder := self._steps.held_by(path)):
            # Whose event or queue it is tells more than that something waits for one.
            name = f"{name} of {holder}"
        if self._count(TASK, name, 1):
            self._details[TASK, name] = Detail(
                bytes_each=items.mean_bytes(roots.others_of(coroutine, _SAMPLED) or [obj]),
                chain=self._steps.chain(path),
                note=roots.where_it_waits(line, own or line[:1]),
                id=id(obj),
            )

    def _example(self, obj: Any, kind: Kind, place: int) -> None:
        """One object more than before: what it holds and who holds it."""
        if len(self._details) >= _DETAILED:
            return
        path = self.paths.path(obj, place)
        siblings = [
            one
            for one in items.newest_items(self.paths.holder(place), _SAMPLED)
            if type(one) is kind.type
        ]
        self._details[TYPE, kind.name] = Detail(
            bytes_each=sum(map(items.exclusive_bytes, siblings or [obj])) / max(1, len(siblings)),
            newest=items.short(obj, self._redact),
            chain=self._steps.chain(path),
            id=id(obj),
        )

    def _count_threads(self, until: float) -> bool:
        """Count some threads; whether all were counted."""
        if self._threads is None:
            self._threads = roots.threads()
        while self._threads:
            thread = self._threads.pop()
            name = roots.runs(thread)
            some = self._alike.setdefault(name, [])
            if len(some) < _SAMPLED:
                some.append(thread)
            if self._count(THREAD, name, 1):
                frames = roots.frames_by_thread()
                held = [list(roots.values(frames.get(roots.ident(one) or 0))) for one in some]
                del frames
                self._details[THREAD, name] = Detail(
                    bytes_each=items.mean_bytes(held) + _STACK, id=id(some[-1])
                )
            if self._now() >= until:
                return False
        return True

    def _count(self, kind: str, name: str, items: int) -> bool:
        """Add to a count; whether more is to be said: it passed what the census before found."""
        counts = self._counts.setdefault(kind, {})
        total = counts[name] = counts.get(name, 0) + items
        details = self._details
        if self._before is None or len(details) >= _DETAILED or (kind, name) in details:
            return False
        return total > self._before.counts.get(kind, {}).get(name, total)
