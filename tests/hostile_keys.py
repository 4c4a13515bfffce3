"""Keys that use what holds them whenever they are compared, and fail now and then."""

import contextlib
import random
from collections.abc import Callable


class Broken:
    """A key that fails where it is asked to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __hash__(self) -> int:
        if self.where == "hash":
            raise ValueError(self.where)
        return hash(1)  # As a key that is held.

    def __eq__(self, other: object) -> bool:
        raise ValueError(self.where)


class Hostile:
    """Keys that all collide, and come back to their container whenever they are compared."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self.number = number
        self.act = act

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        self.act()
        return isinstance(other, Hostile) and other.number == self.number


class HostileUse:
    """Uses of a container by such keys: `step` makes one, with a key given and something drawn."""

    def __init__(self, step: Callable[[Hostile, int], None], seed: int, fails: float) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # no secret depends on it
        self.fails = fails
        self._use = step
        self._depth = 0

    def run(self, times: int, *errors: type[Exception]) -> None:
        """So many, the errors of keys aside."""
        for _ in range(times):
            with contextlib.suppress(ZeroDivisionError, *errors):
                self._step()

    def _step(self) -> None:
        number, what = self.chance.randrange(40), self.chance.randrange(80)
        self._use(Hostile(number, self._compared), what)

    def _compared(self) -> None:
        if self.chance.random() < self.fails:
            raise ZeroDivisionError
        if self._depth >= 2 or self.chance.random() > 0.05:
            return
        self._depth += 1
        try:
            self._step()
        finally:
            self._depth -= 1
