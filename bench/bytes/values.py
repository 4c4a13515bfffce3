"""Ten kinds of values, each made as a program comes by it, one at a time.

A maker's own variables refer to a value, and to parts of it, until it makes the next, as they do
in a function that sets what it has just made. It gives a key, the value, and what the program does
to the value after it was set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GROUP = 20
_PART = 20_000
_SHORT, _LONG = 10, 100
_BIG_ROWS = 50_000


class Value(NamedTuple):
    """One value on its way into a cache."""

    key: str
    value: Any
    then: Callable[[], object] | None = None


@dataclass
class Quote:
    """A dataclass as programs have them: its attributes lie in a dictionary."""

    symbol: str
    bid: float
    ask: float
    size: int
    note: str


class Point:
    """The same with slots."""

    __slots__ = ("ask", "bid", "note", "size", "symbol")

    def __init__(self, number: int) -> None:
        self.symbol = f"symbol-{number}"
        self.bid = number / 7
        self.ask = number / 6
        self.size = number + 1000
        self.note = f"{number:0>80}"


def _record(number: int) -> Any:
    """An answer parsed from its text: about 70 objects in 5 kB."""
    lines = [
        {"sku": f"sku-{number}-{line}", "count": number + line + 300, "price": number + line / 7}
        for line in range(12)
    ]
    client = {"name": f"client {number}", "mail": f"{number}@example.org", "tags": ["a1", "b2"]}
    return json.loads(json.dumps({"id": number + 10**6, "client": client, "lines": lines}))


def _small_dict(number: int) -> Any:
    return {name: number * 10 + 1000 + at for at, name in enumerate("abcdefghij")}


def _text(number: int) -> Any:
    return f"{number:0>{100 + number * 37 % 1900}}"


def _row(number: int) -> Any:
    """A row of a query, decoded from the wire."""
    fields = f"{number}|name {number}|{number / 3}|{number * 7}|street {number} in town|x{number}"
    first, name, price, stock, street, code = fields.split("|")
    return (int(first) + 1000, name, float(price), int(stock) + 1000, street, code, None, True)


def _quote(number: int) -> Any:
    return Quote(f"symbol-{number}", number / 7, number / 6, number + 1000, f"{number:0>80}")


def _each(make: Callable[[int], Any]) -> Callable[[], Iterator[Value]]:
    def values() -> Iterator[Value]:
        number = 0
        while True:
            number += 1
            yield Value(f"item:{number}", make(number))

    return values


def _frames() -> Iterator[Value]:
    """Small tables with two columns of numbers and two of text."""
    import numpy as np
    import pandas as pd

    number = 0
    while True:
        number += 1
        columns = {
            "at": np.arange(number, number + 100),
            "price": np.arange(100) / number,
            "name": [f"name {number} {row}" for row in range(100)],
            "city": [f"city {number} {row}" for row in range(100)],
        }
        yield Value(f"frame:{number}", pd.DataFrame(columns))


def _arrays() -> Iterator[Value]:
    """An array; then a view that alone keeps its array; then a view of one the program holds."""
    import numpy as np

    big = np.arange(_BIG_ROWS * 10, dtype=np.float64).reshape(_BIG_ROWS, 10)
    number = 0
    while True:
        number += 1
        if number % 3 == 0:
            value = np.arange(number, number + 1000, dtype=np.float64)
        elif number % 3 == 1:
            value = np.arange(number, number + 2000, dtype=np.float64)[:1000]
        else:
            value = big[number % _BIG_ROWS]
        yield Value(f"array:{number}", value)


def _sharing() -> Iterator[Value]:
    """Twenty entries in a row refer to one part of 20 kB, made with the first of them."""
    number = 0
    part: Any = None
    while True:
        if number % _GROUP == 0:
            part = {"group": number, "body": f"{number:0>{_PART}}"}
        number += 1
        yield Value(
            f"page:{number}", {"number": number + 1000, "part": part, "title": f"t{number}"}
        )


def _growing() -> Iterator[Value]:
    """Lists set while short; the program goes on adding to them."""
    number = 0
    while True:
        number += 1
        value = [number * 1000 + at for at in range(_SHORT)]
        rest = range(number * 1000 + _SHORT, number * 1000 + _LONG)
        yield Value(f"list:{number}", value, lambda value=value, rest=rest: value.extend(rest))


KINDS: dict[str, Callable[[], Iterator[Value]]] = {
    "JSON": _each(_record),
    "small dicts": _each(_small_dict),
    "strings": _each(_text),
    "tuples": _each(_row),
    "dataclasses": _each(_quote),
    "slots": _each(Point),
    "DataFrames with text": _frames,
    "arrays and views": _arrays,
    "shared parts": _sharing,
    "grown after set": _growing,
}
"""Endless makers, by name."""
