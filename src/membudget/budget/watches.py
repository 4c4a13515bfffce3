"""The containers that a budget watches: where their limits come from, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from membudget.errors import ConfigError
from membudget.watched.container import WatchedContainer

if TYPE_CHECKING:
    from membudget.governor.loop import Governor
    from membudget.settings.resolve import Settings


class Watched:
    """The watched containers of one budget, a plugin: they end with its governor.

    Args:
        governor: Looks at them, is told what is over its limit, and trims.
    """

    name = "watched"

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        # The register keeps those that are watched.
        self._given: WeakKeyDictionary[WatchedContainer, dict[str, Any]] = WeakKeyDictionary()

    def add(
        self,
        name: str,
        container: Any,
        *,
        max_items: int | None,
        max_bytes: int | str | None,
        **options: Any,
    ) -> WatchedContainer:
        """Watch one, and whatever had that name no longer; an argument is over a setting.

        Raises:
            ConfigError: An argument that cannot be used as given, or the budget has stopped.
        """
        if self._governor.registry.governor is not self._governor:
            raise ConfigError(
                f"{name!r:.80} cannot be watched, since this budget has stopped: call start() again"
            )
        limits = {"max_items": max_items, "max_bytes": max_bytes}
        given = {word: value for word, value in limits.items() if value is not None}
        governor = self._governor
        watched = WatchedContainer(
            name,
            container,
            **{**governor.settings.component(name), **given},
            **options,
            tell=governor.tell,
            registry=governor.registry,
            clock=governor.clock,
        )
        for earlier in [one for one in self._given if one.name == watched.name]:
            earlier.stop()
            del self._given[earlier]
        self._given[watched] = given
        return watched

    def take_settings(self, settings: Settings) -> None:
        """Give each the limits that hold from now on."""
        for watched, given in list(self._given.items()):
            watched.limit(**{**settings.component(watched.name), **given})

    def leave(self) -> None:
        """Watch none of them any longer."""
        for watched in list(self._given):
            watched.stop()
