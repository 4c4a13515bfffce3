"""The plugin that keeps an eye on a program's own containers; loaded once there is one."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from membudget.errors import ConfigError
from membudget.watched import WatchedContainer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from membudget.governor import Governor
    from membudget.settings import Settings


class Watches:
    """The watched containers of one budget, a plugin: they end with its governor."""

    name = "watched"

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        # What the program gave, its name first; a setting gives way to it. The register keeps those
        # watched.
        self._given: WeakKeyDictionary[WatchedContainer, tuple[str, dict[str, Any]]]
        self._given = WeakKeyDictionary()

    def add(
        self, name: str, container: Any, limits: Mapping[str, Any], **options: Any
    ) -> WatchedContainer:
        """Watch one."""
        governor = self._governor
        if governor.registry.governor is not governor:
            raise ConfigError(
                f"{name!r:.80} cannot be watched, since this budget has stopped: call start() again"
            )
        given = {word: value for word, value in limits.items() if value is not None}
        watched = WatchedContainer(
            name,
            container,
            **{**governor.settings.component(name), **given},
            **options,
            tell=governor.tell,
            registry=governor.registry,
            clock=governor.clock,
        )
        self._given[watched] = name, given
        return watched

    def take_settings(self, settings: Settings) -> None:
        """Give each the limits that hold from now on."""
        for watched, (name, given) in list(self._given.items()):
            watched.limit(**{**settings.component(name), **given})

    def leave(self) -> None:
        """Watch none of them any longer."""
        for watched in list(self._given):
            watched.stop()
