"""A small heap for all tests of parts: the runner's own has a million objects."""

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeClock
from membudget.heap import roots
from membudget.registry import Registry

_HELPERS = Path(__file__).parents[1]


@pytest.fixture
def registry() -> Registry:
    """A register without a budget."""
    return Registry()


@pytest.fixture
def clock() -> FakeClock:
    """A clock turned by hand."""
    return FakeClock()


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No collection but the test's own: what goes is gone with its last reference."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads that take turns every few bytecodes."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(autouse=True)
def _small_heap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have walks of the process begin at the test's module and its helpers alone."""
    namespaces, passed = roots.namespaces, roots.own_namespaces

    def own() -> tuple[str, ...]:
        files = [(name, getattr(one, "__file__", None)) for name, one in list(sys.modules.items())]
        helpers = [name for name, file in files if file and Path(file).parent == _HELPERS]
        return tuple(f"{name}." for name in (request.module.__name__, *helpers))

    def small(find: Callable[[], Iterator[tuple[str, Any]]]) -> Callable[[], Iterator[Any]]:
        def found() -> Iterator[tuple[str, Any]]:
            kept = own()
            return (root for root in find() if any(one in f"{root[0]}." for one in kept))

        return found

    def others() -> list[int]:
        # What a task waits for is found by way of asyncio.
        kept = ("asyncio.", *own())
        names = ((f"{name}.", space) for name, space in namespaces())
        return passed() + [id(one) for name, one in names if not any(part in name for part in kept)]

    monkeypatch.setattr(roots, "namespaces", small(namespaces))
    monkeypatch.setattr(roots, "variables", small(roots.variables))
    monkeypatch.setattr(roots, "own_namespaces", others)
