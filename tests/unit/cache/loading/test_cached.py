"""`cached` on plain functions: what a call is kept under, figures, and what it leaves as it was."""

import functools
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from beside import in_threads
from fakes import FakeClock
from membudget.cache.loading.cached import CacheInfo, cached
from membudget.cache.spilling.spill import Spill
from membudget.errors import ConfigError
from membudget.registry import Registry

registry = Registry()


@cached(max_entries=10, registry=registry)
def described(symbol: str, depth: int = 2) -> str:
    """What it is."""
    return symbol * depth


class Counting:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def one(self, x: Any = "default") -> Any:
        self.calls.append(x)
        return x

    def many(self, a: Any, b: Any = 2, *rest: Any, c: Any = 3, **others: Any) -> Any:
        self.calls.append((a, b, rest, c, others))
        return self.calls[-1]


@pytest.fixture
def counting() -> Counting:
    return Counting()


def test_it_stands_bare_and_with_settings() -> None:
    own = Registry()

    def plain(x: int) -> int:
        return x + 1

    bare = cached(plain)
    named = cached(registry=own, name="mine")(plain)
    assert bare(1) == named(1) == 2
    assert bare.cache.name.endswith("test_it_stands_bare_and_with_settings.<locals>.plain")
    assert [one.name for one in own.holders()] == ["mine"]


def test_it_stays_the_function_it_was() -> None:
    assert described.__name__ == "described"
    assert described.__doc__ == "What it is."
    assert described.__module__ == __name__
    assert described.__wrapped__("x", 1) == "x"


def test_it_is_pickled_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType(__name__)
    module.described = described  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, __name__, module)
    assert pickle.loads(pickle.dumps(described)) is described  # noqa: S301  # just dumped


def test_the_figures_are_those_of_the_standard_library(counting: Counting) -> None:
    def f(x: int) -> int:
        return x

    ours, theirs = cached(max_entries=3, registry=registry)(f), functools.lru_cache(3)(f)
    for step, x in enumerate([1, 2, 1, 3, 1, 2, 3, 1]):
        if step == 6:
            ours.cache_clear()
            theirs.cache_clear()
        assert ours(x) == theirs(x)
        assert tuple(ours.cache_info()) == tuple(theirs.cache_info())
    assert ours.cache_info() == CacheInfo(hits=0, misses=2, maxsize=3, currsize=2)
    assert ours.cache_parameters()["maxsize"] == 3
    assert ours.cache_parameters()["typed"] is False


def test_an_argument_is_the_same_by_position_by_name_and_by_default(counting: Counting) -> None:
    one = cached(registry=registry, key=None)(lambda x="default": counting.one(x))
    assert {one("default"), one(), one(x="default")} == {"default"}
    assert len(counting.calls) == 1

    def f(a: Any, b: Any = 2, *rest: Any, c: Any = 3) -> Any:
        return counting.many(a, b, *rest, c=c)

    many = cached(registry=registry)(f)
    assert many(1, 2, c=5) == many(1, b=2, c=5) == many(b=2, a=1, c=5) == many(a=1, c=5, b=2)
    assert len(counting.calls) == 2


def test_different_calls_are_kept_apart(counting: Counting) -> None:
    many = cached(registry=registry)(counting.many)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (("a",), {}),
        ((("a",),), {}),
        (("a", "b"), {}),
        ((("a", "b"),), {}),
        (("a",), {"c": "b"}),
        (("a",), {"d": "b"}),
        (("a", "d", "b"), {}),
        (("a", ("d", "b")), {}),
        ((1,), {}),
        (((),), {}),
    ]
    for args, kwargs in calls * 2:
        assert many(*args, **kwargs) == counting.many(*args, **kwargs)
    assert many.cache_info().misses == many.cache_info().hits == len(calls)
    one = cached(registry=registry)(counting.one)
    for x in ["a", ("a",), 1, "1", None, (), ((),)] * 2:
        assert one(x) == x
    assert one.cache_info().misses == 7


def test_what_stands_beside_a_single_parameter_counts() -> None:
    """More by position, by name, or by name alone: none of it is lost, none mixed up."""

    @cached(registry=registry)
    def rest(x: int, *others: int) -> tuple[object, ...]:
        return x, others

    @cached(registry=registry)
    def named(x: int, **others: int) -> tuple[object, ...]:
        return x, others

    @cached(registry=registry)
    def keyword(x: int, *, y: int = 0) -> tuple[object, ...]:
        return x, y

    for _ in range(2):
        assert [rest(1), rest(1, 2), rest(1, 2, 3)] == [(1, ()), (1, (2,)), (1, (2, 3))]
        assert [named(1), named(1, y=2), named(x=1)] == [(1, {}), (1, {"y": 2}), (1, {})]
        assert [keyword(1), keyword(1, y=2), keyword(x=1)] == [(1, 0), (1, 2), (1, 0)]
    assert rest.cache_info().misses == 3
    assert named.cache_info().misses == keyword.cache_info().misses == 2


def test_a_default_that_changes_calls_nothing_by_a_wrong_name() -> None:
    """A name of our own as the parameter's is no clash."""

    def first(get: str) -> str:
        return get

    def second(_key: str) -> str:
        return _key

    def third(x: str, /) -> str:
        return x

    assert cached(registry=registry)(first)(get="a") == "a"
    assert cached(registry=registry)(second)(_key="a") == "a"
    assert cached(registry=registry)(third)("a") == "a"
    with pytest.raises(TypeError, match="positional"):
        cached(registry=registry)(third)(x="a")  # type: ignore[call-arg]


def test_wrong_arguments_are_the_functions_own_error() -> None:
    """Also where a call with the right ones is kept."""
    described("x")
    for call in [
        lambda: described(*()),  # type: ignore[call-arg]
        lambda: described("x", symbol="x"),  # type: ignore[misc]
        lambda: described("x", 2, 3),  # type: ignore[call-arg]
        lambda: described("x", nothing=1),  # type: ignore[call-arg]
    ]:
        with pytest.raises(TypeError, match=r"described\(\)"):
            call()  # type: ignore[no-untyped-call]


def test_typed_keeps_equal_values_of_different_types_apart(counting: Counting) -> None:
    typed = cached(registry=registry, typed=True)(counting.many)
    for _ in range(2):
        for x in (1, 1.0, True):
            assert type(typed(x)[0]) is type(x)
            assert type(typed(0, z=x)[4]["z"]) is type(x)
    assert len(counting.calls) == 6


def test_a_key_function_says_what_counts(counting: Counting) -> None:
    keyed = cached(registry=registry, key=lambda a, **others: a["id"])(counting.many)
    assert keyed({"id": 1, "at": 5}) is keyed({"id": 1, "at": 6}, b=3)
    assert keyed({"id": 2}) is not keyed({"id": 1})
    assert len(counting.calls) == 2


def test_an_unhashable_argument_is_named(counting: Counting) -> None:
    def f(a: Any, b: Any = 1, *, c: Any = 2) -> None:
        pytest.fail("called")

    def single(first: Any) -> Any:
        return first

    one = cached(registry=registry)(single)
    with pytest.raises(TypeError, match=r"unhashable type: 'list': argument first of .*single"):
        one([])
    many = cached(registry=registry)(f)
    with pytest.raises(TypeError, match="unhashable type: 'dict': argument b of"):
        many(1, {})
    with pytest.raises(TypeError, match="unhashable type: 'set': argument c of"):
        many(1, c=set())
    with pytest.raises(TypeError, match=r"key="):
        cached(registry=registry, stale=1, ttl=1, name="stale")(f)([])


def test_a_type_error_of_an_argument_itself_passes() -> None:
    """One that its `__eq__` raised is not taken for something unhashable."""

    class Odd:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise TypeError("not to be compared")

    @cached(registry=registry)
    def one(x: Any) -> int:
        return 1

    one(Odd())
    with pytest.raises(TypeError, match="not to be compared"):
        one(Odd())


def test_recursion_ends_and_calls_each_once() -> None:
    """As deep as the standard library's goes, nearly."""
    calls = []

    @cached(registry=registry)
    def fib(n: int) -> int:
        calls.append(n)
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(200) == 280571172992510140037611932413038677189525
    assert len(calls) == 201


def test_exceptions_are_not_kept_unless_asked() -> None:
    answers: list[Any] = [OSError("down"), "up"]

    @cached(registry=registry)
    def ask(x: int) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(OSError, match="down"):
        ask(1)
    assert ask(1) == "up" == ask(1)


def test_clearing_while_loading_keeps_nothing_old() -> None:
    """Who asked before gets the old value, who asks after a new one."""
    begun, go = threading.Event(), threading.Event()
    answers = iter(["old", "new"])

    @cached(registry=registry)
    def ask(x: int) -> str:
        answer = next(answers)
        if answer == "old":
            begun.set()
            assert go.wait(20)
        return answer

    got: list[str] = []
    early = threading.Thread(target=lambda: got.append(ask(1)))
    early.start()
    assert begun.wait(20)
    ask.cache_clear()
    assert ask(1) == "new"
    go.set()
    early.join()
    assert got == ["old"]
    assert ask(1) == "new"
    assert not ask.cache._flights


def test_what_gives_something_used_up_once_is_refused() -> None:
    def generator() -> Any:
        yield 1

    async def async_generator() -> Any:
        yield 1

    with pytest.raises(ConfigError, match=r"generator is a generator function.*list"):
        cached(generator)
    with pytest.raises(ConfigError, match="is an async generator function"):
        cached(functools.partial(async_generator))

    async def coroutine() -> int:
        return 1

    def hides() -> Any:
        return coroutine()

    hidden = cached(registry=registry)(hides)
    with pytest.raises(ConfigError, match="gave a coroutine"):
        hidden()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (staticmethod(len), "put @staticmethod above @cached"),
        (classmethod(len), "put @classmethod above @cached"),  # type: ignore[arg-type]
        (dict, "class dict"),
        ("20MiB", "no function"),
    ],
)
def test_what_is_no_function_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        cached(given)


def test_anything_that_can_be_called_will_do(counting: Counting) -> None:
    class Adder:
        def __call__(self, x: int) -> int:
            return x + 1

    assert cached(registry=registry)(len)("abc") == 3
    assert cached(registry=registry)(functools.partial(pow, 2))(5) == 32
    assert cached(registry=registry)(Adder())(1) == 2
    assert cached(registry=registry)(counting.one)(5) == 5


def test_a_bound_in_bytes_is_kept() -> None:
    @cached(registry=registry, max_bytes="20KiB")
    def wide(x: int) -> bytes:
        return bytes(1000)

    for x in range(100):
        wide(x)
        assert wide.cache.held_bytes() <= 20 << 10
    assert 10 < wide.cache_info().currsize < 20


def test_what_it_evicts_spills_where_asked(tmp_path: Path, counting: Counting) -> None:
    pytest.importorskip("diskcache")
    ask: Any = cached(max_entries=1, spill=tmp_path / "spill", registry=registry)(counting.many)
    calls: list[Any] = [
        lambda: ask(1),
        lambda: ask(1, 5),
        lambda: ask(1, c=3),
        lambda: ask(1, other="x"),
    ]
    first = [call() for call in calls]
    assert ask.cache.flush_spill()
    assert ask.cache.spill_stats().entries == 3
    assert [call() for call in calls] == first
    assert len(counting.calls) == 4
    ask.cache_clear()
    assert ask.cache.spill_stats().entries == 0


def test_calls_with_names_are_the_same_after_a_restart(tmp_path: Path) -> None:
    """A kept disk finds what an earlier process was asked by name."""
    pytest.importorskip("diskcache")
    calls = 0

    def count(**named: int) -> int:
        nonlocal calls
        calls += 1
        return sum(named.values())

    for _ in range(2):
        spill = Spill(tmp_path, keep=True, key=tmp_path / "key")
        settings: dict[str, Any] = {"spill": spill, "name": "count", "registry": Registry()}
        ask = cached(max_entries=1, **settings)(count)
        assert (ask(a=1), ask(b=2), ask(c=3)) == (1, 2, 3)
        cache: Any = ask.cache
        assert cache.flush_spill()
        cache._disk.close()
    assert calls == 4  # The one in memory alone is not on the disk.


@pytest.mark.parametrize(
    ("settings", "function"),
    [({"ttl": 1, "stale": 1}, len), ({"keep_errors": 1}, len), ({}, lambda self: self)],
)
def test_what_is_bound_to_the_process_is_not_spilled(
    tmp_path: Path, settings: dict[str, Any], function: Any
) -> None:
    with pytest.raises(ConfigError, match="cannot spill"):
        cached(spill=tmp_path, registry=registry, **settings)(function)


@pytest.mark.usefixtures("uncollected")
def test_it_goes_when_the_function_goes() -> None:
    """No cycle keeps the cache of a function that was made in passing."""
    own = Registry()
    for settings in ({}, {"ttl": 1, "stale": 1}, {"typed": True}, {"key": repr}):
        made = cached(registry=own, **settings)(lambda self: 1)
        made(FakeClock())
        assert made.cache in own.holders()
        del made
        assert own.holders() == []
        assert own.chores() == []


def test_hammered_by_threads_every_answer_is_right() -> None:
    answer = cached(registry=registry, max_entries=20)(lambda x: (x, x))

    def work(seed: int) -> None:
        for step in range(5000):
            x = (seed + step * 7) % 50
            assert answer(x) == (x, x)
            if step % 500 == 0:
                answer.cache_clear()

    in_threads(*(functools.partial(work, seed) for seed in range(8)))
    assert len(answer.cache) <= 20


def test_what_stands_before_names_is_called_as_in_keys_kept_before() -> None:
    """Keys with it are in what earlier processes left on their disks."""

    @cached(registry=Registry())
    def ask(**given: int) -> int:
        return len(given)

    ask(one=1)
    ((mark, _),) = ask.cache.keys()
    written = b"cmembudget.cache.loading.keys\n_NAMED\n"
    assert written in pickle.dumps(mark, 0)
    assert pickle.loads(written + b".") is mark  # noqa: S301  # our own
