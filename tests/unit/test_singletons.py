"""One instance a class: made once, whole or not at all, and the same however it is come by."""

import abc
import copy
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from beside import in_threads, interrupted_everywhere
from membudget.errors import ConfigError
from membudget.singletons import Singleton, SingletonABC

PATIENCE = 10.0


class Pool(metaclass=Singleton):
    """Takes arguments, and says how often it was made."""

    made = 0

    def __init__(self, size: int = 4, *, name: str = "pool") -> None:
        type(self).made += 1
        self.size = size
        self.name = name


class Larger(Pool):
    """A subclass of it."""

    made = 0


@pytest.fixture(autouse=True)
def cleared() -> Iterator[None]:
    Singleton.clear_instances()
    Pool.made = Larger.made = 0
    yield
    Singleton.clear_instances()


def at_once(count: int, work: Callable[[], Any]) -> list[Any]:
    """What a function returned or raised in so many threads that begin together."""
    start = threading.Barrier(count)

    def run() -> Any:
        start.wait(PATIENCE)
        try:
            return work()
        except Exception as error:  # noqa: BLE001  # told to the caller
            return error

    return in_threads(*[run] * count)


def test_however_many_threads_ask_it_is_made_once() -> None:
    class Slow(metaclass=Singleton):
        made = 0

        def __init__(self) -> None:
            before = type(self).made
            threading.Event().wait(0.05)
            type(self).made = before + 1

    found = at_once(16, Slow)
    assert Slow.made == 1
    assert all(one is found[0] for one in found)
    assert isinstance(found[0], Slow)


def test_a_subclass_has_an_instance_and_a_lock_of_its_own() -> None:
    class Outer(metaclass=Singleton):
        def __init__(self) -> None:
            self.inner: Any = Inner() if type(self) is Outer else None

    class Inner(Outer):
        pass

    outer = Outer()
    assert type(outer) is Outer
    assert type(outer.inner) is Inner
    assert outer.inner is Inner()
    assert outer.inner is not outer


def test_a_constructor_that_raised_leaves_nothing_behind() -> None:
    class Fragile(metaclass=Singleton):
        is_broken = True

        def __init__(self) -> None:
            if type(self).is_broken:
                raise OSError("no connection")

    for _ in range(2):
        with pytest.raises(OSError, match="no connection"):
            Fragile()
    assert all(isinstance(one, OSError) for one in at_once(4, Fragile))
    (figures,) = Fragile.stats()
    assert (figures.exists, figures.made, figures.failed) == (False, 0, 6)
    Fragile.is_broken = False
    assert Fragile() is Fragile()


def test_copies_and_pickles_are_the_one() -> None:
    pool = Pool(7)
    assert copy.copy(pool) is pool
    assert copy.deepcopy({"inside": [pool]})["inside"][0] is pool
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(pool, protocol)) is pool  # noqa: S301  # our own
    assert Pool.made == 1


def test_unpickling_where_there_is_none_makes_it_with_the_same_arguments() -> None:
    """As in another process; one that is there is returned whatever its arguments."""
    raw = pickle.dumps(Pool(7, name="x"))
    Pool.clear_instances()
    again = pickle.loads(raw)  # noqa: S301  # our own
    assert (again.size, again.name) == (7, "x")
    Pool.clear_instances()
    other = Pool(9)
    assert pickle.loads(raw) is other  # noqa: S301  # our own


def test_the_same_arguments_however_written_and_none_at_all_give_the_one() -> None:
    pool = Pool(4)
    for given in (Pool(), Pool(4), Pool(size=4), Pool(4, name="pool"), Pool(name="pool")):
        assert given is pool


def test_other_arguments_are_refused_with_both_named() -> None:
    pool = Pool(4)
    with pytest.raises(ConfigError) as caught:
        Pool(5, name="x")
    assert "Pool(4)" in str(caught.value)
    assert "Pool(5, name='x')" in str(caught.value)
    assert "ignore_arguments=True" in str(caught.value)
    assert Pool() is pool
    (figures,) = Pool.stats()
    assert figures.refused == 1


def test_arguments_that_do_not_compare_are_others() -> None:
    """Such as arrays; the same object is the same all the same."""

    class Array:
        def __eq__(self, other: object) -> bool:
            raise ValueError("ambiguous")

        __hash__ = None  # type: ignore[assignment]

    class Holder(metaclass=Singleton):
        def __init__(self, array: Array) -> None:
            self.array = array

    array = Array()
    holder = Holder(array)
    assert Holder(array) is holder
    with pytest.raises(ConfigError, match="is asked for as"):
        Holder(Array())


def test_arguments_are_ignored_where_the_class_says_so_and_its_subclasses_too() -> None:
    class Lax(metaclass=Singleton, ignore_arguments=True):
        def __init__(self, size: int) -> None:
            self.size = size

    class Heir(Lax):
        pass

    class Strict(Lax, ignore_arguments=False):
        pass

    assert Lax(1) is Lax(2)
    assert Lax(3).size == 1
    assert Heir(1) is Heir(2)
    Strict(1)
    with pytest.raises(ConfigError):
        Strict(2)


def test_a_constructor_that_asks_for_its_own_class_is_told() -> None:
    class First(metaclass=Singleton):
        def __init__(self) -> None:
            Second()

    class Second(metaclass=Singleton):
        def __init__(self) -> None:
            First()

    class Alone(metaclass=Singleton):
        def __init__(self) -> None:
            Alone()

    for cls in (Alone, First, Second):
        with pytest.raises(ConfigError, match="its constructor needs itself"):
            cls()
        assert not cls.stats()[0].exists


def test_threads_whose_constructors_need_each_other_are_told() -> None:
    """Each holds what the other waits for; neither waits for ever."""
    left_is_in, right_is_in = threading.Event(), threading.Event()

    class Left(metaclass=Singleton):
        def __init__(self) -> None:
            left_is_in.set()
            right_is_in.wait(PATIENCE)
            self.other = Right()

    class Right(metaclass=Singleton):
        def __init__(self) -> None:
            right_is_in.set()
            left_is_in.wait(PATIENCE)
            self.other = Left()

    turns: list[type[Any]] = [Left, Right]

    def take_turn() -> object:
        return turns.pop()()

    found = at_once(2, take_turn)
    assert len(found) == 2
    refused = [one for one in found if isinstance(one, ConfigError)]
    assert refused
    assert all("is asked for while" in str(one) for one in refused)
    assert not any(isinstance(one, Exception) for one in found if one not in refused)


def test_clearing_means_one_class_or_all() -> None:
    pool, larger = Pool(), Larger()
    Pool.clear_instances()
    assert Pool() is not pool
    assert Larger() is larger
    Singleton.clear_instances(Larger)
    assert Larger() is not larger
    Singleton.clear_instances()
    assert not any(one.exists for one in Singleton.stats())


def test_an_instance_being_made_is_not_cleared_from_within() -> None:
    """It would be there again a moment later."""

    class Clearing(metaclass=Singleton):
        def __init__(self) -> None:
            Clearing.clear_instances()

    with pytest.raises(ConfigError):
        Clearing()


def test_statistics_tell_what_became_of_each_class() -> None:
    Pool()
    Pool()
    Pool()
    (figures,) = Pool.stats()
    assert figures.name == f"{__name__}.Pool"
    assert figures.exists
    assert figures.asked >= 2
    assert figures in Singleton.stats()
    assert [one.name for one in Singleton.stats()] == sorted(one.name for one in Singleton.stats())


def test_an_abstract_class_may_be_a_singleton() -> None:
    """A class has one metaclass, so both are in one; the abstract one cannot be made."""

    class Store(metaclass=SingletonABC):
        @abc.abstractmethod
        def load(self) -> str: ...

    class File(Store):
        def load(self) -> str:
            return "x"

    with pytest.raises(TypeError, match="abstract"):
        Store()  # type: ignore[abstract]
    assert File() is File()
    assert isinstance(File(), Store)


def test_a_class_that_nobody_keeps_is_forgotten() -> None:
    import gc

    def make() -> None:
        class Passing(metaclass=Singleton):
            pass

        Passing()
        assert any("Passing" in one.name for one in Singleton.stats())

    make()
    gc.collect()
    assert not any("Passing" in one.name for one in Singleton.stats())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_lock_that_another_thread_held_at_the_fork_is_free_in_the_child() -> None:
    """What was being made there is not there in the child, which makes its own."""
    go, is_in = threading.Event(), threading.Event()

    class Slow(metaclass=Singleton):
        def __init__(self) -> None:
            is_in.set()
            go.wait(PATIENCE)

    thread = threading.Thread(target=Slow)
    thread.start()
    assert is_in.wait(PATIENCE)
    pid = os.fork()
    if pid == 0:
        go = threading.Event()
        go.set()
        os._exit(0 if Slow() is Slow() else 1)
    code = _waited(pid)
    go.set()
    thread.join(PATIENCE)
    assert code == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_constructor_that_forks_goes_on_in_the_child() -> None:
    class Forking(metaclass=Singleton):
        def __init__(self) -> None:
            self.child = os.fork()

    one = Forking()
    if one.child == 0:
        os._exit(0 if Forking() is one else 1)
    assert _waited(one.child) == 0


def _waited(pid: int) -> int | None:
    """The exit status of a child, which is ended where it hangs."""
    import signal
    import time

    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def test_what_a_signal_cuts_short_leaves_no_lock_held() -> None:
    """Wherever its handler raises: another thread makes the instance, or gets it, at once."""

    def act() -> None:
        Pool()
        Pool.clear_instances()

    def check() -> None:
        assert [type(one) for one in at_once(1, Pool)] == [Pool]
        Pool.clear_instances()

    interrupted_everywhere("/singletons.py", act, check)
