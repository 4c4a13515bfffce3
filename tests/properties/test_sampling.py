"""The laws of samples: what is packed or written comes back as it was, whatever it is."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from membudget.core import PartSample, Sample
from membudget.errors import ConfigError
from membudget.sampling.form import SampleRing, from_text, to_text

_CAN_BE = st.integers(0, 2**64 - 1) | st.integers(0, 300) | st.sampled_from([2**31, 2**63])
_TEXT = st.text() | st.sampled_from(["a", "b", "\ud800", "\n"])


def _maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def _samples(
    whole: st.SearchStrategy[int], number: st.SearchStrategy[float]
) -> st.SearchStrategy[Sample]:
    parts = st.builds(
        PartSample,
        name=_TEXT,
        kind=_TEXT,
        items=_maybe(whole),
        bytes=_maybe(whole),
        most_items=_maybe(whole),
        most_bytes=_maybe(whole),
        ttl=_maybe(number),
    )
    by_kind: dict[str, st.SearchStrategy[Any]] = {
        "Size": whole,
        "Amount": number,
        "bool": st.booleans(),
        "tuple[Size, Size, Size]": st.tuples(whole, whole, whole),
        "tuple[PartSample, ...]": st.lists(parts, max_size=4).map(tuple),
    }
    fields = {
        name: _maybe(by_kind[kind.removesuffix(" | None")])
        if kind.endswith("None")
        else by_kind[kind]
        for name, kind in Sample.__annotations__.items()
    }
    return st.builds(Sample, **fields)


SOUND = _samples(_CAN_BE, st.floats(0, allow_infinity=False))
SAMPLES = SOUND | _samples(
    _CAN_BE | st.integers(-3, 300) | st.sampled_from([-(2**64), 2**64, 10**400]),
    st.floats(allow_nan=False),
)


def _can_be(sample: Sample) -> bool:
    """Whether all its figures are finite and from 0 up, and the whole ones below 2^64."""
    parts = [value for part in sample.parts for value in part.as_dict().values()]
    figures = [*sample.as_dict().values(), *sample.gc_runs, *sample.gc_thresholds, *parts]
    return all(
        0 <= one < (2**64 if isinstance(one, int) else float("inf"))
        for one in figures
        if isinstance(one, (int, float))
    )


@given(samples=st.lists(SAMPLES, max_size=6), size=st.integers(1, 4))
def test_unpacking_what_was_packed_gives_the_newest_as_they_were(
    samples: list[Sample], size: int
) -> None:
    ring = SampleRing(size)
    for sample in samples:
        ring.add(sample)
    kept = samples[-size:]
    assert ring.latest() == kept


@given(
    lives=st.lists(st.lists(SAMPLES, max_size=4), max_size=3),
    size=st.integers(1, 6),
)
def test_a_ring_restored_is_the_newest_of_both_lives(lives: list[list[Sample]], size: int) -> None:
    """Whatever was restored when: those added come last, those restored before them."""
    ring = SampleRing(size)
    expected: list[Sample] = []
    for earlier in lives:
        room = size - len(expected)
        ring.restore(earlier)
        expected = (earlier[-room:] if room else []) + expected
        assert ring.latest() == expected


@given(samples=st.lists(SAMPLES, max_size=4))
def test_reading_what_was_written_gives_what_there_was(samples: list[Sample]) -> None:
    """Numbers to the last digit, and text of any letters; but figures that cannot be go alone."""
    sound = [one for one in samples if _can_be(one)]
    assert from_text(to_text(samples), "a") == sound


@given(samples=st.lists(SAMPLES, min_size=1, max_size=3), data=st.data())
def test_no_change_of_a_file_goes_unseen(samples: list[Sample], data: st.DataObject) -> None:
    """A byte exchanged, or bytes missing: it is refused in one line, or says the same."""
    text = to_text(samples)
    place = data.draw(st.integers(0, len(text) - 1))
    other = bytes([data.draw(st.integers(0, 255))])
    for broken in (text[:place], text[:place] + other + text[place + 1 :]):
        try:
            found = from_text(broken, "a")
        except ConfigError as error:
            assert "\n" not in str(error)  # noqa: PT017  # refusing is one of two good ends
        else:
            assert found == [one for one in samples if _can_be(one)]
