"""Names brought from elsewhere: whoever uses one is told what it is here, and nobody else pays."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import membudget
from membudget import synonyms
from membudget.errors import ConfigError
from membudget.registry import Registry
from membudget.settings import resolve
from membudget.settings.file import read_file
from membudget.settings.table import SETTINGS

KINDS: tuple[Any, ...] = (
    membudget.Cache,
    membudget.BoundedList,
    membudget.BoundedDeque,
    membudget.BoundedDict,
    membudget.BoundedSet,
    membudget.MetricsCollector,
    membudget.WeakCache,
)


def parameters_of(one: Any) -> set[str]:
    maker = getattr(one, "__init__") if inspect.isclass(one) else one  # noqa: B009  # mypy
    return set(inspect.signature(maker).parameters)


@pytest.mark.parametrize(
    ("kind", "word", "here"),
    [
        (membudget.Cache, "maxsize", "max_entries"),
        (membudget.Cache, "capacity", "max_entries"),
        (membudget.Cache, "size_limit", "max_bytes"),
        (membudget.Cache, "getsizeof", "size"),
        (membudget.Cache, "expire", "ttl"),
        (membudget.Cache, "removal_listener", "on_evict"),
        (membudget.BoundedDict, "maxsize", "max_items"),
        (membudget.BoundedDict, "on_remove", "on_drop"),
        (membudget.BoundedDeque, "maxsize", "maxlen"),
        (membudget.BoundedList, "maxlen", "max_items"),
        (membudget.WeakCache, "maxsize", "strong"),
        (membudget.cached, "maxsize", "max_entries"),
        (membudget.cached, "timeout", "ttl"),
    ],
)
def test_an_argument_of_another_library_is_told_by_its_name_here(
    kind: Any, word: str, here: str
) -> None:
    """Under the same error as any unknown argument, which `help` shows what there is to."""
    named = {} if kind is membudget.cached else {"name": "x"}
    with pytest.raises(TypeError, match=rf"argument '{word}'; {word}: here it is {here}\b"):
        kind(**named, **{word: 5})
    assert here in parameters_of(kind)


def test_an_error_within_and_a_word_that_nobody_knows_are_as_they_were() -> None:
    def weigh(value: Any) -> int:
        raise TypeError(f"maxsize of {value}")

    make: Any = membudget.Cache
    with pytest.raises(TypeError, match=r"^maxsize of 1$"):
        membudget.Cache[str, int]("x", size=weigh, registry=Registry()).set("a", 1)
    with pytest.raises(TypeError, match=r"argument 'colour'$"):
        make("x", colour=1)


@pytest.mark.parametrize(
    ("kind", "word", "here"),
    [
        (membudget.Cache, "put", "set"),
        (membudget.Cache, "invalidate", "delete"),
        (membudget.Cache, "cache_clear", "clear"),
        (membudget.Cache, "currsize", r"held_bytes\(\)"),
        (membudget.BoundedList, "put", "append"),
        (membudget.MetricsCollector, "put", "record"),
        (membudget.WeakCache, "put", "set"),
    ],
)
def test_a_method_of_another_library_is_told_by_its_name_here(
    kind: Any, word: str, here: str
) -> None:
    one = kind("x", registry=Registry())
    assert not hasattr(one, word)
    with pytest.raises(AttributeError, match=rf"no attribute '{word}': here it is {here}") as got:
        getattr(one, word)
    assert (got.value.name, got.value.obj) == (word, one)
    with pytest.raises(AttributeError, match=r"no attribute 'colour'$"):
        _ = one.colour


def test_what_managers_and_other_packages_have_is_told_by_budgets_and_by_the_package() -> None:
    with membudget.start("64GiB", thread=False, sinks=(), registry=Registry()) as budget:
        one: Any = budget
        for word, here in {
            "register_callback": "callback",
            "force_cleanup": "reclaim",
            "get_memory_usage": "pressure",
            "get_stats": "stats",
        }.items():
            with pytest.raises(AttributeError, match=f"'{word}': here it is {here}"):
                getattr(one, word)
        with pytest.raises(TypeError, match="maxlen: here it is max_items"):
            one.watch("x", [1], maxlen=5)
        with pytest.raises(TypeError, match="capacity: here it is max_entries"):
            one.cache("x", capacity=5)
    with pytest.raises(AttributeError, match="no attribute 'TTLCache': here it is Cache"):
        _ = membudget.TTLCache  # type: ignore[attr-defined, unused-ignore]


@pytest.mark.parametrize(
    ("key", "here"),
    [
        ("memory_threshold", "thresholds.warning"),
        ("warning_mb", "thresholds.warning"),
        ("thresholds.critical_mb", "thresholds.critical"),
        ("thresholds.external", "thresholds.native.warning"),
        ("monitoring.check_interval_ms", "monitoring.check_interval"),
        ("model_cleanup_interval", "idle or ttl of a Cache"),
        ("alerts.cooldown", "a sink"),
        ("cleanup.enabled", "cleanup.auto"),
    ],
)
def test_a_key_of_another_system_is_told_by_its_key_here(
    key: str, here: str, tmp_path: Path
) -> None:
    """Given to `start()`, in the environment and in a file alike."""
    advice = f"is not known: here it is {here}"
    with pytest.raises(ConfigError, match=advice):
        resolve({key: 5}, {})
    with pytest.raises(ConfigError, match=advice):
        resolve({}, {f"MEMBUDGET_{key.replace('.', '_').upper()}": "5"})
    section, _, word = key.rpartition(".")
    path = tmp_path / "membudget.toml"
    path.write_text(f"[memory{f'.{section}' if section else ''}]\n{word} = 5\n")
    (error,) = read_file(path).errors
    assert here in str(error)


def test_each_name_that_is_told_is_there() -> None:
    """And none that is there is told as another's."""
    given: set[str] = set(membudget.__all__)
    for one in (*KINDS, membudget.cached):
        given |= parameters_of(one)
    for kind in (*KINDS, membudget.Budget):
        given |= set(dir(kind))
    for here in synonyms.OF_OBJECTS.values():
        first = here.split(",")[0].split(" ")[0].split("(")[0].split(":")[0].split(".")[-1]
        is_name = first.replace("|", "").isidentifier() and first not in ("no", "not")
        assert not is_name or set(first.split("|")) <= given, here
    for here in synonyms.OF_SETTINGS.values():
        key = here.split(",")[0].split(" ")[0]
        assert key in SETTINGS or "." not in key or key.startswith("components."), here
    assert not set(synonyms.OF_SETTINGS) & set(SETTINGS)


def test_a_program_that_errs_nowhere_does_not_read_the_table() -> None:
    program = (
        "import sys, membudget; b = membudget.start('64GiB', thread=False, sinks=());"
        "b.cache('x').set(1, 2); b.list('y'); b.watch('z', [1]); b.step(); b.stats(); b.stop();"
        "print('membudget.synonyms' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
