"""What a container holds, by a sample: near the truth whatever its shape, and harmless."""

import random
from collections import OrderedDict, deque
from typing import Any

import pytest

from membudget.sizing import size_of
from membudget.sizing.foreign import SAMPLED, estimate

COUNT = 30_000
DICE = random.Random(1)  # noqa: S311  # the same sizes each time


def _texts(count: int) -> list[str]:
    return ["x" * DICE.randrange(200) + str(number) for number in range(count)]


def _records(count: int) -> list[dict[str, Any]]:
    return [{"at": number + 1000, "price": number / 3, "of": "y" * 70} for number in range(count)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: dict(zip(map(str, range(COUNT)), _texts(COUNT), strict=True)),
        lambda: OrderedDict(zip(range(COUNT), _texts(COUNT), strict=True)),
        lambda: _texts(COUNT),
        lambda: _records(COUNT),
        lambda: deque(number / 3 for number in range(COUNT)),
        lambda: set(_texts(COUNT)),
        lambda: _texts(10),
        lambda: dict(enumerate(_texts(SAMPLED))),
        lambda: deque(_texts(1)),
    ],
)
def test_an_estimate_is_near_the_exact_size(make: Any) -> None:
    """Within a third, for sizes that vary; exact where all are looked at."""
    container = make()
    found: Any = estimate(container)
    assert found[1] == len(container)
    exact = size_of(container, nodes=10_000_000)
    assert 0.67 * exact < found[0] < 1.5 * exact
    if len(container) <= SAMPLED:
        assert found[0] == pytest.approx(exact, rel=0.02)


def test_what_all_items_share_counts_once() -> None:
    table = {"names": [str(number) * 10 for number in range(200)]}
    container = [(number + 1000, table) for number in range(COUNT)]
    found: Any = estimate(container)
    exact = size_of(container, nodes=10_000_000)
    assert found[0] == pytest.approx(exact, rel=0.1)
    assert found[0] / found[1] < 200


def test_what_grows_towards_its_end_is_seen_at_both_ends() -> None:
    container = {number: "x" * (number // 1000) for number in range(100_000)}
    found: Any = estimate(container)
    exact = size_of(container, nodes=10_000_000)
    assert 0.6 * exact < found[0] < 1.6 * exact


@pytest.mark.parametrize("container", [[], {}, set(), deque()])
def test_an_empty_container_weighs_itself(container: Any) -> None:
    found: Any = estimate(container)
    assert found[1] == 0
    assert 0 < found[0] < 1000


def test_what_counts_itself_is_asked() -> None:
    class Counting(list[int]):
        def held_bytes(self) -> int:
            return 12_345

    found: Any = estimate(Counting([1, 2, 3]))
    assert found == (12_345, 3)


def test_a_container_that_changes_while_it_is_looked_at_has_no_figure() -> None:
    """This time; the caller looks again."""

    class Changing(list[int]):
        def held_bytes(self) -> int:
            raise RuntimeError("deque mutated during iteration")

    assert estimate(Changing()) is None
