"""The sizer: what it says is what the allocator gave, and looking changes nothing."""

import array
import collections
import enum
import json
import logging
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest

from membudget.errors import ConfigError
from membudget.sizing import measure, register, size_of
from sizing_scene import registered, truly_allocated

HELD = 200
"""Objects of a kind that are weighed together."""


@dataclass
class Trade:
    """An ordinary instance with attributes beside it."""

    symbol: str
    price: float
    quantity: float
    side: str
    number: int


class Slotted:
    __slots__ = ("name", "parts", "price")

    def __init__(self, number: int) -> None:
        self.name = f"name {number}"
        self.parts = [number * 1.5]
        self.price = number * 2.5


class Labelled(dict[str, float]):
    """A dict with an attribute."""

    def __init__(self, number: int) -> None:
        super().__init__({f"key {number} {part}": part * 1.5 for part in range(20)})
        self.label = f"label {number}"


class Side(enum.Enum):
    """Members that exist once."""

    BUY = "buy"


Point = collections.namedtuple("Point", ["x", "y"])  # noqa: PYI024  # the untyped one is a tuple, too


def record(number: int) -> Any:
    """A JSON record of about 70 objects, parsed."""
    user = {"name": f"name {number}", "tags": [f"tag {number} {tag}" for tag in range(8)]}
    items = [{"sku": f"{number}-{item}", "price": item * 1.1, "left": 300} for item in range(8)]
    return json.loads(json.dumps({"id": number, "user": user, "items": items, "note": None}))


KINDS: dict[str, Callable[[int], Any]] = {
    "bytes": lambda number: bytes(1000) + b"%d" % number,
    "text": lambda number: f"some text {number}" * 10,
    "dict of ten ints": lambda number: {name: number + 1000 + ord(name) for name in "abcdefghij"},
    "JSON record": record,
    "JSON lines": lambda number: [record(number) for _ in range(5)],
    "list of ints": lambda number: [number + 1000 + item for item in range(100)],
    "list of strings": lambda number: [f"word {number} {word}" for word in range(100)],
    "set of strings": lambda number: {f"word {number} {word}" for word in range(50)},
    "deque": lambda number: collections.deque(number + item * 1.5 for item in range(100)),
    "ordered dict": lambda number: collections.OrderedDict(
        (f"{number} {key}", key * 1.5) for key in range(20)
    ),
    "dict subclass": Labelled,
    "named tuple": lambda number: Point(number * 1.5, number * 2.5),
    "dataclass": lambda number: Trade("BTC/EUR", number * 1.1, number * 2.2, "buy", number + 1000),
    "slots": Slotted,
    "array": lambda number: array.array("d", [number] * 500),
    "bytearray": lambda number: bytearray(500 + number),
    "numpy": lambda number: np.zeros(1000) + number,
    "numpy, reshaped": lambda number: (np.zeros(1000) + number).reshape(10, 100),
    "numpy of objects": lambda number: np.array(
        [f"{number} {i}" for i in range(100)], dtype=object
    ),
    "memoryview": lambda number: memoryview(bytes(1000 + number)),
    "DataFrame": lambda number: pd.DataFrame(np.zeros((100, 5)) + number, columns=list("abcde")),
    "DataFrame of text": lambda number: pd.DataFrame(
        {
            "price": np.arange(100) * 1.5 + number,
            "text": pd.Series([f"text {number} {row}" for row in range(100)], dtype=object),
        }
    ),
    "Series": lambda number: pd.Series(np.zeros(500) + number),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_what_the_allocator_gave(kind: str) -> None:
    """Within 10 %, against tracemalloc with each block rounded as the allocator rounds it."""
    true, held = truly_allocated(KINDS[kind], HELD)
    assert sum(map(size_of, held)) == pytest.approx(true, rel=0.10)


@pytest.mark.parametrize("kind", ["dataclass", "slots", "DataFrame", "DataFrame of text"])
def test_weighing_makes_nothing_grow(kind: str) -> None:
    """No `__dict__` appears and no index caches itself: the second weighing finds nothing more."""
    held = [KINDS[kind](number) for number in range(HELD)]
    for other in [KINDS[kind](number) for number in range(HELD)]:
        size_of(other)  # What the interpreter keeps for its own use is made now.
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for one in held:
        size_of(one)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < HELD * 32


@pytest.mark.parametrize("value", [None, True, 0, 256, "", "x", b"", (), Ellipsis, Side.BUY])
def test_what_exists_once_weighs_nothing(value: object) -> None:
    assert size_of(value) == 0


def test_what_everybody_shares_weighs_nothing() -> None:
    """A value that mentions a class, a module or a logger does not hold the program."""
    shared = [Trade, json, record, logging.getLogger("shared"), threading.current_thread(), len]
    assert size_of(shared) == size_of([None] * len(shared))


def test_what_counts_itself_weighs_nothing() -> None:
    """A value that refers to a cache does not weigh what the cache holds."""

    class Holding:
        def __init__(self) -> None:
            self.values = [number * 1.5 for number in range(1000)]

        def held_bytes(self) -> int:
            return 32_000

    assert size_of(Holding()) == 0


def test_an_object_met_twice_weighs_once() -> None:
    part = [number * 1.5 for number in range(100)]
    assert size_of([part] * 10) < size_of(part) * 1.1


def test_a_circle_ends() -> None:
    circle: list[Any] = [1.5, None]
    circle[1] = circle
    assert size_of(circle) == size_of([1.5, 2.5]) - size_of(1.5)


def test_field_names_are_weighed_only_where_the_record_owns_them() -> None:
    """Parsed records bring their own names along; those of a literal belong to the code."""
    parsed = [json.loads('{"quantity": 1.5, "price": 2.5}') for _ in range(3)]
    literal = [{"quantity": 1.5, "price": 2.5} for _ in range(3)]
    assert size_of(parsed[0]) == size_of(literal[0]) + size_of("quantity") + size_of("price")


def test_a_long_text_is_weighed_although_the_caller_still_holds_it() -> None:
    """At `set` the caller's variables still refer to the parts of a value."""
    text = "x" * 10_000
    also = [text, text]
    assert size_of({"text": text}) > 10_000
    assert also


def test_a_view_weighs_its_array_only_where_nobody_else_holds_that() -> None:
    """A slice of a big table is small; the last view of an array keeps all of it."""
    table = np.zeros(100_000)
    view = table[:10]
    assert size_of(view) < 200
    del table
    assert size_of(view) > 800_000


def test_a_released_memoryview_holds_nothing() -> None:
    """It has given back what it looked at; the two objects it consists of are left."""
    view = memoryview(bytes(10_000))
    view.release()
    assert size_of(view) < 500


def test_a_class_may_not_answer_for_itself() -> None:
    """A `__sizeof__` written in Python may do anything, so it is not asked."""

    class Boasting:
        def __sizeof__(self) -> int:
            raise AssertionError("asked")

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError("asked")

    size = size_of(Boasting())  # The first instances of a class have room for 30 attributes.
    assert 0 < size < 500


def test_a_container_may_not_answer_for_its_kind() -> None:
    class Boasting(collections.deque[int]):
        @property  # type: ignore[misc]  # it has no setter
        def __class__(self) -> Any:
            raise AssertionError("asked")

    assert size_of(Boasting([1000, 2000])) > 600


def test_a_small_value_is_weighed_exactly() -> None:
    found = measure([1000, 2000, 3.5])
    assert found.exact
    assert found.nodes == 4
    assert found.bytes == size_of([1000, 2000, 3.5])


def test_a_large_value_is_estimated_from_a_bounded_sample() -> None:
    """Of 50,000 records 1,000 objects are looked at, and the estimate is within 10 %."""
    records = [json.loads(f'{{"name": "n{n}", "price": {n}.5}}') for n in range(50_000)]
    true = sum(map(size_of, records)) + sys.getsizeof(records)
    found = measure(records, 1000)
    assert not found.exact
    assert found.nodes <= 1000
    assert found.bytes == pytest.approx(true, rel=0.10)


@pytest.mark.parametrize(
    "value",
    [
        {f"word {number}": number + 1000 for number in range(50_000)},
        {number + 1000 for number in range(50_000)},
        tuple(number * 1.5 for number in range(50_000)),
        collections.deque(number * 1.5 for number in range(50_000)),
        np.array([f"word {number}" for number in range(50_000)], dtype=object),
    ],
    ids=["dict", "set", "tuple", "deque", "object array"],
)
def test_every_large_container_is_estimated_well(value: Any) -> None:
    assert measure(value, 2000).bytes == pytest.approx(measure(value, 200_000).bytes, rel=0.10)


def test_one_large_sibling_does_not_stand_for_many_small_ones() -> None:
    """Averages are taken over siblings, and no sibling uses up the whole sample."""
    value = [list(range(1000, 50_000)), *([float(number)] for number in range(1000))]
    true = measure(value, 200_000)
    assert true.exact
    assert measure(value, 5000).bytes == pytest.approx(true.bytes, rel=0.10)


def test_a_walk_of_no_nodes_is_refused() -> None:
    with pytest.raises(ConfigError, match="nodes 0"):
        size_of([1.5], nodes=0)


class Model:
    """A type whose weight only the program knows."""

    def __init__(self, weight: Any) -> None:
        self.weight = weight


class Tuned(Model):
    """A subclass of it."""


def test_a_registered_function_says_what_its_type_holds() -> None:
    with registered(Model, lambda model: int(model.weight)):
        assert size_of(Model(12_345)) == 12_345
        assert size_of([Tuned(500)]) == size_of([None]) + 500
        with registered(Tuned, lambda _: 7):
            assert size_of(Tuned(500)) == 7
    assert size_of(Model(None)) < 500


def test_the_error_of_a_registered_function_is_the_programs_own() -> None:
    with registered(Model, lambda model: model.weight()):
        with pytest.raises(ZeroDivisionError):
            size_of(Model(lambda: 1 // 0))
        with pytest.raises(ConfigError, match="registered for Model came out as -1"):
            size_of(Model(lambda: -1))


@pytest.mark.parametrize("kind", [int, list, "Model"])
def test_only_classes_that_are_not_built_in_are_registered(kind: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be registered"):
        register(kind, lambda _: 1)


def test_weighing_imports_no_library() -> None:
    script = (
        "import sys; from membudget.sizing import size_of; size_of([object(), {1.5: 'x'}]);"
        "print([m for m in ('numpy', 'pandas', 'torch', 'asyncio', 'enum') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b"numpy" not in loaded.stdout
    assert b"pandas" not in loaded.stdout
    assert b"torch" not in loaded.stdout


def test_a_tensor_weighs_its_storage_where_it_owns_it() -> None:
    """A view of it weighs little while the tensor lives."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    tensor = torch.zeros(100_000)
    view = tensor[:10]
    assert size_of(tensor) == pytest.approx(400_000, rel=0.01)
    assert size_of(view) < 1000


def test_an_arrow_array_weighs_its_buffers() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    assert size_of(pyarrow.array(range(100_000))) == pytest.approx(800_000, rel=0.05)
