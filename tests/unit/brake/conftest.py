"""What tests of the brake share."""

from collections.abc import Iterator

import pytest

from brake_scene import Machine


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A process of 50 MiB under 400 MiB; its brake is let go at the end."""
    made = Machine()
    yield made
    made.brake.disarm()
