"""What has joined a governor: one list, told of settings, forks and the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.governor.telling import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.core import Hint, Plugin
    from membudget.governor.telling import Teller


class Plugins:
    """The plugins of one governor, in the order in which they joined; see `core.Plugin`.

    Args:
        tell: Told of what fails.
    """

    def __init__(self, tell: Teller) -> None:
        self._tell = tell
        self._joined: list[Plugin] = []

    def __iter__(self) -> Iterator[Plugin]:
        return iter(tuple(self._joined))

    def join(self, plugin: Plugin, governor: object) -> None:
        """Take one in."""
        self._joined.append(plugin)
        if (join := getattr(plugin, "join", None)) is not None:
            join(governor)

    def leave(self) -> None:
        """End them all, the last that joined first; nobody is left."""
        self.each("leave")
        self._joined.clear()

    def member(self, name: str) -> Any:
        """What the first of them that has a member of this name has there; None where none has."""
        return next((getattr(one, name) for one in self if hasattr(one, name)), None)

    def each(self, word: str, *arguments: object) -> None:
        """Have each that can do something do it, the last that joined first."""
        for plugin in reversed(self._joined):
            if (do := getattr(plugin, word, None)) is not None:
                try:
                    do(*arguments)
                except FOREIGN as error:  # a plugin may be foreign code: it is fenced
                    self._tell.failed(f"{word} of {plugin.name}", error)

    def change_settings(self, before: Any, after: Any) -> None:
        """Have all take settings, or none.

        Raises:
            ConfigError: They do not fit one of them.
        """
        takers: list[Any] = [one for one in self if hasattr(one, "take_settings")]
        for place, plugin in enumerate(takers):
            try:
                plugin.take_settings(after)
            except BaseException:
                for earlier in takers[:place]:
                    earlier.take_settings(before)
                raise

    def hints(self, *, is_early: bool) -> list[Hint]:
        """What a new thread waits for."""
        found: list[Hint] = []
        for plugin in self:
            if (hints := getattr(plugin, "hints", None)) is not None:
                found += hints(is_early=is_early)
        return found
