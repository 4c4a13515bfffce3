"""How a session runs, and the oracle after every test: nothing of ours stays behind."""

import gc
import importlib.util
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from membudget.registry import REGISTRY

_PATIENCE = 20.0
_FETCHED = "TEST_GROUP_FETCHED"

if sys.dont_write_bytecode and sys.prefix != sys.base_prefix:
    # Hundreds of interpreters are started, and each would compile all that it imports.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = os.path.join(sys.prefix, "bytecode")

for _signal in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    # Whoever runs the tests in the background may have them ignored, and programs inherit that.
    if signal.getsignal(_signal) is signal.SIG_IGN:
        default = signal.default_int_handler if _signal is signal.SIGINT else signal.SIG_DFL
        signal.signal(_signal, default)


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Fetch what the tests need beside pytest, which alone is what `uv run` installs at first."""
    if importlib.util.find_spec("hypothesis"):
        return
    uv = os.environ.get("UV")
    if uv is None or _FETCHED in os.environ:
        raise pytest.UsageError("what the tests need is missing: uv sync --group test")
    capture: Any = pluginmanager.getplugin("capturemanager")
    capture.suspend_global_capture(in_=True)
    command = [uv, "run", "--group", "test", "pytest", *sys.argv[1:]]
    os.execve(uv, command, {**os.environ, _FETCHED: "1"})  # noqa: S606  # the uv that runs this


def pytest_configure() -> None:
    """Set no deadlines: Hypothesis fails an example that takes 200 ms, and machines are busy."""
    from hypothesis import settings

    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run whole folders on all processors, where nothing else is asked for."""
    option = config.option
    is_asked = getattr(option, "numprocesses", 0) is not None or option.dist != "no"
    if is_asked or option.usepdb or hasattr(config, "workerinput"):
        return
    if all(os.path.isdir(path) for path in config.args):
        option.numprocesses = "auto"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each test to whichever worker is free, the guest's all to one."""
    from schedule import Schedule

    return Schedule(config, log)


def _open_files() -> dict[str, str]:
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:  # The listing's own descriptor.
            continue
    return found


def _children() -> set[str]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return set(file.read().split())


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder of the test's own, with a short path: a socket's has 107 bytes at most."""
    short = "/tmp" if os.path.isdir("/tmp") else None  # noqa: S108  # made for this user alone
    with tempfile.TemporaryDirectory(prefix="mb-", dir=short, ignore_cleanup_errors=True) as path:
        yield Path(path).resolve()


@pytest.fixture(autouse=True)
def oracle() -> Iterator[None]:
    """Fail a test that leaves a thread, a child, a descriptor, a holder or a governor behind."""
    has_proc = os.path.isdir("/proc/self/fd")
    threads = set(threading.enumerate())
    files, children = (_open_files(), _children()) if has_proc else ({}, set())
    yield
    left = [one for one in threading.enumerate() if one not in threads]
    until = time.monotonic() + _PATIENCE
    for thread in left:
        thread.join(max(0.0, until - time.monotonic()))
    assert not [one.name for one in left if one.is_alive()], "threads left behind"
    assert REGISTRY.governor is None, "a governor still runs"
    if REGISTRY.holders():
        gc.collect()
    assert not [one.name for one in REGISTRY.holders()], "holders left behind"
    if has_proc:
        assert not _children() - children, "children left behind"
        new = {fd: path for fd, path in _open_files().items() if fd not in files}
        if new:  # Descriptors held only by garbage are not a leak.
            gc.collect()
            new = {fd: path for fd, path in _open_files().items() if fd not in files}
        assert not new, f"descriptors left behind: {new}"
