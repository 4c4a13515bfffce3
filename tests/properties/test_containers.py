"""The bounded containers against the builtins with a bound applied by hand: the same answers."""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from membudget.containers.list import BoundedDeque, BoundedList
from membudget.containers.ordered import BoundedDict, BoundedSet
from membudget.containers.sequence import SLOT_BYTES
from membudget.registry import Registry
from membudget.sizing import size_of

VALUES = st.integers(1, 400)
PLACES = st.integers(-6, 6)
SLICES = st.builds(slice, st.none() | PLACES, st.none() | PLACES, st.none())
STEPPED = st.builds(slice, st.none() | PLACES, st.none() | PLACES, st.sampled_from([-2, -1, 1, 3]))
MANY = st.lists(VALUES, max_size=6)
ITEMS = st.none() | st.integers(1, 8)
BYTES = st.none() | st.integers(100, 2_000)
RUN = settings(max_examples=150, deadline=None)

Op = tuple[str, tuple[Any, ...]]


def ops(**kinds: tuple[st.SearchStrategy[Any], ...]) -> st.SearchStrategy[list[Op]]:
    one = [st.tuples(st.just(name), st.tuples(*args)) for name, args in kinds.items()]
    return st.lists(st.one_of(one), max_size=30)


def outcome(one: Any, name: str, args: tuple[Any, ...]) -> tuple[str, Any]:
    """What came of calling a method: a value, or the kind of an error."""
    return outcome_of(lambda: plain(getattr(one, name)(*args)))


def outcome_of(act: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "value", act()
    except (LookupError, ValueError, TypeError) as error:
        return "error", type(error)


def plain(value: Any) -> Any:
    """An answer in the builtins' terms: a container that returns itself gives its items."""
    return list(value) if isinstance(value, (list, deque, BoundedList, BoundedDeque)) else value


def weight(value: int) -> int:
    heavy = value + SLOT_BYTES
    return heavy if heavy <= 256 else heavy + 32


COMMON: dict[str, tuple[st.SearchStrategy[Any], ...]] = {
    "append": (VALUES,),
    "extend": (MANY,),
    "__iadd__": (MANY,),
    "__imul__": (st.integers(-1, 3),),
    "__contains__": (VALUES,),
    "__setitem__": (PLACES, VALUES),
    "__delitem__": (PLACES,),
    "__getitem__": (PLACES,),
    "insert": (PLACES, VALUES),
    "index": (VALUES,),
    "count": (VALUES,),
    "remove": (VALUES,),
    "reverse": (),
    "pop": (),
    "clear": (),
    "copy": (),
    "__len__": (),
    "__add__": (MANY,),
    "__eq__": (MANY,),
    "__lt__": (MANY,),
}


def fitting(op: Op, most: float) -> Op | None:
    """An operation as a builtin would do it to which heavy values are not given at all."""
    name, args = op
    if name in ("append", "appendleft") and weight(args[0]) > most:
        return None
    if name in ("extend", "extendleft", "__iadd__"):
        return name, ([value for value in args[0] if weight(value) <= most],)
    if name == "__setitem__" and isinstance(args[0], slice):
        return name, (args[0], [value for value in args[1] if weight(value) <= most])
    if name == "__setitem__" and weight(args[1]) > most:
        return "__delitem__", args[:1]
    if name == "insert" and weight(args[1]) > most:
        return None
    return op


def bound_by_hand(model: Any, items: float, most: float, *, leftward: bool) -> int:
    """Drop from the end that was not added to, until the bounds are kept; returns how many."""
    dropped = 0
    while len(model) > items or sum(map(weight, model)) > most:
        del model[-1 if leftward else 0]
        dropped += 1
    return dropped


def check_sequence(tested: Any, model: Any, dropped: list[int], total: int) -> None:
    assert list(tested) == list(model)
    assert list(reversed(tested)) == list(reversed(model))
    assert len(tested) == len(model)
    assert bool(tested) == bool(model)
    assert tested.held_bytes() == sum(map(weight, model))
    assert list(tested._weights)[tested._first :] == list(map(weight, model))
    stats = tested.stats()
    assert (stats.items, stats.bytes) == (len(model), tested.held_bytes())
    assert sum(stats.dropped.values()) == len(dropped) == total


def run_sequence(made: Callable[..., Any], model: Any, bounds: tuple[Any, Any], todo: Any) -> None:
    items, most = bounds[0] or float("inf"), bounds[1] or float("inf")
    is_deque = isinstance(model, deque)
    dropped: list[int] = []
    tested = made(*bounds, size=lambda v: v, on_drop=lambda v, _: dropped.append(v))
    total, leftward = 0, False
    for op in todo:
        name, args = op
        does = fitting(op, most)
        if name in ("__eq__", "__lt__", "__add__"):
            args = (type(model)(args[0]),)
            does = (name, args)
        if name == "insert" and is_deque and len(model) >= items and does is not None:
            assert outcome(tested, name, args) == ("error", IndexError)
            continue
        got = outcome(tested, name, args)
        if name == "__imul__":
            does = ("extend", (list(model) * (args[0] - 1),)) if args[0] > 0 else ("clear", ())
            leftward = leftward and (args[0] <= 1 or not model)
        elif name in ("extend", "__iadd__", "extendleft", "append", "appendleft") and does:
            leftward = name.endswith("left") if does[1][0] != [] else leftward
        expected: tuple[str, Any] = ("value", None)
        if does is not None:
            expected = outcome(model, *does)
        total += bound_by_hand(model, items, most, leftward=leftward and is_deque)
        if name in ("__imul__", "__iadd__"):
            expected = ("value", list(model))
        if name == "__add__" and is_deque and items != float("inf"):
            expected = ("value", list(deque(expected[1], int(items))))
        assert got == expected, op
        check_sequence(tested, model, dropped, total)


@RUN
@given(
    items=ITEMS,
    most=BYTES,
    todo=ops(
        **COMMON,
        appendleft=(VALUES,),
        extendleft=(MANY,),
        popleft=(),
        rotate=(st.integers(-9, 9),),
    ),
)
def test_a_deque_is_the_builtin_within_bounds(items: Any, most: Any, todo: Any) -> None:
    def made(maxlen: Any, max_bytes: Any, **more: Any) -> BoundedDeque[int]:
        return BoundedDeque("d", maxlen=maxlen, max_bytes=max_bytes, registry=Registry(), **more)

    run_sequence(made, deque(), (items, most), todo)


@RUN
@given(
    items=ITEMS,
    most=BYTES,
    todo=ops(
        **{**COMMON, "__getitem__": (PLACES | STEPPED,), "__delitem__": (PLACES | STEPPED,)},
        sort=(),
    ),
    cuts=ops(__setitem__=(SLICES, MANY), append=(VALUES,)),
)
def test_a_list_is_the_builtin_within_bounds(items: Any, most: Any, todo: Any, cuts: Any) -> None:
    def made(max_items: Any, max_bytes: Any, **more: Any) -> BoundedList[int]:
        return BoundedList(
            "l", max_items=max_items, max_bytes=max_bytes, registry=Registry(), **more
        )

    run_sequence(made, [], (items, most), todo + cuts)


@RUN
@given(st.integers(1, 300), st.lists(st.integers(0, 5), max_size=400))
def test_a_long_list_keeps_its_bound_at_little_cost(most: int, what: list[int]) -> None:
    """With empty places at its front, which nobody sees."""
    tested: BoundedList[int] = BoundedList("l", range(most), max_items=most, registry=Registry())
    model = list(range(most))
    for number, one in enumerate(what):
        if one < 4:
            tested.append(number)
            model = [*model, number][-most:]
        elif one == 4 and model:
            assert tested.pop(0) == model.pop(0)
        elif model:
            assert tested.pop() == model.pop()
        assert tested[-3:] == model[-3:]
    assert tested == model
    assert len(tested._items) <= 2 * len(model) + 200


def dict_weight(item: tuple[int, int]) -> int:
    return item[1] + size_of(item[0]) + BoundedDict.ENTRY_BYTES


def run_dict(op: Op, model: OrderedDict[int, int], most: float, bind: Callable[[], None]) -> Any:
    name, args = op
    pairs: list[tuple[int, int]] = []
    if name == "__setitem__":
        pairs = [args]
    elif name in ("update", "__ior__"):
        pairs = list(args[0].items())
    elif name in ("get", "__getitem__") or (name == "setdefault" and args[0] in model):
        if args[0] in model:
            model.move_to_end(args[0])
        return getattr(model, name)(*args)
    elif name == "setdefault":
        pairs = [args]
    else:
        return getattr(model, name)(*args)
    for pair in pairs:
        model.pop(pair[0], None)
        if dict_weight(pair) <= most:
            model[pair[0]] = pair[1]
        bind()
    return args[1] if name == "setdefault" else model if name == "__ior__" else None


@RUN
@given(
    items=ITEMS,
    most=BYTES,
    todo=ops(
        __setitem__=(VALUES, VALUES),
        __getitem__=(PLACES,),
        get=(PLACES, VALUES),
        setdefault=(PLACES, VALUES),
        pop=(PLACES, VALUES),
        __delitem__=(PLACES,),
        __contains__=(PLACES,),
        popitem=(st.booleans(),),
        move_to_end=(PLACES, st.booleans()),
        update=(st.dictionaries(PLACES, VALUES),),
        __ior__=(st.dictionaries(PLACES, VALUES),),
        __or__=(st.dictionaries(PLACES, VALUES),),
        __eq__=(st.dictionaries(PLACES, VALUES, max_size=2),),
        clear=(),
    ),
)
def test_a_dict_is_an_ordered_dict_in_order_of_use(items: Any, most: Any, todo: Any) -> None:
    dropped: list[tuple[int, int]] = []
    tested: BoundedDict[int, int] = BoundedDict(
        "d",
        max_items=items,
        max_bytes=most,
        size=lambda v: v,
        on_drop=lambda k, v, _: dropped.append((k, v)),
        registry=Registry(),
    )
    model: OrderedDict[int, int] = OrderedDict()
    lost: list[tuple[int, int]] = []

    def bind() -> None:
        while len(model) > (items or 99) or sum(map(dict_weight, model.items())) > (most or 1e9):
            lost.append(model.popitem(last=False))

    for op in todo:
        got = outcome(tested, *op)
        expected = outcome_of(lambda: run_dict(op, model, most or float("inf"), bind))  # noqa: B023
        assert got == expected, op
        assert list(tested.items()) == list(model.items())
        assert list(tested) == list(tested.keys()) == list(model)
        assert list(tested.values()) == list(model.values())
        assert list(reversed(tested)) == list(reversed(model))
        assert tested == model
        assert tested.held_bytes() == sum(map(dict_weight, model.items()))
        assert dropped == lost


SETS = st.sets(PLACES)


@RUN
@given(
    items=ITEMS,
    todo=ops(
        add=(PLACES,),
        discard=(PLACES,),
        remove=(PLACES,),
        update=(SETS,),
        difference_update=(SETS,),
        intersection_update=(SETS,),
        symmetric_difference_update=(SETS,),
        union=(SETS,),
        isdisjoint=(SETS,),
        issubset=(SETS,),
        **{
            f"__{name}__": (SETS,)
            for name in (
                *("and", "or", "sub", "xor", "rand", "ror", "rsub", "rxor"),
                *("iand", "ior", "isub", "ixor", "le", "lt", "ge", "gt", "eq"),
            )
        },
    ),
)
def test_a_set_is_the_builtin_within_bounds(items: Any, todo: Any) -> None:
    """The model's order of adding is a dict's."""
    tested: BoundedSet[int] = BoundedSet("s", max_items=items, registry=Registry())
    model: dict[int, None] = {}
    for op in todo:
        name, args = op
        now = set(model)
        got = outcome(tested, name, args)
        expected = outcome(now, name, args)
        order = [*args[0]] if isinstance(args[0], set) else [*args]
        model = dict.fromkeys(one for one in model if one in now)
        for one in order:  # One after the other, as they are drawn.
            if one in now:
                model.setdefault(one)
            if len(model) > (items or 99):
                del model[next(iter(model))]
        if name[:3] == "__i":
            assert got == ("value", tested)
        else:
            assert got == expected, op
        assert list(tested) == list(model)
        assert tested == set(model)
        assert set(model) == tested
        assert tested.held_bytes() == tested.copy().held_bytes()
