"""The reference chain from a root to an object, found by a search of its own, in text.

A census tells the chains of what grew as it meets it. This search is for one object in hand: the
walk again, ended where the object is met, which is the shortest way since the walk goes breadth
first.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from membudget.heap import raw, roots
from membudget.heap.kinds import Kinds
from membudget.heap.owner import Steps
from membudget.heap.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SLICE = 0.005


class ChainSearch:
    """Looks for the way to one object. One thread at a time, by `step`.

    Args:
        target: The object; kept alive until the search is let go of.
        extra: Further roots, as pairs of a name and an object.
        only: Roots in place of the process's own, or None.
        redact: What keys are passed through before they are shown.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        target: Any,
        *,
        extra: Iterable[tuple[str, Any]] = (),
        only: Iterable[tuple[str, Any]] | None = None,
        redact: Callable[[str], str] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._steps = Steps(redact)
        self._found: tuple[str, ...] | None = None
        self._now = now
        self._walk = Walk(
            self._roots(extra, only),
            _Noticing((type(target),)),
            self._meet,
            late=roots.late_roots() if only is None else (),
            passed=roots.own_namespaces(),
            now=now,
        )

    def step(self, until: float) -> tuple[str, ...] | None:
        """Search until a time, and for at most 5 ms; the chain when it is found.

        Returns:
            None while the search goes on; an empty chain where nothing leads to the object.
        """
        is_done = self._walk.step(min(until, self._now() + SLICE))
        if self._found is not None:
            return self._found
        return () if is_done else None

    def find(self) -> tuple[str, ...]:
        """The whole search in one go. Cost: up to 1.3 s a million objects."""
        while (found := self.step(float("inf"))) is None:
            pass
        return found

    def _roots(
        self, extra: Iterable[tuple[str, Any]], only: Iterable[tuple[str, Any]] | None
    ) -> Iterator[tuple[str, Any]]:
        # A variable of whoever asks is no answer: the modules come before the functions.
        yield from extra
        yield from roots.all_roots(variables_last=True) if only is None else only

    def _meet(self, obj: Any, _kind: Any, place: int, _is_noticed: bool) -> None:  # noqa: FBT001
        if obj is self._target and self._found is None:
            self._found = self._steps.chain(self._walk.paths.path(obj, place))


class _Noticing(Kinds):
    """Kinds of which some types' every object is met."""

    def __init__(self, wanted: Iterable[type]) -> None:
        super().__init__({})
        for kind in wanted:
            self.of(kind).special = True


def owners_of(
    targets: Sequence[Any], *, extra: Iterable[tuple[str, Any]] = (), until: float
) -> dict[int, str]:
    """The names of what holds some objects, by the objects' ids, as a census names containers.

    Args:
        targets: Objects that can refer to others.
        extra: Further roots, taken first.
        until: Monotonic time at which the search ends; those not found by then are left out.

    Cost: up to 1.3 s a million objects, in one go: for tests and tools.
    """
    wanted = {id(one) for one in targets}
    found: dict[int, str] = {}
    steps = Steps()

    def meet(obj: Any, _kind: Any, place: int, _is_noticed: bool) -> None:  # noqa: FBT001  # as the walk calls it
        if id(obj) in wanted:
            found[id(obj)], _ = steps.owner(walk.paths.path(obj, place))

    walk = Walk(
        itertools.chain(extra, roots.all_roots()),
        _Noticing(map(type, targets)),
        meet,
        late=roots.late_roots(),
        passed=[*roots.own_namespaces(), id(targets)],
    )
    while len(found) < len(wanted) and time.monotonic() < until:
        if walk.step(min(until, time.monotonic() + SLICE)):
            break
    return found


def chain_to(target: Any, **settings: Any) -> tuple[str, ...]:
    """The steps from a root to an object, shortest first; empty where nothing leads to it.

    Args:
        target: An object that can refer to others; of numbers and texts nobody knows the places.
        settings: As for `ChainSearch`.

    Cost: up to 1.3 s a million objects, in one go: for tests and tools.
    """
    if not raw.refers(type(target)):
        return ()
    return ChainSearch(target, **settings).find()


def text(chain: tuple[str, ...]) -> str:
    """A chain in one line: "module app.store → .store → ._by_id → [1203]"."""
    return " → ".join(chain)
