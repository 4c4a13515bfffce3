"""A slot: what is written is read by others, whole or not at all, while its process lives."""

import os
import stat
import threading
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membudget.core import Level, Pressure
from membudget.core.nouns import Status
from membudget.errors import ControlError
from membudget.host import identity_of
from membudget.host.slot import Slot, is_alive, living, read_slot

OWN = identity_of()
SIZES = st.integers(min_value=0, max_value=2**62)
SECONDS = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=16)


class Odd(Enum):
    """A level that is none."""

    FINE = 1


def figures(**changes: Any) -> dict[str, Any]:
    """What a governor writes."""
    judged = {"used": 300, "limit": 400, "source": "configured", "level": Level.WARNING}
    judged |= {"growth": 1.5, "seconds_left": 60.0}
    totals = {"peak": 350, "governed": 200, "reclaimed": 50, "wall": 1.7e9}
    given = {**judged, **totals, **changes}
    return {
        "pressure": Pressure(**{name: given[name] for name in judged}),
        **{name: given[name] for name in totals},
    }


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    slot = Slot(str(tmp_path), OWN, "service")
    yield slot
    slot.close()


@given(
    used=SIZES,
    limit=st.none() | SIZES.filter(bool),
    source=TEXT,
    growth=SECONDS,
    seconds_left=st.none() | SECONDS,
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, **some: Any) -> None:
    """Every figure arrives as it was, and None stays None."""
    written = figures(**some)
    slot = Slot(str(tmp_path_factory.getbasetemp()), OWN, "service")
    try:
        slot.write(**written)
        at, judged = written.pop("wall"), written.pop("pressure")
        assert read_slot(slot.path) == Status(
            at=at,
            name="service",
            used=judged.used,
            limit=judged.limit,
            source=judged.source,
            level=judged.level.name,
            rate=judged.growth,
            seconds_left=judged.seconds_left,
            **written,
        )
    finally:
        slot.close()


def test_figures_beyond_64_bits_are_cut_and_no_limit_stays_none(slot: Slot) -> None:
    """A limit far above every machine must not end the writing."""
    most = 2**63 - 1
    for limit in (2**63, 10**400, None):
        slot.write(
            **figures(used=10**30, limit=limit, peak=2**63, governed=-(10**30), reclaimed=2**64)
        )
        told = read_slot(slot.path)
        assert told is not None
        assert told.limit == (None if limit is None else most)
        assert (told.used, told.peak, told.governed, told.reclaimed) == (most, most, -most, most)


def test_long_texts_are_cut_at_a_character(tmp_path: Path) -> None:
    """A name in any script, and even one that is no valid text, is told as far as it goes."""
    slot = Slot(str(tmp_path), OWN, "ж" * 100)
    slot.write(**figures(source="a" + "→" * 100 + "\udcff"))
    told = read_slot(slot.path)
    assert told is not None
    assert told.name == "ж" * 32
    assert told.source == "a" + "→" * 31
    slot.close()


def test_before_the_first_writing_there_is_nothing_to_read(slot: Slot, tmp_path: Path) -> None:
    """A process is listed from its first figures on."""
    assert is_alive(slot.path)
    assert read_slot(slot.path) is None
    assert living(str(tmp_path)) == []
    slot.write(**figures())
    assert [identity for identity, _ in living(str(tmp_path))] == [OWN]


def test_only_this_user_may_read_it(slot: Slot) -> None:
    """The file keeps others out even where the folder did not."""
    status = Path(slot.path).stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_blocks > 0, "a hole would be filled at a write, and on a full disk kill"


def test_closing_removes_the_file_and_ends_the_writing(slot: Slot) -> None:
    """A write that comes late does no harm, nor does a second end."""
    slot.close()
    assert not os.path.exists(slot.path)
    assert not is_alive(slot.path)
    slot.write(**figures())
    slot.close()


def test_abandoning_leaves_the_file(slot: Slot) -> None:
    """In a forked child the file is the parent's."""
    slot.write(**figures())
    slot.abandon()
    assert os.path.exists(slot.path)
    assert not is_alive(slot.path)
    assert read_slot(slot.path) is not None
    os.unlink(slot.path)


def test_only_its_own_file_is_removed(slot: Slot) -> None:
    """Where somebody put another one under the path, that one stays."""
    os.unlink(slot.path)
    assert not slot.is_in_place()
    Path(slot.path).touch()
    assert not slot.is_in_place()
    slot.close()
    assert Path(slot.path).exists()
    os.unlink(slot.path)


def test_a_folder_removed_meanwhile_does_not_hurt_the_writer(tmp_path: Path) -> None:
    """The figures go nowhere, and the program goes on."""
    folder = tmp_path / "ours"
    folder.mkdir()
    slot = Slot(str(folder), OWN, "service")
    os.unlink(slot.path)
    folder.rmdir()
    slot.write(**figures())
    slot.close()


def test_a_second_slot_of_one_process_is_refused(slot: Slot, tmp_path: Path) -> None:
    """Two budgets in one process would overwrite each other's figures."""
    with pytest.raises(ControlError, match=r"is held already.*stop\(\) its other budget"):
        Slot(str(tmp_path), OWN, "other")
    assert slot.is_in_place()


def test_the_file_of_an_earlier_life_is_taken_over(tmp_path: Path) -> None:
    """A program that replaces itself by exec keeps its identity and finds its old file."""
    Slot(str(tmp_path), OWN, "before").abandon()
    slot = Slot(str(tmp_path), OWN, "after")
    assert is_alive(slot.path)
    slot.close()


def test_where_no_file_can_be_made_the_error_says_so(tmp_path: Path) -> None:
    """One line with the path, the reason and what to set."""
    with pytest.raises(ControlError, match=r"cannot make /.*No such file.*agent\.directory"):
        Slot(str(tmp_path / "missing"), OWN, "service")
    target = tmp_path / "target"
    (tmp_path / f"{OWN.stem}.slot").symlink_to(target)
    with pytest.raises(ControlError, match=r"is a link, .* left as it is; .* agent\.directory"):
        Slot(str(tmp_path), OWN, "service")
    assert not target.exists()


@pytest.mark.parametrize("damage", [b"", b"text\n", b"mbslot2\n" + bytes(501), bytes(509)])
def test_what_is_not_a_slot_is_not_read(tmp_path: Path, damage: bytes) -> None:
    """Empty, foreign, newer and unwritten files tell nothing."""
    path = tmp_path / f"{OWN.stem}.slot"
    path.write_bytes(damage)
    assert read_slot(str(path)) is None
    assert not is_alive(str(path))


def test_a_half_written_record_is_not_read(slot: Slot) -> None:
    """Each single byte that is not yet, or no longer, what was written is noticed."""
    slot.write(**figures())
    whole = Path(slot.path).read_bytes()
    copy = Path(slot.path + ".copy")
    for place in range(len(whole.rstrip(b"\0"))):
        copy.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_slot(str(copy)) is None


def test_special_files_are_neither_waited_for_nor_followed(slot: Slot, tmp_path: Path) -> None:
    """A FIFO would block a reader for ever, a link could lead anywhere."""
    slot.write(**figures())
    fifo, link = tmp_path / f"{OWN.replace(pid=1).stem}.slot", tmp_path / "link.slot"
    os.mkfifo(fifo)
    link.symlink_to(slot.path)
    assert read_slot(str(fifo)) is None
    assert read_slot(str(link)) is None
    assert not is_alive(str(link))
    assert len(living(str(tmp_path))) == 1


def test_the_living_are_listed_by_pid_and_the_dead_are_not(slot: Slot, tmp_path: Path) -> None:
    """The same number in two containers is two processes."""
    slot.write(**figures())
    others = [OWN.replace(pid=1), OWN.replace(pid=1, namespace=1)]
    slots = [Slot(str(tmp_path), other, "other") for other in others]
    dead = Slot(str(tmp_path), OWN.replace(pid=2), "dead")
    for one in (*slots, dead):
        one.write(**figures())
    dead.abandon()
    assert [identity for identity, _ in living(str(tmp_path))] == [*others[::-1], OWN]
    for one in slots:
        one.close()
    assert living(str(tmp_path / "missing")) == []


def test_a_reader_beside_a_writer_sees_whole_records_only(slot: Slot) -> None:
    """Figures that belong together are read together, however fast they are written."""
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            slot.write(**figures(used=number, peak=number, source=str(number)))

    slot.write(**figures(used=0, peak=0, source="0"))
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2000):
            told = read_slot(slot.path)
            assert told is not None
            assert told.used == told.peak == int(told.source)
    finally:
        done.set()
        writer.join()


@pytest.mark.parametrize(
    "odd",
    [
        {"used": -1},
        {"limit": 0},
        {"limit": -5},
        {"level": Odd.FINE},
        {"growth": float("nan")},
        {"growth": float("inf")},
        {"seconds_left": float("nan")},
        {"wall": float("-inf")},
    ],
)
def test_figures_that_cannot_be_are_none(slot: Slot, odd: dict[str, Any]) -> None:
    """Whoever wrote them: nobody counts with them or shows them."""
    slot.write(**figures(**odd))
    assert read_slot(slot.path) is None
    assert living(os.path.dirname(slot.path)) == []


def test_what_stands_in_the_place_of_a_slot_is_left_as_it_is(tmp_path: Path) -> None:
    """A document, and one that has a second name there."""
    document = tmp_path / "document"
    document.write_text("dear diary")
    document.chmod(0o600)
    os.link(document, tmp_path / f"{OWN.stem}.slot")
    with pytest.raises(ControlError, match="is not a file of membudget's"):
        Slot(str(tmp_path), OWN, "service")
    assert document.read_text() == "dear diary"
