"""How much work a call is, counted in lines run: cost can be tested where times cannot."""

import sys
from collections.abc import Callable
from typing import Any


def steps(work: Callable[[], object]) -> int:
    """How many lines of Python run in this thread until a call is done."""
    count = 0

    def follow(_frame: object, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return follow

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
