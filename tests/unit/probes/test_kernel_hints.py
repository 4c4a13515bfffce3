"""Laws of kernel wake-ups, on files, queues and sockets of the kinds that are handed out."""

import os
import select
import shutil
import socket
from base64 import b64encode
from pathlib import Path

import pytest

from membudget.core import Hint
from membudget.errors import ProbeError
from membudget.probes.cgroup import cgroup_probe
from membudget.probes.hints import kernel_hints

LAYOUTS = Path(__file__).parents[2] / "fixtures" / "cgroups"
NOWHERE = "/nowhere/pressure"
pytestmark = pytest.mark.skipif(not hasattr(select, "POLLPRI"), reason="no poll() here")


def watch(path: Path, trigger: bytes = b"") -> dict[str, str]:
    """The environment in which a service manager asks to watch a path."""
    return {
        "MEMORY_PRESSURE_WATCH": str(path),
        "MEMORY_PRESSURE_WRITE": b64encode(trigger).decode(),
    }


def only_hint(environ: dict[str, str]) -> Hint:
    """The one hint that this environment gives."""
    (hint,) = kernel_hints(None, [], environ=environ, pressure=NOWHERE)
    return hint


def is_ready(hint: Hint) -> bool:
    """Whether the hint's descriptor is ready now."""
    poll = select.poll()
    poll.register(hint.fileno(), hint.events)
    return bool(poll.poll(0))


def test_a_fifo_of_the_service_manager_wakes_and_can_wake_again(tmp_path: Path) -> None:
    """What is written into the queue wakes us, is discarded, and the next writing wakes again."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hint = only_hint(watch(fifo))
    with fifo.open("wb", buffering=0) as manager:
        assert not is_ready(hint)
        for _ in range(2):
            manager.write(b"pressure")
            assert is_ready(hint)
            hint.clear()
            assert not is_ready(hint)
        hint.clear()
    hint.close()


def test_a_socket_of_the_service_manager_gets_the_trigger_and_wakes(tmp_path: Path) -> None:
    """A socket is connected to, told what to watch for, and its end is told instead of spinning."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        hint = only_hint(watch(path, b"some 1 2"))
        manager, _address = listener.accept()
        with manager:
            assert manager.recv(100) == b"some 1 2"
            assert not is_ready(hint)
            manager.send(b"x")
            assert is_ready(hint)
            hint.clear()
        assert is_ready(hint)
        with pytest.raises(ProbeError, match="ended: close it"):
            hint.clear()
    hint.close()


def test_a_file_of_the_service_manager_gets_the_trigger(tmp_path: Path) -> None:
    """A file is a pressure file: the trigger goes in, and the wake-up is an urgent one."""
    path = tmp_path / "memory.pressure"
    path.write_bytes(b"")
    hint = only_hint(watch(path, b"some 123000 2000000\0"))
    assert path.read_bytes() == b"some 123000 2000000\0"
    assert hint.events == select.POLLPRI
    hint.close()


@pytest.mark.parametrize("path", ["/dev/null", ""])
def test_the_service_manager_can_switch_watching_off(path: str) -> None:
    """Then the machine's own pressure is not watched either."""
    assert kernel_hints(None, [], environ={"MEMORY_PRESSURE_WATCH": path}) == []


def test_a_trigger_that_is_not_base64_is_left_out(tmp_path: Path) -> None:
    """A mistake in the environment costs one hint, not the start."""
    environ = watch(tmp_path / "x") | {"MEMORY_PRESSURE_WRITE": "a"}
    assert kernel_hints(None, [], environ=environ) == []


def test_what_cannot_be_had_is_left_out() -> None:
    """A tree of plain files takes no thresholds, and there is no pressure file."""
    probe = cgroup_probe(root=str(LAYOUTS / "v1"))
    assert kernel_hints(probe, [1 << 20], environ={}, pressure=NOWHERE) == []


def test_v2_gives_the_groups_own_events_and_pressure(tmp_path: Path) -> None:
    """With v2 the group is watched itself, before the machine is."""
    root = Path(shutil.copytree(LAYOUTS / "v2", tmp_path / "v2"))
    group = root / "sys/fs/cgroup/system.slice/web.service"
    (group / "memory.pressure").write_text("")
    hints = kernel_hints(cgroup_probe(root=str(root)), [], environ={}, pressure=NOWHERE)
    assert [hint.name for hint in hints] == [
        str(group / "memory.events"),
        str(group / "memory.pressure"),
    ]
    assert (group / "memory.pressure").read_bytes() == b"some 150000 2000000\0"
    for hint in hints:
        hint.clear()
        hint.close()


def test_without_a_pressure_file_of_the_group_the_machines_is_watched(tmp_path: Path) -> None:
    """Kernels may count pressure for the machine and not for groups."""
    pressure = tmp_path / "pressure"
    pressure.write_text("")
    probe = cgroup_probe(root=str(LAYOUTS / "v2"))
    hints = kernel_hints(probe, [], environ={}, pressure=str(pressure))
    assert [hint.name for hint in hints][1:] == [str(pressure)]
    for hint in hints:
        hint.close()


def test_the_kernel_takes_our_trigger() -> None:
    """The trigger is one that this kernel accepts, and it is quiet while nobody waits."""
    path = Path("/proc/pressure/memory")
    if not os.access(path, os.R_OK | os.W_OK):
        pytest.skip("pressure stall information cannot be watched here")
    hints = kernel_hints(None, [], environ={})
    assert [hint.name for hint in hints] == [str(path)]
    hints[0].clear()
    hints[0].close()


def test_a_hint_closed_twice_is_closed_once(tmp_path: Path) -> None:
    """A second close must not hit a descriptor that was given to somebody else since."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hint = only_hint(watch(fifo))
    number = hint.fileno()
    hint.close()
    other = os.open(os.devnull, os.O_RDONLY)
    assert other == number
    hint.close()
    os.close(other)
