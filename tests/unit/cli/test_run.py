"""The options of `run` are read alike by the quick way and by click, which explains the rest."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from membudget.cli.lookup import find
from membudget.cli.run import OPTIONS, as_command, launch, read_options
from membudget.errors import ConfigError, ProbeError

WORDS = st.lists(
    st.sampled_from(
        [
            *(f"--{name}" for name in OPTIONS),
            *(f"--{name}=x" for name in OPTIONS),
            *("--", "-", "-q", "--wat", "--lim", "--limit=", "--help", "=", "", "x", "python"),
        ]
    ),
    max_size=6,
)


def as_click_reads(words: list[str]) -> tuple[dict[str, object], tuple[str, ...]] | None:
    """What click makes of the same words, or None where it has something to say."""
    try:
        params = dict(as_command().make_context("run", list(words)).params)
    except (click.ClickException, click.exceptions.Exit):
        return None
    program = params.pop("program")
    return {name.replace("_", "-"): value for name, value in params.items()}, program


@given(WORDS)
def test_both_ways_read_the_same(words: list[str]) -> None:
    """Whatever the quick way takes; what it leaves is refused by click, or is a call for help."""
    assert read_options(words) == as_click_reads(words)


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["--limit", "1GiB", "--", "python", "--limit", "x"], ("python", "--limit", "x")),
        (["--brake", "python", "--", "--quiet"], ("python", "--", "--quiet")),
        (["--", "--odd-name"], ("--odd-name",)),
    ],
)
def test_what_follows_the_program_is_its_own(words: list[str], program: tuple[str, ...]) -> None:
    found = read_options(words)
    assert found is not None
    assert found[1] == program


def test_what_a_system_cannot_do_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere calls are missing that these begin with: a traceback would tell nobody why."""
    monkeypatch.setattr("sys.platform", "win32")
    found = read_options(["--limit", "1GiB", "python"])
    assert found is not None
    with pytest.raises(ConfigError, match=r"Windows cannot: call membudget\.start\(\)"):
        launch(*found)
    with pytest.raises(ProbeError, match="on Linux only, and this is win32"):
        find()
