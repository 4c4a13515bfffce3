"""Culprits: who is named, in what order, and when nobody is."""

from typing import Any

import pytest

from membudget.core.native import in_one_go
from membudget.heap import Census, Detail, Garbage
from membudget.heap.window import Line
from membudget.leaks.culprit import NATIVE, Culprit, components, located, ranking, reached
from sampling_scene import sampled

MB = 1_000_000.0


def rank(*given: Any, **options: Any) -> tuple[Culprit, ...]:
    return in_one_go(ranking(*given, **options))


def looks(
    series: dict[tuple[str, str], list[int]], details: dict[tuple[str, str], Detail] | None = None
) -> list[Census]:
    """A census an hour with these counts; the last one has the details."""
    length = len(next(iter(series.values())))
    found = []
    for hour in range(length):
        counts: dict[str, dict[str, int]] = {}
        for (kind, name), items in series.items():
            counts.setdefault(kind, {})[name] = items[hour]
        found.append(_census(hour * 3600.0, counts, details or {}))
    return found


def _census(at: float, counts: Any, details: Any) -> Census:
    return Census(at=at, objects=1, took=0.0, longest_slice=0.0, counts=counts, details=details)


def test_what_grew_in_every_interval_is_named_with_its_share() -> None:
    """Items an hour times what an item takes, against the growth."""
    key = ("dict", "shop.Store._by_id")
    detail = Detail(bytes_each=1000.0, newest="'k': dict(1)", chain=("module shop", ".store"))
    found = rank(looks({key: [100, 8100, 16_100]}, {key: detail}), growth=10 * MB)
    assert found[0].name == "shop.Store._by_id"
    assert found[0].items_per_hour == 8000.0
    assert found[0].bytes_per_hour == 8 * MB
    assert found[0].share == pytest.approx(0.8)
    assert found[0].newest == "'k': dict(1)"
    assert found[0].chain == ("module shop", ".store")


@pytest.mark.parametrize(
    "items", [[100, 300, 200], [100, 100, 400], [300, 200, 100], [100, 100, 100]]
)
def test_what_did_not_grow_in_every_interval_is_not_named(items: list[int]) -> None:
    """A buffer that fills and empties is busy, and no leak."""
    key = ("list", "shop.pending")
    detail = Detail(bytes_each=1000.0)
    assert rank(looks({key: items}, {key: detail})) == ()


def test_of_two_looks_nobody_is_accused() -> None:
    """Most of what is busy grew between any two."""
    key = ("list", "shop.rows")
    assert rank(looks({key: [1, 1_000_000]}, {key: Detail(bytes_each=1e3)}), growth=MB) == ()


def test_of_many_looks_one_may_have_stood_still() -> None:
    """At night nothing is leaked."""
    key = ("list", "shop.rows")
    found = rank(looks({key: [1, 100, 100, 200, 300]}, {key: Detail(bytes_each=1e3)}))
    assert found[0].name == "shop.rows"


def test_a_holder_comes_before_the_type_of_what_it_holds() -> None:
    """Both explain all of it, and one tells where to look."""
    holder, kind = ("dict", "shop.Store._by_id"), ("type", "shop.Session")
    details = {holder: Detail(bytes_each=900.0), kind: Detail(bytes_each=1000.0)}
    series = {holder: [1, 1001, 2001], kind: [1, 1001, 2001]}
    assert [one.kind for one in rank(looks(series, details), growth=MB)] == ["dict", "type"]


def test_types_of_the_program_come_before_those_of_the_interpreter() -> None:
    """Then what carries tracebacks; bare dicts and lists come last."""
    names = ["dict", "traceback", "shop.Session"]
    series = {("type", name): [1, 1001, 2001] for name in names}
    details = {key: Detail(bytes_each=1000.0) for key in series}
    found = rank(looks(series, details), growth=MB)
    assert [one.name for one in found] == ["shop.Session", "traceback", "dict"]
    assert "local variables" in found[1].note


def test_what_seems_to_explain_more_than_there_is_does_not_win_by_it() -> None:
    """A type is weighed by one example, which may be the largest of all."""
    holder, kind = ("set", "shop.tasks"), ("type", "shop.Session")
    details = {holder: Detail(bytes_each=900.0), kind: Detail(bytes_each=9000.0)}
    series = {holder: [1, 1001, 2001], kind: [1, 1001, 2001]}
    assert rank(looks(series, details), growth=MB)[0].kind == "set"


def test_what_lies_within_another_suspect_comes_after_it() -> None:
    """The variables of tasks grow as the tasks do."""
    inner, outer = ("list", "shop.handle.rows"), ("task", "shop.handle")
    details = {inner: Detail(bytes_each=10.0), outer: Detail(bytes_each=900.0)}
    series = {inner: [100, 100_100, 200_100], outer: [1, 1001, 2001]}
    assert [one.kind for one in rank(looks(series, details), growth=MB)] == ["task", "list"]


def test_where_nothing_explains_the_growth_it_is_native() -> None:
    """And what grew a little is still told, after that."""
    key = ("list", "shop.rows")
    found = rank(looks({key: [100, 110, 120]}, {key: Detail(bytes_each=100.0)}), growth=20 * MB)
    assert [one.name for one in found] == [NATIVE, "shop.rows"]
    assert "memray" in found[0].note
    assert found[0].share == pytest.approx(1.0, abs=0.01)


def test_a_registered_component_comes_before_the_container_behind_it() -> None:
    """The owner knows it by that name."""
    key = ("dict", "shop.Store._by_id")
    samples = [
        sampled(3600.0 * hour, 1 + 1000 * hour, name="sessions", bytes=1_000_000 * hour)
        for hour in range(3)
    ]
    parts = in_one_go(components(samples))
    series = {key: [1, 1001, 2001]}
    found = rank(looks(series, {key: Detail(bytes_each=1000.0)}), growth=MB, parts=parts)
    assert [one.name for one in found] == ["sessions", "shop.Store._by_id"]


def test_a_component_that_stands_still_is_not_named() -> None:
    assert in_one_go(components([sampled(3600.0 * hour, 9) for hour in range(3)])) == []


def test_a_component_is_named_by_its_growth_in_this_process_alone() -> None:
    """Its items and bytes over the hours."""
    samples = [sampled(0.0, 900, began=-1.0), *(sampled(3600.0 * at, at * 10) for at in (1, 2, 3))]
    (part,) = in_one_go(components(samples))
    assert (part.name, part.kind) == ("book", "watched dict")
    assert part.items_per_hour == pytest.approx(10.0)
    assert part.bytes_per_hour == pytest.approx(1000.0)


def test_a_component_with_a_bound_has_told_where_it_ends() -> None:
    """It explains its growth itself."""
    assert in_one_go(components([])) == []
    samples = [sampled(3600.0 * at, at * 10, most_items=100) for at in (1, 2, 3)]
    assert in_one_go(components(samples)) == []


def test_cycles_are_named_by_the_program_s_own_type() -> None:
    """Not by the cells and functions that come along."""
    garbage = Garbage(
        garbage=900,
        types={"cell": 450, "shop.Node": 300, "function": 150},
        bytes=1_000_000,
        over=360.0,
    )
    found = rank([], growth=10 * MB, garbage=garbage)
    assert found[0].name == "shop.Node"
    assert found[0].kind == "garbage"
    assert found[0].share == pytest.approx(1.0)
    assert "freed 900 objects; among them about 300 shop.Node" in found[0].note


def test_a_container_that_appears_later_is_found_by_the_looks_that_saw_it_grow() -> None:
    """Below the length that is counted it stood at nothing."""
    key = ("list", "shop.rows")
    series = {key: [0, 500, 1000]}
    assert rank(looks(series, {key: Detail(bytes_each=1e3)}))[0].name == "shop.rows"


@pytest.mark.parametrize(
    ("kind", "each", "share"),
    [("dict", 1000.0, 0.8), ("dict", 10.0, 0.008), ("type", 1000.0, None), ("dict", None, None)],
)
def test_what_can_be_reached_is_the_share_of_the_largest_holder(
    kind: str, each: float | None, share: float | None
) -> None:
    """A type is no holder, being weighed with all it refers to; one not weighed may hold all."""
    key = (kind, "shop.Store._by_id")
    detail = Detail(bytes_each=each, newest="", chain=())
    found = rank(looks({key: [100, 8100, 16_100]}, {key: detail}), growth=10 * MB)
    assert reached(found) == (None if share is None else pytest.approx(share))


def test_of_nobody_nothing_can_be_reached() -> None:
    assert reached(()) is None


def line(place: int, size: int) -> Line:
    """A line that allocated what stayed."""
    return Line(file="/srv/shop.py", line=place, bytes=size, blocks=1, per_hour=60.0 * size)


def test_the_likeliest_culprit_gets_the_line_that_allocated_most() -> None:
    """With its share of what stayed."""
    key = ("dict", "shop.Store._by_id")
    found = rank(looks({key: [100, 8100, 16_100]}, {key: Detail(bytes_each=1000.0)}))
    told = located(found, (line(12, 300_000), line(7, 100_000)))
    assert told[0].name == "shop.Store._by_id"
    assert told[0].note == "allocated at /srv/shop.py:12, 75% of what stayed while it was traced"
    assert located(found, ()) == found


def test_where_nobody_is_suspected_the_line_is_the_suspect() -> None:
    (told,) = located((), (line(12, 300_000),))
    assert (told.kind, told.name) == ("line", "/srv/shop.py:12")
    assert told.bytes_per_hour == 60.0 * 300_000
