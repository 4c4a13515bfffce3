"""The caches of a program that is not ours: which are taken in, and what is told of them."""

from __future__ import annotations

from membudget.governor.status import MOST_ROWS
from membudget.reclaimers.found import FoundCaches, Search

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from membudget.governor import Governor
    from membudget.registry import Registry
    from membudget.settings import Settings


class ForeignCaches:
    """What may be shrunk in a program that knows nothing of it, and what is spared.

    That is what `caches.adopt` names, and where `is_launched`, what is found.
    """

    name = "foreign caches"

    def __init__(self, settings: Settings, registry: Registry, *, is_launched: bool) -> None:
        self._registry = registry
        self._is_launched = is_launched
        self._named: tuple[str, ...] = settings["caches.adopt"]
        self._is_spared = _matcher(settings["caches.spare"])
        self.found = FoundCaches(lambda: registry.meter, self._is_spared)
        self.search: Search | None = None
        self._unfollow: Callable[[], object] = bool

    def join(self, governor: Governor) -> None:
        """Take in what is due; one that has left may join the governor that takes its place."""
        self.search = Search(
            self.found,
            self._registry,
            governor.clock,
            named=self._named,
            is_spared=self._is_spared,
            names_only=not self._is_launched,
        )
        governor.chores.append(self.search)
        if self._is_launched:
            # The register keeps it: a budget that the program starts by itself takes it over.
            self.found.foreign = self
            self._registry.add(self.found, keep=True)
            self._unfollow = self.found.follow_functools()

    def leave(self) -> None:
        """End what `join` began; a second call does nothing."""
        self._unfollow()
        self._unfollow, self.search, self.found.foreign = bool, None, None
        self._registry.remove(self.found)

    def status(self) -> Mapping[str, Any]:
        """Found and untouched caches, the largest first, at most 50 of each."""
        found = sorted(self.found.contents(), key=lambda one: -one.entries)
        untouched = self.search.untouched if self.search is not None else []
        return {
            "found": found[:MOST_ROWS],
            "found_count": len(found),
            "untouched": untouched[:MOST_ROWS],
        }


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    if not patterns:
        return lambda _: False
    from fnmatch import translate  # only for who spares something
    from re import compile as compiled

    wanted = compiled("|".join(map(translate, patterns)))
    # Found caches are told as module:NAME, functions as module.NAME.
    return lambda name: bool(wanted.match(name) or wanted.match(name.replace(":", ".")))
