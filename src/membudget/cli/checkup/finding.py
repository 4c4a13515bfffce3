"""What a check found, and what to do about it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from membudget.core import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_INDENT = " " * 8


class Grade(IntEnum):
    """How bad it is: the exit code is that of the worst."""

    OK = 0
    NOTE = 1
    WARNING = 2
    DANGER = 3


class Finding(Record):
    """One line of a checkup.

    Attributes:
        grade: How bad it is.
        subject: What it is about, in a word.
        found: What is.
        advice: What to do about it; empty where there is nothing to do.
    """

    grade: Grade
    subject: str
    found: str
    advice: str = ""

    def as_row(self) -> dict[str, str]:
        """It as JSON has it."""
        return {
            "level": self.grade.name.lower(),
            "subject": self.subject,
            "found": self.found,
            "advice": self.advice,
        }


def ok(subject: str, found: str) -> Finding:
    """All is well."""
    return Finding(grade=Grade.OK, subject=subject, found=found)


def note(subject: str, found: str, advice: str = "") -> Finding:
    """Worth knowing."""
    return Finding(grade=Grade.NOTE, subject=subject, found=found, advice=advice)


def warning(subject: str, found: str, advice: str = "") -> Finding:
    """Worth mending."""
    return Finding(grade=Grade.WARNING, subject=subject, found=found, advice=advice)


def danger(subject: str, found: str, advice: str = "") -> Finding:
    """It will get the process killed, or nothing can protect it as things are."""
    return Finding(grade=Grade.DANGER, subject=subject, found=found, advice=advice)


def exit_code(findings: Iterable[Finding]) -> int:
    """0 where all is well, 1 for a warning, 2 for a danger."""
    worst = max((finding.grade for finding in findings), default=Grade.OK)
    return max(0, worst - Grade.NOTE)


def in_words(findings: list[Finding]) -> Iterator[str]:
    """The findings as lines in columns, advice below, and a summary at the end."""
    width = max((len(finding.subject) for finding in findings), default=0)
    for finding in findings:
        yield f"{finding.grade.name.lower():<7} {finding.subject:<{width}}  {finding.found}"
        if finding.advice:
            yield f"{_INDENT}→ {finding.advice}"
    yield summary(findings)


def summary(findings: list[Finding]) -> str:
    """How many of each grade, and where the bad ones are."""
    parts = []
    for grade in reversed(Grade):
        of_grade = [finding.subject for finding in findings if finding.grade is grade]
        if not of_grade:
            continue
        is_plural = grade in {Grade.NOTE, Grade.WARNING, Grade.DANGER} and len(of_grade) > 1
        where = f" ({', '.join(dict.fromkeys(of_grade))})" if grade >= Grade.WARNING else ""
        parts.append(f"{len(of_grade)} {grade.name.lower()}{'s' if is_plural else ''}{where}")
    return ", ".join(parts)
