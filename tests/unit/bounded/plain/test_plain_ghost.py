"""The ghost: it knows the last keys evicted, as many as there are entries, and forgets the rest."""

from __future__ import annotations

import pytest

from membudget.bounded.plain.ghost import Ghost, tag_of


def filled(count: int, entries: int) -> Ghost:
    """A ghost of the keys 0, 1, 2 and so on."""
    ghost = Ghost()
    for number in range(count):
        ghost.add(tag_of(number), entries)
    return ghost


@pytest.mark.parametrize(
    "hashed", [0, 1, -1, 1 << 60, -(1 << 61), pytest.param(hash("text"), id="text")]
)
def test_a_tag_is_32_bits_and_never_zero(hashed: int) -> None:
    """Zero stands for an empty slot."""
    assert 0 < tag_of(hashed) < 1 << 32


def test_a_key_is_known_once() -> None:
    """Whoever took it in again has it."""
    ghost = filled(5, 10)
    assert ghost.take(tag_of(3), 10)
    assert not ghost.take(tag_of(3), 10)
    assert not ghost.take(tag_of(77), 10)


def test_a_key_is_forgotten_after_as_many_as_there_are_entries() -> None:
    """But after no fewer than sixteen."""
    ghost = filled(1000, 1000)
    assert ghost.take(tag_of(901), 100)
    assert not ghost.take(tag_of(899), 100)
    assert ghost.take(tag_of(985), 1)
    assert not ghost.take(tag_of(983), 1)


def test_it_grows_with_the_entries_and_keeps_what_it_knew() -> None:
    """One slot or more for each."""
    ghost = filled(40, 40)
    known = [number for number in range(40) if ghost.take(tag_of(number), 1000)]
    assert len(known) > 30
    ghost = filled(40, 40)
    ghost.add(tag_of(40), 5000)
    still = [number for number in range(40) if ghost.take(tag_of(number), 5000)]
    assert still == known
    assert len(ghost._slots) == 8192


def test_it_folds_where_it_is_four_times_too_large() -> None:
    """And not before, so that it does not go up and down."""
    ghost = filled(5000, 5000)
    ghost.fold(2048)
    assert len(ghost._slots) == 8192
    ghost.fold(2047)
    assert len(ghost._slots) == 8192
    ghost.fold(1000)
    assert len(ghost._slots) == 1024
    assert sum(ghost.take(tag_of(number), 1000) for number in range(4000, 5000)) > 100


def test_what_it_knows_is_bounded_by_what_was_added() -> None:
    """For the estimate of how many bytes it stands for."""
    assert filled(5, 100).known(100) == 5
    assert filled(500, 100).known(100) == 100
    assert filled(500, 100).known(3) == 16
