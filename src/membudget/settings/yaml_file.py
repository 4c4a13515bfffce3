"""The top of a YAML file, with lines.

Read from the parser's events: nothing is constructed, so that no tag can make an object, an alias
is seen before it multiplies, and scalars stay the text that was written: 400 and "400" are the
same setting, 010 is no eight and 1:30 no ninety.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from membudget.settings.located import Located
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.settings.located import Findings

_DEEPEST = 64
_NULL = frozenset({"", "~", "null", "Null", "NULL"})


class _Unreadable(Exception):  # noqa: N818  # leaves the reader, not this module
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_yaml(text: str, section: str, findings: Findings) -> dict[str, Located] | None:
    """The keys at the top of a file; None where it is no YAML, which is noted.

    Args:
        text: Of the whole file.
        section: The one whose content is read; of the others, which belong to the program,
            only the line is kept.
        findings: Takes what is wrong.
    """
    try:
        return _Reader(text, section, findings).top()
    except _Unreadable as error:
        findings.add(error.line, str(error))
    except yaml.MarkedYAMLError as error:
        last = text.count("\n", 0, len(text) - 1) + 1
        line = min(error.problem_mark.line + 1, last) if error.problem_mark else None
        problem = one_line(error.problem or error)
        findings.add(line, f"is not YAML: {problem}; check indentation, colons and quotes there")
    except yaml.YAMLError as error:
        findings.add(None, f"is not YAML: {one_line(error)}; save it as plain text")
    return None


class _Reader:
    """Builds located values out of events."""

    def __init__(self, text: str, section: str, findings: Findings) -> None:
        self._section = section
        self._findings = findings
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events = _bounded(yaml.parse(text, Loader=loader))

    def top(self) -> dict[str, Located]:
        next(self._events)  # the stream begins
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return {}
        root = next(self._events)
        if isinstance(root, yaml.ScalarEvent) and root.implicit[0] and root.value in _NULL:
            found: dict[str, Located] = {}
        elif isinstance(root, yaml.MappingStartEvent):
            found = self._mapping(is_top=True)
        else:
            raise _Unreadable(_line(root), f"holds no keys: put settings under {self._section}:")
        next(self._events)  # the document ends
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _Unreadable(_line(event), "begins a second document: keep to one in a file")
        return found

    def _mapping(self, *, is_top: bool = False) -> dict[str, Located]:
        found: dict[str, Located] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = _line(event)
            if is_top and not (
                isinstance(event, yaml.ScalarEvent) and event.value == self._section
            ):
                self._skip(event)
                self._skip(next(self._events))
                if isinstance(event, yaml.ScalarEvent):
                    found.setdefault(event.value, Located(value=None, line=line))
                continue
            self._node(event)
            value = self._node(next(self._events))
            if not isinstance(event, yaml.ScalarEvent):
                self._findings.add(line, "has a key that is no word: write it as key: value")
            elif event.value == "<<":
                self._findings.add(line, "has a merge key (<<): write the settings out")
            elif event.value in found:
                before = found[event.value].line
                told = f"{one_line(event.value)} stands here and in line {before}: keep one"
                self._findings.add(line, told)
            else:
                found[event.value] = Located(value=value, line=line)
        return found

    def _node(self, event: Any) -> Any:
        """The value that begins with this event."""
        if isinstance(event, yaml.AliasEvent):
            self._findings.add(_line(event), "has an alias (*): write the value out")
            return None
        if event.anchor is not None:
            self._findings.add(_line(event), "has an anchor (&): leave it out")
        if event.tag is not None:
            tag = one_line(event.tag)
            self._findings.add(_line(event), f"has a tag ({tag}): write the plain value")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping()
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence()
        return None if event.implicit[0] and event.value in _NULL else event.value

    def _sequence(self) -> list[Located]:
        found = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(Located(value=self._node(event), line=_line(event)))
        return found

    def _skip(self, event: Any) -> None:
        """Pass over the value that begins with this event, whatever it holds."""
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if not depth:
                return
            event = next(self._events)


def _bounded(events: Iterator[Any]) -> Iterator[Any]:
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise _Unreadable(_line(event), f"is nested more than {_DEEPEST} deep: flatten it")
        yield event


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
