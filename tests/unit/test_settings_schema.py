"""The schema says of a file what the readers do, as far as a schema can."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from membudget.errors import ConfigError
from membudget.settings.file import DIALECT, schema
from membudget.settings.table import OF_COMPONENTS, SETTINGS

TYPES: dict[str, Any] = {
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "string": str,
    "array": list,
    "object": dict,
}
KEYWORDS = {
    *("$schema", "title", "type", "properties", "required", "description", "default"),
    *("additionalProperties", "pattern", "minimum", "maximum", "anyOf", "enum", "items"),
}


def _fits(value: Any, rule: dict[str, Any]) -> bool:
    """Whether a value fits a schema made of the keywords that ours is made of."""
    assert set(rule) <= KEYWORDS
    kinds = rule.get("type", list(TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    items = value if isinstance(value, list) else []
    known = rule.get("properties", {})
    keys = value if isinstance(value, dict) else {}
    others = rule.get("additionalProperties", True)
    return (
        any(
            isinstance(value, TYPES[kind]) and (kind not in {"integer", "number"} or is_number)
            for kind in kinds
        )
        and ("enum" not in rule or (is_number and value in rule["enum"]))
        and (not isinstance(value, str) or bool(re.search(rule.get("pattern", ""), value)))
        and (not is_number or rule.get("minimum", value) <= value <= rule.get("maximum", value))
        and ("anyOf" not in rule or any(_fits(value, one) for one in rule["anyOf"]))
        and all(_fits(item, rule.get("items", {})) for item in items)
        and all(_fits(one, known[key]) for key, one in keys.items() if key in known)
        and (others is not False or not set(keys) - set(known))
        and (not isinstance(others, dict) or all(_fits(one, others) for one in keys.values()))
        and set(rule.get("required", ())) <= set(keys)
    )


def _rule(key: str) -> dict[str, Any]:
    rule = schema()["properties"]["memory"]
    for name in key.split("."):
        rule = rule["properties"][name]
    return dict(rule)


def test_every_setting_stands_in_the_schema_with_its_default_and_its_meaning() -> None:
    """And nothing else does: every section is closed."""
    made = schema()
    assert json.loads(json.dumps(made)) == made
    assert made["$schema"] == DIALECT
    found = set()
    components = made["properties"]["memory"]["properties"].pop("components")

    def visit(rule: dict[str, Any], prefix: str) -> None:
        assert rule["additionalProperties"] is False
        for name, inner in rule["properties"].items():
            if "properties" in inner:
                visit(inner, f"{prefix}{name}.")
            else:
                found.add(prefix + name)

    visit(made["properties"]["memory"], "")
    assert found == set(SETTINGS)
    assert set(components["additionalProperties"]["properties"]) == set(OF_COMPONENTS)
    assert components["additionalProperties"]["additionalProperties"] is False
    for key, setting in SETTINGS.items():
        rule = _rule(key)
        assert setting.meaning in rule["description"]
        assert setting.kind.form in rule["description"]
        assert rule["default"] == setting.write(setting.default)
        assert _fits(rule["default"], rule)
        assert _fits(None, rule)


def test_a_good_file_fits_and_the_programs_own_keys_do_no_harm() -> None:
    """As an editor sees it."""
    thresholds = {"low": "60%", "rss": {"warning": "1.5GiB", "critical": None}, "native": None}
    memory = {
        "limit": "400MiB",
        "thresholds": thresholds,
        "monitoring": {"check_interval": "250ms", "history_size": 100},
        "caches": {"adopt": ["app:cache"], "spare": "tmp_*, *"},
        "cleanup": {"auto": False, "gc_time_share": "5 %"},
        "emergency": {"exit": "on"},
        "agent": {"directory": "/run/x"},
        "components": {"order book": {"max_items": 5000, "max_bytes": "20MiB"}, "x.y": None},
        "brake": True,
    }
    assert _fits({"memory": memory, "logging": {"level": "info"}}, schema())
    assert _fits({"memory": None}, schema())
    assert not _fits({"limit": "400MiB"}, schema())


UNFIT: dict[str, list[Any]] = {
    "limit": [400, "400", "lots", "400K", ["1GiB"]],
    "thresholds.low": [0.7, "0.7"],
    "monitoring.check_interval": [5, "5 weeks"],
    "monitoring.history_size": [0, 2881, True, "many"],
    "cleanup.auto": ["maybe", 2],
    "cleanup.gc_time_share": [0.05],
    "caches.adopt": [["cache"]],
    "caches.spare": [[""]],
    "agent.directory": ["here"],
    "monitoring.history_file": ["here"],
    "leaks.threshold_mb_per_hour": ["10MB", -1],
    "leaks.minimum_rate": ["1MiB", 5],
}


@pytest.mark.parametrize(("key", "value"), [(key, one) for key in UNFIT for one in UNFIT[key]])
def test_what_a_reader_refuses_in_a_file_does_not_fit(key: str, value: Any) -> None:
    """The editor tells before the program does."""
    assert not _fits(value, _rule(key))


@pytest.mark.parametrize(
    "components",
    [5, *({"book": one} for one in (5, {"max_items": 0}, {"max_bytes": 5}, {"max_item": 5}))],
)
def test_a_component_that_a_reader_refuses_does_not_fit(components: Any) -> None:
    """Whatever its name."""
    assert not _fits({"memory": {"components": components}}, schema())


QUANTITY = r"[ +]?[0-9._]{0,5} ?([KMGTkmgt]?[Ii]?[Bb]?|[MmSsHhDd]{1,2}|%)"
WORDS = ["auto", "adaptive", "none", "/x", "True", "OFF", " yes", "0", "1", "fAlse"]


@given(
    key=st.sampled_from(
        [key for key, one in SETTINGS.items() if not isinstance(one.default, tuple)]
    ),
    text=st.from_regex(QUANTITY, fullmatch=True) | st.sampled_from(WORDS),
)
def test_no_text_that_a_reader_takes_is_flagged_by_the_schema(key: str, text: str) -> None:
    """A schema that flags a good file gets switched off."""
    try:
        SETTINGS[key].read(text, name=key)
    except ConfigError:
        return
    assert _fits(text, _rule(key))
