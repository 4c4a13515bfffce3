"""The table of messages: made from the code, whole, and each with what to do."""

import messages
import pytest

from membudget import sinks
from membudget.core import Sampled
from membudget.sinks import line_of


def test_every_message_says_what_to_do() -> None:
    """In itself, or by a row of the table; of hundreds, so that none is overlooked."""
    found = messages.messages()
    assert len(found) > 300
    assert [one.text for one in found if not one.split[1]] == []


def test_no_row_tells_of_a_message_that_is_no_more() -> None:
    """Or that says by itself what to do."""
    found = messages.messages()
    assert messages.REMEDIES.keys() <= {one.text for one in found}
    assert {*messages.OF_FILES.values()} <= {one.split[1] for one in found}


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("no budget is running in this process", "call membudget.start() first, or start the"),
        ("… is not a switch", "use true or false"),
        ("… has no percent sign", 'write it as "80%"'),
        ("no memory for …: requests are refused until the level is NORMAL after …", "load less"),
    ],
)
def test_a_message_is_found_in_the_code_with_its_remedy(text: str, remedy: str) -> None:
    """Those raised, those made by a function of errors, and those worded in a variable."""
    assert any(
        one.split[0] == text and one.split[1].startswith(remedy) for one in messages.messages()
    )


def test_every_event_that_has_a_line_is_shown_with_it() -> None:
    """By events whose line is whole; one without a line has none to explain."""
    shown = [type(one) for events, _ in messages.LINES for one in events]
    assert {*shown} == sinks._TELLERS.keys()
    assert Sampled not in shown
    for events, remedy in messages.LINES:
        assert remedy.endswith(".")
        for event in events:
            line = line_of(event)
            assert "None" not in str(line)
