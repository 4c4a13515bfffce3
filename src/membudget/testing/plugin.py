"""The pytest plugin: the markers `membudget` and `no_leak`, the fixture `leak_check`.

pytest loads it at every start wherever membudget is installed, so it loads nothing else.

    @pytest.mark.membudget("64MiB")      # holds at most that much more than at its start
    @pytest.mark.no_leak                 # called again and again: nothing may stay behind
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

_HOLDS = "membudget(size): fail if the test holds more than size above its start, as in '64MiB'"
_LEAVES = (
    "no_leak(rounds=6, warmup=None, calls=None, seconds=10): call the test in rounds, its fixtures "
    "set up once, and fail if memory, tasks, threads, descriptors or children stay behind"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in (_HOLDS, _LEAVES):
        config.addinivalue_line("markers", marker)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Put the checks around a marked test; around no other."""
    size, leak = item.get_closest_marker("membudget"), item.get_closest_marker("no_leak")
    if size is None and leak is None:
        return

    def run_marked() -> None:
        from membudget.testing import markers

        del item.__dict__["runtest"]  # For it may run again.
        run = item.runtest
        if leak is not None:
            run = partial(markers.run_in_rounds, item, leak, run)
        if size is not None:
            run = partial(markers.run_within, item, size, run)
        run()

    # On the instance, so that it holds for every kind of item, whatever runs it.
    item.runtest = run_marked  # type: ignore[method-assign]


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Run a marked coroutine test that no other plugin runs: by `asyncio.run`."""
    # anyio and trio claim theirs by fixture or marker.
    has_runner = "anyio_backend" in pyfuncitem.funcargs or pyfuncitem.get_closest_marker("trio")
    if has_runner or pyfuncitem.get_closest_marker("no_leak") is None:
        return None
    from membudget.testing.rounds import is_coroutine_function

    if not is_coroutine_function(pyfuncitem.obj):
        return None
    import asyncio  # only for such tests

    names = pyfuncitem._fixtureinfo.argnames  # noqa: SLF001  # as anyio's and pytest's own do
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def leak_check(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A function that calls another in rounds and fails the test if something stays behind.

    `leak_check(function, *args, rounds=6, warmup=None, calls=None, seconds=10)` returns what was
    found; a coroutine function runs by `asyncio.run`, within a coroutine test by `await
    leak_check(...)`.
    """
    from membudget.testing.markers import checker

    return checker(request.node)
