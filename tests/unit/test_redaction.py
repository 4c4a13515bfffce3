"""The program's own redaction may fail; that it reaches all is shown on a real process."""

from collections.abc import Callable

import pytest

from fakes import raising
from membudget.heap.items import newest
from membudget.inspection.suspects import fenced


@pytest.mark.parametrize("broken", [raising(ValueError("no")), lambda _text: None])
def test_a_redaction_that_fails_hides_all_of_the_text(broken: Callable[[str], object]) -> None:
    """What went wrong is told, and the length."""
    told: list[str] = []
    redacted = fenced(broken, lambda where, error: told.append(f"{where} {type(error).__name__}"))
    assert redacted("secret") == "<6 characters>"
    assert told[0].split()[0] == "redact"


def test_a_redaction_that_fails_leaves_the_type_and_the_length_of_what_grows() -> None:
    """Who grows is named all the same."""
    redacted = fenced(raising(ValueError("no")), lambda _where, _error: None)
    assert newest({"key of somebody": [1, 2]}, redacted) == (
        "'<15 characters>': list(<1 characters>, <1 characters>)"
    )
