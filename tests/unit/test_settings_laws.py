"""The laws of settings files: both formats mean what arguments mean, and all else is one line."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from membudget.errors import ConfigError
from membudget.settings import resolve
from membudget.settings.table import SETTINGS

_TEXTS: dict[str, st.SearchStrategy[Any]] = {
    "size": st.builds("{}{}".format, st.integers(1, 10**6), st.sampled_from(["MiB", " GB", "B"])),
    "share": st.builds("{}%".format, st.integers(1, 100)),
    "time": st.builds("{}{}".format, st.integers(1, 999), st.sampled_from(["ms", "s", " m", "d"])),
    "whole": st.integers(2, 2880),
    "true": st.booleans(),
    "auto, equal": st.sampled_from(["auto", "equal", "20%", "100MiB"]),
    "auto,": st.sampled_from(["auto", "none", "/run/x y", "/\u00e9"]),
    "number": st.integers(0, 999) | st.sampled_from(["2.5", "10", ".5"]),
    "rate": st.builds("{}{}".format, st.integers(1, 999), st.sampled_from(["MiB/h", " kB / h"])),
    "none or": st.sampled_from(["none", "/var/lib/x y", "/\u00e9"]),
    "names": st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1))
    .map(lambda names: [name for name in names if name.strip()]),
    "places": st.lists(st.sampled_from(["a:b", "a.b:C.d", "_x:y1"])),
}  # fmt: skip


def _values(key: str) -> st.SearchStrategy[Any]:
    form = SETTINGS[key].kind.form.removeprefix("a ")
    return next(values for word, values in _TEXTS.items() if form.startswith(word))


_SECTIONS = st.fixed_dictionaries(
    {},
    optional={key: _values(key) for key in SETTINGS if not key.startswith("thresholds")}
    | {"thresholds.low": st.sampled_from(["60%", "1%"]), "thresholds.rss.warning": _TEXTS["size"]}
    | {"limit": st.builds("{}MiB".format, st.integers(1, 9999)) | st.just("auto")}
    | {"leaks.trace": st.builds("{}s".format, st.integers(1, 900)) | st.just("off")}
    | {"components.book.max_items": _TEXTS["whole"], "components.5.max_bytes": _TEXTS["size"]},
)


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, name = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return nested


def _as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_as_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_as_toml(one) for one in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_QUICK = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100
)


@_QUICK
@given(section=_SECTIONS)
def test_yaml_toml_and_arguments_mean_the_same(tmp_path: Path, section: dict[str, Any]) -> None:
    """Whatever is written to a file and read back resolves to the same settings."""
    expected = resolve(section, {}).values
    for name, text in (
        ("block.yaml", yaml.safe_dump({"memory": _nested(section)}, allow_unicode=True)),
        ("flow.yaml", yaml.safe_dump({"memory": _nested(section)}, default_flow_style=True)),
        ("a.toml", f"memory = {_as_toml(_nested(section))}\n"),
        ("b.toml", "[memory]\n" + "".join(f"{k} = {_as_toml(v)}\n" for k, v in section.items())),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        found = resolve({}, {}, tmp_path / name)
        assert found.values == expected
        assert {key for key, origin in found.origins.items() if origin != "default"} == {*section}


def _resolves_or_refuses(path: Path) -> None:
    try:
        resolve({}, {}, path)
    except ConfigError as error:
        assert str(error).isprintable()  # noqa: PT017  # refusing is one of two good ends
        assert str(error).startswith(str(path))  # noqa: PT017  # likewise


_SNIPPETS = [
    *("memory", "limit", "caches", "adopt", "thresholds", "low", "60%", "400MiB", "---", "..."),
    *("0_", "010", "0b_", "1:30", "2024-13-45", "1e999", "nan", "&a", "*a", "<<", "!!int", '"""'),
    *"[]{}:,=-?|>%#~.&*!'\" \n\x85\ufeff",
]
_TEXT = st.one_of(
    st.text(), st.lists(st.sampled_from(_SNIPPETS)).map("".join), st.binary().map(repr)
)


@_QUICK
@given(text=_TEXT, head=st.sampled_from(["", "memory:\n  ", "memory:\n  limit: ", "[memory]\n"]))
def test_no_text_raises_anything_but_one_line(tmp_path: Path, text: str, head: str) -> None:
    """Whatever a file holds, it is read or refused by the file's name."""
    for suffix in ("yaml", "toml"):
        file = tmp_path / f"a.{suffix}"
        file.write_bytes((head + text).encode("utf-8", "surrogatepass"))
        _resolves_or_refuses(file)


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
_WORDS = [*SETTINGS, "thresholds", "caches", "rss", "low", "adopt", "components", "max_items"]
_KEYS = st.sampled_from(_WORDS) | st.text()
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS | st.integers(), inner),
    max_leaves=8,
)


@_QUICK
@given(tree=st.dictionaries(_KEYS, _TREES, max_size=4))
def test_no_structure_raises_anything_but_one_line(tmp_path: Path, tree: dict[str, Any]) -> None:
    """Well-formed YAML of any shape, with the aliases that a dumper makes."""
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump({"memory": tree, "other": tree}), encoding="utf-8")
    _resolves_or_refuses(file)
