"""Keeps more answers than fit: in a cache under a budget, or in a dict.

Run as `python survival_program.py budget|dict [COUNT]`; each answer has 10 KB, and without a COUNT
they have a gigabyte. Prints what is left at the end as JSON.
"""

import json
import sys
from typing import Any

_ANSWERS = 100_000
_SIZE = 10_000


def main(kind: str, answers: int) -> None:
    if kind == "dict":
        plain: dict[int, Any] = {}
        for number in range(answers):
            plain[number] = _answer(number)
        return
    import membudget

    with membudget.start(sinks=[]) as budget:
        cache: Any = budget.cache("answers")
        for number in range(answers):
            cache.set(number, _answer(number))
        figures = {
            "limit": budget.pressure.limit,
            "entries": len(cache),
            "newest": cache.get(answers - 1) == _answer(answers - 1),
        }
    print(json.dumps(figures))  # noqa: T201  # its one way to speak


def _answer(number: int) -> dict[str, Any]:
    return {"number": number, "text": f"{number:0>{_SIZE}}"}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else _ANSWERS)
