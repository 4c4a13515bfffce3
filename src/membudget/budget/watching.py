"""The containers that a budget watches: where their limits come from, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from membudget.watched.container import WatchedContainer

if TYPE_CHECKING:
    from membudget.governor.loop import Governor
    from membudget.settings.resolve import Settings


class Watched:
    """The watched containers of one budget; they end with its governor.

    Args:
        governor: Looks at them, is told what is over its limit, and trims.
    """

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        # The register keeps those that are watched.
        self._given: WeakKeyDictionary[WatchedContainer, dict[str, Any]] = WeakKeyDictionary()
        governor.at_stop.append(self.stop)

    def add(
        self,
        settings: Settings,
        name: str,
        container: Any,
        *,
        max_items: int | None,
        max_bytes: int | str | None,
        **options: Any,
    ) -> WatchedContainer:
        """Watch one; an argument is over a setting.

        Raises:
            ConfigError: An argument that cannot be used as given.
        """
        limits = {"max_items": max_items, "max_bytes": max_bytes}
        given = {word: value for word, value in limits.items() if value is not None}
        governor = self._governor
        watched = WatchedContainer(
            name,
            container,
            **{**settings.component(name), **given},
            **options,
            tell=governor.tell,
            registry=governor.registry,
            clock=governor.clock,
        )
        self._given[watched] = given
        return watched

    def take_settings(self, settings: Settings) -> None:
        """Give each the limits that hold from now on."""
        for watched, given in list(self._given.items()):
            watched.limit(**{**settings.component(watched.name), **given})

    def stop(self) -> None:
        """Watch none of them any longer."""
        for watched in list(self._given):
            watched.stop()
