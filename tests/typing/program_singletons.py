"""A user's program, checked by mypy and never run: one instance a class, as people write it."""

from __future__ import annotations

from abc import abstractmethod

from membudget.singletons import Singleton, SingletonABC, SingletonStats


class Pool(metaclass=Singleton):
    """Connections."""

    def __init__(self, size: int = 4) -> None:
        """Open them."""
        self.size = size


class Lax(metaclass=Singleton, ignore_arguments=True):
    """Whatever it is asked for with."""

    def __init__(self, path: str) -> None:
        """Open it."""
        self.path = path


class Store(metaclass=SingletonABC):
    """An abstract one."""

    @abstractmethod
    def load(self) -> bytes:
        """Read it."""


class FileStore(Store):
    """One that there is."""

    def load(self) -> bytes:
        """Read it."""
        return b""


pool: Pool = Pool(5)
size: int = Pool().size
path: str = Lax("/tmp/x").path  # noqa: S108  # never run
content: bytes = FileStore().load()
figures: list[SingletonStats] = Singleton.stats()
made: int = Pool.stats()[0].made
Pool.clear_instances()
Singleton.clear_instances(Pool)
Singleton.clear_instances()
