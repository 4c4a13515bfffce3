"""A running process's answer, made a report again on the side of who asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from membudget.errors import ControlError
from membudget.leaks.advice import Proposal
from membudget.leaks.culprit import Culprit
from membudget.leaks.records import Confidence, Filling, Kind, SimpleFacts, Step, Verdict
from membudget.report.figures import DAY, report
from membudget.report.happenings import happenings
from membudget.report.recorded_rows import sample_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from membudget.core import Sample
    from membudget.report.records import Report


def answered(answer: Mapping[str, Any], hours: float = DAY) -> Report:
    """The report on what a process has answered to "samples".

    Args:
        answer: As the control socket gives it.
        hours: Hours looked back.

    Raises:
        ControlError: The answer is not understood.
    """
    try:
        samples = unpacked(answer)
        verdict = None if answer["verdict"] is None else verdict_of(answer["verdict"])
        left_out = int(answer.get("left_out", 0))
        return report(
            samples,
            hours=hours,
            name=str(answer["name"]),
            verdict=verdict,
            proposals=[Proposal(**one) for one in answer.get("proposals", ())],
            culprits=[culprit_of(one) for one in answer.get("culprits", ())],
            marks={str(name): int(at) for name, at in answer["marks"].items()},
            peaks=[(float(at), int(used), int(rss)) for at, used, rss in answer.get("peaks", ())],
            happenings=happenings(answer["events"]),
            notes=[f"{left_out:,} older samples were left out."] if left_out else [],
        )
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise ControlError(
            f"the samples of process {answer.get('pid')} are not understood "
            f"({type(error).__name__}: {error}): use the same version of membudget on both sides"
        ) from error


def unpacked(answer: Mapping[str, Any]) -> list[Sample]:
    """The samples of an answer, which names fields and parts once and then only their places."""
    names = ("name", "kind", "most_items", "most_bytes", "ttl")
    parts = [dict(zip(names, one, strict=True)) for one in answer["parts"]]
    return [
        sample_of(
            {
                **dict(zip(answer["fields"], row, strict=True)),
                "parts": [
                    {**parts[place], "items": items, "bytes": size}
                    for place, items, size in zip(held[::3], held[1::3], held[2::3], strict=True)
                ],
            }
        )
        for row, held in zip(answer["rows"], answer["held"], strict=True)
    ]


def culprit_of(row: Mapping[str, Any]) -> Culprit:
    """A culprit from its fields by name.

    Raises:
        TypeError: A field is missing or not known.
    """
    return Culprit(**{**row, "chain": tuple(row["chain"])})


def verdict_of(row: Mapping[str, Any]) -> Verdict:
    """A verdict from its fields by name, records within it as mappings.

    Raises:
        KeyError: A field is missing.
        ValueError: A kind or confidence is not known.
        TypeError: A field is not known.
    """
    step = row["step"]
    return Verdict(
        **{
            **row,
            "kind": Kind(row["kind"]),
            "confidence": Confidence(row["confidence"]),
            "facts": SimpleFacts(**row["facts"]),
            "filling": tuple(Filling(**one) for one in row["filling"]),
            "step": None if step is None else Step(**step),
        }
    )
