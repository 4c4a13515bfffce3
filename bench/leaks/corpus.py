"""The traces: the recorded ones with their labels, and the synthetic ones by seed."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = os.path.join(os.path.dirname(__file__), os.pardir, "data", "leak-corpus")
EVERY_S = 300.0

Columns = dict[str, list[float]]


class Trace(NamedTuple):
    """One trace in five-minute samples, with its label."""

    name: str
    t: list[float]
    rss: list[float]
    aux: Columns
    label: dict[str, Any]

    @property
    def is_leak(self) -> bool:
        """Whether it leaks, by its label."""
        return bool(self.label["leak"])

    @property
    def onset(self) -> float:
        """The hour at which the leak starts."""
        return float(self.label.get("onset_h") or 0.0)


def recorded() -> Iterator[Trace]:
    """The 78 recorded traces."""
    with open(os.path.join(DATA, "traces", "labels.jsonl"), encoding="utf-8") as lines:
        labels = [json.loads(line) for line in lines]
    for label in labels:
        yield _read(label)


def _read(label: dict[str, Any]) -> Trace:
    path = os.path.join(DATA, "traces", f"{label['id']}.csv.gz")
    with gzip.open(path, "rt", encoding="ascii") as file:
        rows = list(csv.reader(file))
    names, rows = rows[0], rows[1 :: max(1, round(EVERY_S / label["dt_s"]))]
    columns = {name: [float(row[at]) for row in rows] for at, name in enumerate(names)}
    aux = {
        "malloc_mb": [value / 1024 for value in columns["malloc_used_kb"]],
        "py_blocks": columns["py_blocks"],
        "requests": columns["requests"],
        "explained_mb": _explained(columns, label),
    }
    hours = [value / 3600 for value in columns["t_s"]]
    return Trace(label["id"], hours, [value / 1024 for value in columns["rss_kb"]], aux, label)


def _explained(columns: Columns, label: dict[str, Any]) -> list[float]:
    """What parts with a declared bound hold: items times the mean size of one."""
    held = [0.0] * len(columns["t_s"])
    for name, bound in label["bounded"].items():
        size = bound["bytes_per_item"] / 2**20
        held = [sum_ + items * size for sum_, items in zip(held, columns[f"c_{name}"], strict=True)]
    return held


def synthetic(seeds: range) -> Iterator[Trace]:
    """Seeded synthetic traces: memory only, much noise."""
    make = _maker()
    for seed in seeds:
        t, mb, label = make(seed)
        yield Trace(f"s{seed}", t.tolist(), mb.tolist(), {}, label)


def _maker() -> Callable[[int], tuple[Any, Any, dict[str, Any]]]:
    path = os.path.join(DATA, "gen", "synth.py")
    spec = importlib.util.spec_from_file_location("synth", path)
    assert spec is not None  # noqa: S101  # the file is part of the tree
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make: Callable[[int], tuple[Any, Any, dict[str, Any]]] = module.make
    return make
