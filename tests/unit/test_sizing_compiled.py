"""The compiled sizer: shares between entries, types that come and go, no trace left."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from membudget import _native
from membudget.cache.cache import Cache
from membudget.registry import Registry
from membudget.sizing import NODES, register, unregister
from sizing_scene import registered

CORE: Any = _native.core

pytestmark = pytest.mark.skipif(CORE is None, reason="the compiled core was not built")


def size_of(value: object) -> int:
    """The compiled answer, whatever the environment asks for."""
    size: int = CORE.size_of(value, NODES)
    return size


def entry_bytes(key: object, value: object) -> int:
    size: int = CORE.entry(key, value)
    return size


def entries_sharing(count: int) -> tuple[list[dict[str, Any]], int]:
    """Values that refer to one list which nobody else holds, and the bytes of that list."""
    shared = [number * 1.5 for number in range(500)]
    return [{"own": number + 5000, "all": shared} for number in range(count)], size_of(shared)


def charges(values: list[Any], shares: Any) -> list[int]:
    return [CORE.entry(None, value, shares) for value in values]


def test_entries_that_share_a_part_pay_it_together() -> None:
    values, part = entries_sharing(10)
    alone = size_of({"own": 5000, "all": None})
    shares = CORE.new_shares()
    charges(values, shares)
    noted = 10 * 44  # What noting who shares it costs.
    assert sum(charges(values, shares)) == pytest.approx(part + 10 * alone + noted, rel=0.02)


def test_a_part_the_program_holds_is_paid_by_nobody() -> None:
    values, part = entries_sharing(10)
    held = values[0]["all"]
    shares = CORE.new_shares()
    charges(values, shares)
    assert max(charges(values, shares)) < part / 4
    assert held


def test_entries_that_left_pay_nothing_and_the_others_more() -> None:
    values, part = entries_sharing(10)
    shares = CORE.new_shares()
    charges(values, shares)
    while len(values) > 2:
        CORE.gone(None, values[-1], shares)
        del values[-1]
    alone = size_of({"own": 5000, "all": None})
    assert charges(values, shares) == pytest.approx([part / 2 + alone] * 2, rel=0.02)


def test_a_turnover_of_views_never_makes_the_table_the_owner() -> None:
    """A thousand slices of an array come and go; at no time is one charged for the array."""
    array = np.zeros(100_000)
    shares = CORE.new_shares()
    held: list[Any] = []
    for number in range(1000):
        view = [array[number : number + 10]]
        assert CORE.entry(number, view, shares) < 1000
        held.append(view)
        if len(held) > 20:
            CORE.gone(None, held[0], shares)
            del held[0]
    assert array.size


def test_what_is_known_of_shares_holds_while_entries_come_and_go() -> None:
    """However many: pairs that share a part pay a half each, and one that is left pays all."""
    shares = CORE.new_shares()
    pairs = [[[part], [part]] for part in (f"{number:300d}" for number in range(5000))]
    left = []
    for number, pair in enumerate(pairs):
        charges(pair, shares)
        if number % 3 == 0:
            CORE.gone(None, pair.pop(), shares)
            left.append(pair)
    alone = size_of(left[0][0])
    assert {charge for pair in left for charge in charges(pair, shares)} == {alone}
    both = [pair for pair in pairs if len(pair) > 1]
    half = alone - size_of(left[0][0][0]) // 2 + 44
    assert {charge for pair in both for charge in charges(pair, shares)} == {half}


def test_shares_are_bounded() -> None:
    """More links than the bound: what was known is forgotten, and the charges stay sane."""
    words = [f"{number:100d}" for number in range(50_000)]
    shares = CORE.new_shares()
    rows = [words[start : start + 100] for start in range(0, 50_000, 100)]
    for _ in range(3):
        assert all(0 < charge < 20_000 for charge in charges(rows, shares))


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "text", b"bytes", (1, "a", 2.5), ()])
def test_an_atom_and_a_tuple_of_atoms_keep_their_size(value: object) -> None:
    assert CORE.is_atomic(value)


@pytest.mark.parametrize("value", [[], {}, (1, []), bytearray(5), object()])
def test_all_else_may_change_its_size(value: object) -> None:
    assert not CORE.is_atomic(value)


def test_classes_that_come_and_go_are_not_confused() -> None:
    sizes: dict[str, set[int]] = {"slots": set(), "tuple": set()}
    for _ in range(2000):
        made = type("Slots", (), {"__slots__": ("a", "b", "c", "d")})()
        sizes["slots"].add(size_of(made))
        sizes["tuple"].add(size_of(type("Pair", (tuple,), {"__slots__": ()})((1.5, 2.5))))
    assert len(sizes["slots"]) == len(sizes["tuple"]) == 1
    assert sizes["slots"] != sizes["tuple"]


def test_a_class_dies_although_its_objects_were_weighed() -> None:
    """What is kept of a type does not keep it alive."""

    class Mark:
        """Counts those left."""

    def weigh_one() -> None:
        kind = type("Passing", (), {"mark": Mark()})
        size_of(kind())

    weigh_one()
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, Mark)]


class Hostile(type):
    """A metaclass that answers for its classes."""

    def __getattribute__(cls, name: str) -> Any:
        if name in {"__mro__", "__dict__", "__name__", "held_bytes", "__sizeof__"}:
            raise AssertionError(name)
        return super().__getattribute__(name)


class Odd(list[Any], metaclass=Hostile):
    """A list with ideas of its own."""

    def __iter__(self) -> Any:
        raise AssertionError("iterated")

    def __len__(self) -> int:
        raise AssertionError("asked")

    def __sizeof__(self) -> int:
        raise AssertionError("asked")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    __hash__ = None


def test_no_code_of_a_class_runs() -> None:
    odd = Odd([1.5, 2.5 * CORE.is_atomic(1)])
    size, charge = size_of([odd, odd]), entry_bytes(None, odd)
    assert 0 < size < 1000
    assert 0 < charge < 1000


def test_a_class_that_cannot_be_hashed_or_compared_is_weighed() -> None:
    class Proud(type):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(cls, other: object) -> bool:
            raise AssertionError("asked")

    class Model(metaclass=Proud):
        """One of its classes."""

    class Other:
        """Registered, so that the register is looked through."""

    with registered(Other, lambda _: 1):
        assert 0 < size_of(Model()) < 500
        assert 0 < entry_bytes("key", [Model()]) < 1000


def test_no_dict_is_made_for_an_instance() -> None:
    """The interpreter makes it on demand, and it stays; the size would grow."""

    class Plain:
        def __init__(self) -> None:
            self.number = 1.5

    held = [Plain() for _ in range(100)]
    size_of(held)
    blocks = sys.getallocatedblocks()
    for one in held:
        size_of(one)
        entry_bytes(None, one)
    assert sys.getallocatedblocks() - blocks < 20


def test_an_instance_with_a_dict_counts_its_attributes_once() -> None:
    """On some versions both the instance and the dict lead to them."""

    class Plain:
        def __init__(self) -> None:
            self.numbers = [number * 1.5 for number in range(100)]

    plain, made = Plain(), Plain()
    assert made.__dict__
    assert 0 <= size_of(made) - size_of(plain) < 700
    assert 0 <= entry_bytes(None, made) - entry_bytes(None, plain) < 700


def test_a_function_that_is_asked_may_weigh_and_change_things() -> None:
    """It runs between two walks, never within one."""

    class Model:
        def __init__(self) -> None:
            self.parts: list[Any] = [1.5 * number for number in range(10)]

    def weigh(model: Model) -> int:
        model.parts.clear()
        register(Other, lambda _: 3)
        gc.collect()
        return size_of([2.5, [3.5]]) and 1000

    class Other:
        pass

    register(Model, weigh)
    try:
        value = [Model(), Other(), [Model()], Other()]
        assert size_of(value) > 2000
        assert entry_bytes(None, value) > 2000
    finally:
        unregister(Model)
        unregister(Other)


def test_a_sample_asks_too() -> None:
    class Model:
        pass

    with registered(Model, lambda _: 1000):
        values = [[Model(), number * 1.5] for number in range(6000)]
        size, _, is_exact = CORE.measure(values, NODES)
    assert not is_exact
    assert size == pytest.approx(6000 * (1000 + size_of([None, None]) + 32 + 8), rel=0.02)


def test_an_object_that_changes_is_weighed_as_it_is_now() -> None:
    value: list[Any] = [1.5]
    before = size_of(value)
    value += [number * 1.5 for number in range(1000)]
    assert size_of(value) > before + 30_000
    value.clear()
    assert size_of(value) <= before


def test_weighing_leaves_no_block_behind() -> None:
    part = [number * 1.5 for number in range(50)]
    value = {"part": part, "rest": [{"a": (1.5, "some text")}, {"b": part}, np.zeros(10)]}
    shares = CORE.new_shares()
    size_of(value), CORE.entry("key", value, shares)
    CORE.gone("key", value, shares)
    before = sys.getallocatedblocks()
    for _ in range(25_000):
        size_of(value)
        CORE.measure(value, 5)
        CORE.entry("key", value, shares)
        CORE.gone("key", value, shares)
    assert sys.getallocatedblocks() - before < 20


SCRIPT = """
import membudget.sizing as sizing
print(sizing.IS_COMPILED, sizing.size_of([[float(n)] for n in range(100)]))
"""


def told(**environment: str) -> list[str]:
    """What the script prints in a process with such an environment."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_the_environment_can_ask_for_plain_python() -> None:
    assert told(MEMBUDGET_PURE="1") == ["False", told(MEMBUDGET_PURE="0")[1]]


OTHER = """
import sys
import time
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
USE = "from membudget import Cache; Cache('c', max_entries=9).set(1, [type('A', (), {})()])"
other = interpreters.create()
interpreters.run_string(other, f"import sys; sys.path[:] = {sys.path!r}")
interpreters.run_string(other, USE)
interpreters.destroy(other)
exec(USE)
print("well")
"""


def test_another_interpreter_does_without_and_takes_nothing_along() -> None:
    """What the main one weighs with does not go when that one goes."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("well\n", "")


def test_the_debugging_allocator_changes_nothing() -> None:
    assert told(PYTHONMALLOC="debug") == told(PYTHONMALLOC="pymalloc")


def test_a_sum_beyond_all_memory_is_a_number_still() -> None:
    """Functions of the program may say anything: a cache refuses such a value, or counts it so."""

    class Claims:
        """Says that it holds more than there is."""

    with registered(Claims, lambda _: 1 << 62):
        for count in (3, 2 * NODES):
            value = [Claims() for _ in range(count)]
            assert size_of(value) > 1 << 61
            bounded: Cache[int, Any] = Cache("b", max_bytes="1GiB", registry=Registry())
            assert not bounded.set(1, value)
            free: Cache[int, Any] = Cache("f", max_entries=10, registry=Registry())
            for key in range(10):
                assert free.set(key, [value[0]])
            del value
            free.reweigh(float("inf"))
            held = free.held_bytes()
            assert 0 < held < 1 << 60
            free.clear()
            assert free.held_bytes() == 0


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_a_long_container_of_a_class_of_ones_own_is_not_met_item_by_item(kind: type[Any]) -> None:
    """As one of the built-in class is not: its length is known, and a sample is taken."""
    own = type("Own", (kind,), {})
    built_in = kind(range(1_000_000))
    value = own(built_in)
    assert size_of(value) == pytest.approx(size_of(built_in), rel=0.1)
    assert _least_of(size_of, value) < _least_of(gc.get_referents, value) / 3


def _least_of(look: Callable[[Any], Any], value: Any) -> float:
    """Seconds of processor time of the quickest of ten looks: others use the processor too."""
    took = []
    for _ in range(10):
        begun = time.thread_time()
        look(value)
        took.append(time.thread_time() - begun)
    return min(took)
