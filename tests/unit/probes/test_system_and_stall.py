"""Laws of the probes that read the whole machine."""

from pathlib import Path

import psutil
import pytest

from membudget.errors import ProbeError
from membudget.probes.process import stalled_share, system_probe
from membudget.units import MIB

MACHINE = Path(__file__).parents[2] / "fixtures" / "cgroups" / "v2"
PRESSURE = (
    "some avg10=12.50 avg60=3.00 avg300=1.11 total=58761459\n"
    "full avg10=1.25 avg60=0.50 avg300=0.10 total=5846452\n"
)


def test_what_is_not_available_is_used() -> None:
    """Page cache is available; the limit is all there is."""
    reading = system_probe(str(MACHINE))()
    assert reading.used == (24684084 - 23990020) * 1024
    assert reading.limit == 24684084 * 1024
    assert reading.parts == {"available": 23990020 * 1024, "swap_free": 1048576 * 1024}


def test_a_machine_that_does_not_tell_is_an_error(tmp_path: Path) -> None:
    """Without MemAvailable nothing can be said about what is left."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:  100 kB\n")
    with pytest.raises(ProbeError, match="MemAvailable"):
        system_probe(str(tmp_path))()


def test_where_there_is_no_proc_psutil_tells_the_machine(tmp_path: Path) -> None:
    """On macOS and Windows the same figures come from psutil."""
    reading = system_probe(str(tmp_path))()
    assert reading.limit == psutil.virtual_memory().total
    assert reading.parts["available"] == pytest.approx(
        psutil.virtual_memory().available, abs=512 * MIB
    )


def test_a_stall_is_a_share_of_time(tmp_path: Path) -> None:
    """The kernel's percentage becomes a share from 0 to 1."""
    (tmp_path / "memory").write_text(PRESSURE)
    assert stalled_share(str(tmp_path / "memory")) == 0.03


@pytest.mark.parametrize("text", [None, "", "some avg10=0.00\n"])
def test_a_kernel_without_stalls_tells_none(text: str | None, tmp_path: Path) -> None:
    """Missing, empty and incomplete files are no record."""
    if text is not None:
        (tmp_path / "memory").write_text(text)
    assert stalled_share(str(tmp_path / "memory")) is None


def test_a_pressure_file_that_refuses_to_be_read_tells_none(tmp_path: Path) -> None:
    """A kernel with PSI switched off shows the file and refuses to read it."""
    assert stalled_share(str(tmp_path)) is None
