"""Functions that could never be called as we call them are refused where they are given."""

from __future__ import annotations

import functools
import queue
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import membudget
from fakes import FakeClock
from membudget.callables import check_function
from membudget.errors import ConfigError
from membudget.registry import Registry

MAKERS: dict[str, Any] = {
    "sink": lambda one: membudget.start(
        "1GiB", thread=False, registry=Registry(), sinks=[one], agent={"directory": "none"}
    ),
    "redact": lambda one: membudget.start("1GiB", thread=False, registry=Registry(), redact=one),
    "size": lambda one: membudget.Cache("it", size=one, registry=Registry()),
    "size of a list": lambda one: membudget.BoundedList("it", size=one, registry=Registry()),
    "size of a weak cache": lambda one: membudget.WeakCache("it", size=one, registry=Registry()),
    "on_evict": lambda one: membudget.Cache("it", on_evict=one, registry=Registry()),
    "on_drop": lambda one: membudget.BoundedDict("it", on_drop=one, registry=Registry()),
    "on_drop of a deque": lambda one: membudget.BoundedDeque("it", on_drop=one),
    "key": lambda one: membudget.cached(key=one, registry=Registry())(len),
}


async def as_coroutine(*_: object) -> None:
    """What a call alone does not run."""


def as_generator(*_: object) -> Any:
    """Neither this."""
    yield


class Alert:
    """Something that can be told, though not called."""

    def emit(self, event: object) -> None:
        """Take an event."""


@pytest.mark.parametrize("what", MAKERS)
@pytest.mark.parametrize("wrong", [5, "slack", Alert(), as_coroutine, as_generator])
def test_what_could_never_run_is_refused_where_it_is_given(what: str, wrong: object) -> None:
    """With its name, and what to give instead."""
    with pytest.raises(ConfigError, match=rf"^{what.partition(' ')[0]} .*give a function of \("):
        MAKERS[what](wrong)


@pytest.mark.parametrize("what", [one for one in MAKERS if one != "key"])
@pytest.mark.parametrize("wrong", [lambda: None, lambda a, b, c, d: None, lambda *a, b: None])
def test_wrong_numbers_of_arguments_are_seen_before_the_first_call(what: str, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be called with"):
        MAKERS[what](wrong)


def test_a_sink_added_later_is_looked_at_as_well() -> None:
    budget = membudget.start("1GiB", thread=False, registry=Registry())
    with budget, pytest.raises(ConfigError, match="such as its emit"):
        budget.tell(Alert())  # type: ignore[arg-type]  # that is the case under test
    with budget:
        budget.tell(Alert().emit)


def test_a_coroutine_callback_without_a_loop_is_refused_at_once() -> None:
    """It would fail each time memory is short."""
    budget = membudget.start("1GiB", thread=False, registry=Registry())
    with budget, pytest.raises(ConfigError, match="while its loop runs"):
        budget.callback("flush", as_coroutine)


def test_whatever_can_be_called_is_let_be() -> None:
    """Methods, partials, classes, builtins, and objects with `__call__`."""

    class Taking:
        def __call__(self, event: object) -> None:
            """Take one."""

        @classmethod
        def by_class(cls, event: object) -> None:
            """Take one."""

        @staticmethod
        def alone(event: object) -> None:
            """Take one."""

    many: list[object] = []
    one: Any
    for one in (
        Alert().emit, Taking(), Taking, Taking.by_class, Taking().alone, many.append, print, str,
        queue.SimpleQueue().put, functools.partial(print, "it:"), functools.lru_cache(len),
        functools.partial(lambda a, b: None, b=1), FakeClock().advance, type(many).append,
    ):  # fmt: skip
        check_function(one, "sink", ("event",))


parameters = st.lists(
    st.sampled_from(["plain", "default", "only by name", "by name, default"]), max_size=4
)


@given(kinds=parameters, has_more=st.booleans(), count=st.integers(1, 3), is_method=st.booleans())
def test_it_is_refused_just_where_the_call_would_raise(
    *, kinds: list[str], has_more: bool, count: int, is_method: bool
) -> None:
    """Of any signature, as a function and as a method."""
    plain = [f"p{i}" for i, kind in enumerate(kinds) if kind == "plain"]
    default = [f"d{i}=0" for i, kind in enumerate(kinds) if kind == "default"]
    named = [f"n{i}" for i, kind in enumerate(kinds) if kind == "only by name"]
    named += [f"m{i}=0" for i, kind in enumerate(kinds) if kind == "by name, default"]
    more = ["*more"] if has_more else ["*"] if named else []
    own = ["self"] if is_method else []
    place: dict[str, Any] = {}
    exec(f"def f({', '.join([*own, *plain, *default, *more, *named])}): pass", place)  # noqa: S102
    function = type("Own", (), {"f": place["f"]})().f if is_method else place["f"]
    try:
        function(*range(count))
        is_right = True
    except TypeError:
        is_right = False
    try:
        check_function(function, "sink", tuple("abc"[:count]))
    except ConfigError:
        assert not is_right
    else:
        assert is_right
