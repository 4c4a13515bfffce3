"""Texts of the kernel are read whole, and what cannot be read is told with its path."""

import mmap
import sys
import threading
from pathlib import Path

import pytest

from membudget.errors import ProbeError
from membudget.probes.kernel_files import KernelFile, read_whole


@pytest.mark.parametrize("takes_long", [False, True])
@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 100_000])
def test_a_text_is_whole_whatever_its_length(
    tmp_path: Path, size: int, *, takes_long: bool
) -> None:
    """A file may be longer than what is read at once."""
    text = bytes(number % 251 for number in range(size))
    (tmp_path / "text").write_bytes(text)
    assert read_whole(str(tmp_path / "text"), takes_long=takes_long) == text


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own files")
def test_a_file_of_many_records_is_whole() -> None:
    """The kernel tells it by the page, whatever is asked for: a host's mounts may take more."""
    pages = [mmap.mmap(-1, mmap.PAGESIZE, prot=1 + 2 * (number % 2)) for number in range(200)]
    text = read_whole("/proc/self/maps") or b""
    assert text.count(b"\n") >= len(pages)


@pytest.mark.parametrize("takes_long", [False, True])
def test_what_is_not_there_is_none_and_what_cannot_be_read_is_told(
    tmp_path: Path, *, takes_long: bool
) -> None:
    """A file that a kernel does not have is no error."""
    assert read_whole(str(tmp_path / "none"), takes_long=takes_long) is None
    assert read_whole(str(tmp_path / "none" / "below"), takes_long=takes_long) is None
    with pytest.raises(ProbeError, match=str(tmp_path)):
        read_whole(str(tmp_path), takes_long=takes_long)


def test_a_file_that_stays_open_is_read_as_it_is_now(tmp_path: Path) -> None:
    """Also beside threads that compute; once closed, that is told with its path."""
    path = tmp_path / "text"
    path.write_bytes(b"1")
    file = KernelFile(str(path))
    assert file.read() == b"1"
    path.write_bytes(b"22")
    assert file.read() == b"22"
    is_over = threading.Event()
    busy = threading.Thread(target=lambda: [None for _ in iter(is_over.is_set, True)])
    busy.start()
    try:
        assert {file.read() for _ in range(100)} == {b"22"}
    finally:
        is_over.set()
        busy.join()
    file.close()
    with pytest.raises(ProbeError, match=str(path)):
        file.read()
