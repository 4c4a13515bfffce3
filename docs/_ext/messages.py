"""What membudget says, found in its code: the lines of events, and the errors with their remedies.

A message is what a call that makes an error, or tells one, is given; what it does not know before
it runs stands as an ellipsis. Most name the next thing to try themselves; the others have a row
here. The findings of the doctor are left out: each has its advice beside it.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import membudget
from membudget import errors
from membudget.core import (
    AdmissionRefused,
    BrakeHit,
    Failed,
    FloorFound,
    Late,
    LeakSuspected,
    Level,
    LimitExceeded,
    LimitForeseen,
    Pressure,
    PressureChanged,
    ProposalApplied,
    ProtectionTried,
    Reading,
    Reclaimed,
    ReportMade,
    Rung,
    SettingsReloaded,
    Shortcoming,
    Started,
    Stopped,
)
from membudget.errors import ProbeError
from membudget.sinks import line_of
from membudget.units import GIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from membudget.core import Event

SOURCE = Path(membudget.__file__).parent
ELLIPSIS = "…"
_TOLD_BY = {
    **dict.fromkeys(("complain", "warn", "tell"), "told"),
    **dict.fromkeys(("note", "_warn"), "Shortcoming"),
}
"""What is given a line to tell, and what such a line is."""

_TELLERS = ("_shortcomings", "begin")  # What answers with a shortcoming.
_LEAST = 3  # Words that a message has of its own; what has fewer passes another's on.
_MOST = 24  # Ways in which one call may word it.
_ASKS = (
    "acquire|adopt|ask|call|cache|change|check|chmod|choose|clean|close|connect|correct|"
    "cut|define|derive|disarm|do|end|execute|expect|export|finish|flatten|forbid|free|"
    "give|grant|hand|install|keep|leave|let|load|look|lower|make|mend|mount|move|name|"
    "open|pack|pass|pip|put|raise|read|register|remove|rename|report|restart|return|run|"
    "save|say|see|send|set|share|shrink|sort|start|stop|take|try|unpack|unset|use|wait|"
    "watch|write"
)
_REMEDY = re.compile(
    rf"(?<=.)(?:[:;,]| \(| so| and| or) ?(?:then |surely |first )?(?P<remedy>(?:`[^`]*` [a-z]+s? |"
    rf"(?:{_ASKS})\b|did you mean).*)$"
)


class Message(NamedTuple):
    """What one call may say."""

    kind: str  # The error's class, or "told".
    text: str
    file: str

    @property
    def split(self) -> tuple[str, str]:
        """What is wrong, and what to do about it; the latter is empty where the text has none."""
        if (row := REMEDIES.get(self.text)) is not None:
            return self.text, row
        if (found := _REMEDY.search(self.text)) is not None:
            return self.text[: found.start()].rstrip(), found["remedy"]
        return self.text, OF_FILES.get(self.file, "")


_SAME_VERSION = "use the same version of membudget on both sides"
_AS_PYTHON = "as for Python's own, whose words these are"

REMEDIES = {
    "module … has no attribute …": "look the name up in the reference",
    "module … has no attribute …:": "take the name that stands behind it",
    "… object has no attribute …": "take the name that stands behind it, where there is one",
    'give a limit, and this as a share of it, such as "70%"': "do so in what is converted",
    "forked amid the import of what answers questions": "ask again: the child answers a second "
    "after the fork; fork after membudget.start() has returned",
    "its answer is longer than …": "give --pid, or keep fewer samples (monitoring.history_size)",
    "process … gave no answer within … s: it is stopped, or code that holds the GIL keeps it "
    "busy; its slot can still be read": "ask again, or ask without -v",
    "process … is gone: it left a dead socket …; it was removed": "nothing is left to do",
    "…, by setting agent.directory": "set agent.directory to a folder of your own",
    "no history is kept: …": "mend what stands behind it; the budget goes on",
    "… is not kept: this system has no flock": "leave monitoring.history_file out here",
    "… is not kept: … processes keep one already": "give other programs another file",
    "process … cannot be looked at: …": "ask as its user or as root",
    "processes are found and asked on Linux only, and this is …: in the program, "
    "budget.stats() and budget.leaks() tell the same": "ask within the program",
    "forked amid an import: what is loaded late is not loaded here, no samples, no verdict": (
        "fork after membudget.start() has returned; the limit is kept all the same"
    ),
    "--out … cannot be written: …": "name a file in a folder of yours",
    "give --pid or a program, not both": "leave one of them out",
    "setting … is not known: …": "take the name that stands behind it",
    "there is no page …: …": "take the name that stands behind it",
    "… goes with --samples: a running process knows its own": "leave it out, or give --samples",
    "… s lies outside the years 1970 to 9999": "correct the clock, or the sample",
    "command … did not start: …": "give an executable, or a command on PATH",
    "program …; starting it again in … (restart …)": "see why it ends: the line says how it ended",
    "program …; starting it again in … (restart …); raise the limit: `membudget memory -v` shows "
    "who holds it": "raise the limit, or see who holds the memory while the program runs",
    "no thread can be started here (…): caches give way where they are filled, and the "
    "program may call budget.step(); it is tried again": "allow it more threads (pids.max)",
    "… has given none of … values twice: a … is equal only to itself, and each call brings "
    "another; …": "give key=, a function of the arguments that says what is the same",
    "the worker failed: …": "mend what it says; the demo needs Linux and 60 MiB",
    "…, as in: membudget run -- python app.py": "write the command as shown",
}
"""What to do about those whose text does not say it."""

OF_FILES = {
    "cache/spilling/disk.py": "make the folder anew; the cache goes on in memory",
    "cache/spilling/folder.py": "see who else writes to that folder; the disk begins empty",
    "cache/spilling/store.py": "see who else writes to that folder",
    "containers/list.py": _AS_PYTHON,
    "containers/ordered.py": _AS_PYTHON,
    "containers/sequence.py": _AS_PYTHON,
    "core/nouns.py": _SAME_VERSION,
    "core/wire.py": _SAME_VERSION,
    "host/__init__.py": "set agent.directory to a folder of your own",
    "ownership.py": "name another file or folder, of this user's alone",
    "probes/cgroup.py": "set a limit of your own, so that none has to be found",
    "probes/hints.py": "nothing is needed: the budget looks by itself",
    "probes/kernel_files.py": "set a limit of your own, so that none has to be found",
    "probes/process.py": "set a limit of your own, so that none has to be found",
    "report/readers.py": "mend the line or the file that it names",
    "cli/restart/__init__.py": "nothing, unless it comes again and again: see why the program ends",
    "budget/plugins.py": "do what it says; with the setting strict the start is refused instead",
    "sampling/form.py": "give another recording; a budget puts the file aside and begins anew",
}
"""The same for what a file raises in parts, which its caller tells whole."""

_PRESSED = Pressure(
    level=Level.CRITICAL,
    used=368 * MIB,
    limit=400 * MIB,
    growth=12.0 * MIB,
    seconds_left=2.7,
    cause="critical",
    floor=300 * MIB,
)
_READING = Reading(at=0.0, used=24 * MIB, limit=400 * MIB, source="cgroup v2 /web")
_LEAK = LeakSuspected(
    at=0.0,
    rate=12.0 * MIB,
    culprit="app.SessionStore._by_id",
    confidence="high",
    kind="leak in Python objects",
    reason="+12.0 MiB/h (11.0 to 12.9 MiB/h) over 6.0 h, +72.0 MiB in all; live Python objects "
    "grow with it.",
)
_NEAR = LimitForeseen(
    at=0.0,
    seconds_left=4 * 3600.0,
    soonest=3 * 3600.0,
    latest=6 * 3600.0,
    rate=12.0 * MIB,
    used=350 * MIB,
    limit=400 * MIB,
)
_TRIED = ProtectionTried(at=0.0, attempt=1, most=3, outcome="recovered")

LINES: tuple[tuple[tuple[Event, ...], str], ...] = (
    (
        (Started(at=0.0, reading=_READING), Started(at=0.0, reading=_READING.replace(limit=None))),
        (
            "Nothing where the limit is the one you expect. Else set `limit=`, MEMBUDGET_LIMIT, "
            "or that of the container; `membudget doctor` tells which limits there are."
        ),
    ),
    (
        (
            Shortcoming(
                at=0.0,
                what="the limit of 100 MiB (configured) is below what is held already (120 MiB): "
                "about 172 MiB would leave room to work; until then caches keep next to nothing",
            ),
        ),
        "What the line says. With the setting `strict` the start is refused instead.",
    ),
    (
        (
            Stopped(
                at=0.0,
                peak=371 * MIB,
                limit=400 * MIB,
                reclaimed=int(1.17 * GIB),
                levels={"NORMAL": 1020.0, "WARNING": 2.0},
                lasted=1022.0,
            ),
        ),
        "Nothing. Where most of the time was spent above NORMAL, raise the limit.",
    ),
    (
        (
            PressureChanged(
                at=0.0,
                before=Level.NORMAL,
                pressure=_PRESSED.replace(
                    level=Level.WARNING, used=324 * MIB, cause="warning", floor=0
                ),
            ),
            PressureChanged(at=0.0, before=Level.WARNING, pressure=_PRESSED),
            PressureChanged(
                at=0.0, before=Level.CRITICAL, pressure=Pressure(used=270 * MIB, limit=400 * MIB)
            ),
        ),
        (
            "Nothing at WARNING: memory is being freed. From CRITICAL on see who holds it by "
            "`membudget memory -v`, and raise the limit or send the process less work."
        ),
    ),
    (
        (
            FloorFound(
                at=0.0,
                pressure=_PRESSED,
                kept=20 * MIB,
                held_by="the program itself holds it, outside membudget's caches",
            ),
            FloorFound(
                at=0.0, pressure=_PRESSED, kept=0, is_last=True, culprit="app.SessionStore._by_id"
            ),
        ),
        "Raise the limit, or lower what holds the memory; caches are not what fills it.",
    ),
    (
        (
            Reclaimed(
                at=0.0,
                by="malloc trim",
                rung=Rung.AGGRESSIVE,
                asked=44 * MIB,
                claimed=int(38.1 * MIB),
                measured=int(38.1 * MIB),
                took=0.012,
            ),
        ),
        "Nothing. What is freed without a fall of memory use is still with the allocator.",
    ),
    (
        tuple(
            _TRIED.replace(attempt=attempt, outcome=outcome)
            for attempt, outcome in (
                (1, "recovered"),
                (2, "not enough"),
                (3, "admission shut"),
                (3, "exit"),
            )
        ),
        "Raise the limit, or restart the process; `membudget run --restart` does it by itself.",
    ),
    (
        (AdmissionRefused(at=0.0, asked=60 * MIB, room=40 * MIB, waited=2.0),),
        "Load less at a time, raise the limit, or wait longer with `timeout=`.",
    ),
    (
        (BrakeHit(at=0.0, mapped=360 * MIB, limit=361 * MIB, times=2),),
        "As for a refused request; the program got a `MemoryError`.",
    ),
    (
        (_LEAK, _LEAK.replace(confidence="none", reason="No leak over 6.0 h (it has stopped).")),
        "See `membudget report`: who grows, by how much, and what holds the newest of it.",
    ),
    (
        (
            LimitExceeded(at=0.0, name="trades", used=1200, limit=1000, unit="items"),
            LimitExceeded(at=0.0, name="ticks", used=52_000, limit=10_000, unit="maxlen"),
        ),
        "Give it a larger bound, or have it trimmed: `budget.watch(…, trim=True)`.",
    ),
    (
        (_NEAR, _NEAR.replace(seconds_left=None, used=120 * MIB)),
        (
            "Restart the process before that, at a quiet hour; look for the cause in "
            "`membudget report`."
        ),
    ),
    (
        (Late(at=0.0, by=2.1, times=3),),
        "See what code holds the GIL, such as one call into C; or give it more processors.",
    ),
    (
        (ReportMade(at=0.0, paths=("/var/log/app/report.json", "/var/log/app/report.html")),),
        "Nothing; open it.",
    ),
    (
        (SettingsReloaded(at=0.0, applied=("limit",), waiting=("brake",)),),
        "Restart the process for those that wait.",
    ),
    (
        (
            ProposalApplied(
                at=0.0,
                key="thresholds.warning",
                before="80%",
                after="75%",
                reason="99 of 100 samples stayed below 240 MiB",
            ),
        ),
        "Nothing; `leaks.apply_proposals` is on. Set the value yourself to keep another.",
    ),
    (
        (Failed(at=0.0, where="sink alerts", error=ProbeError("connection refused"), times=3),),
        "Mend what it names; the budget goes on without it.",
    ),
)
"""Events as they are told, with what to do: one row for each kind that has a line."""


@cache
def messages() -> list[Message]:
    """All that errors say, and what is told beside events, in the order of the alphabet."""
    files = sorted(one for one in SOURCE.rglob("*.py") if one.parent.name != "checkup")
    trees = {file: ast.parse(file.read_text()) for file in files}
    makers = {
        one.name: _name(one.returns)
        for tree in trees.values()
        for one in ast.walk(tree)
        if isinstance(one, ast.FunctionDef) and one.returns is not None and _is_error(one.returns)
    }
    found: dict[str, Message] = {}
    kinds = {**makers, **_TOLD_BY}
    for file, tree in trees.items():
        where = str(file.relative_to(SOURCE))
        for function in [tree, *_functions(tree)]:
            words = _wordings(function)
            for call in _calls(function):
                kind = kinds.get(name := _name(call.func), name)
                if name in kinds or _is_error(call.func):
                    for text in _texts(call.args[name == "note" :], words):
                        found.setdefault(text, Message(kind=kind, text=text, file=where))
            for told in _answers(function):
                for text in _texts([told], words):
                    found.setdefault(text, Message(kind="Shortcoming", text=text, file=where))
    return sorted(found.values())


def _is_error(node: ast.expr) -> bool:
    return _name(node).endswith(("Error", "Unreadable")) and _name(node) != "StandardError"


def _name(node: ast.expr) -> str:
    return ast.unparse(node).strip("'\"").rpartition(".")[2]


def _functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _calls(function: ast.AST) -> Iterator[ast.Call]:
    """Those of a function and not of one within it."""
    left = list(ast.iter_child_nodes(function))
    while left:
        node = left.pop()
        if isinstance(node, ast.Call):
            yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            left += ast.iter_child_nodes(node)


def _wordings(function: ast.AST) -> dict[str, list[ast.expr]]:
    """The texts that a function gives its names."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        for target, value in pairs:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs += zip(target.elts, value.elts, strict=False)
            elif isinstance(target, ast.Name) and _is_text(value):
                found.setdefault(target.id, []).append(value)
    return found


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) or _is_text(node.orelse)
    is_constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return is_constant or isinstance(node, ast.JoinedStr)


def _answers(function: ast.AST) -> Iterator[ast.expr]:
    if getattr(function, "name", "") in _TELLERS:
        for node in ast.walk(function):
            if isinstance(node, (ast.Yield, ast.Return)) and node.value is not None:
                yield node.value


def _texts(given: list[ast.expr], words: dict[str, list[ast.expr]]) -> Iterator[str]:
    """Each way in which it may be worded."""
    parts = [[*_ways(part, words, 2)] for part in given]
    for ways in islice(product(*parts), _MOST):
        text = " ".join(filter(None, ways))
        text = re.sub(rf"{ELLIPSIS}[ {ELLIPSIS}]*{ELLIPSIS}", ELLIPSIS, " ".join(text.split()))
        if len(re.findall(r"[a-z]{2,}", text)) >= _LEAST:
            yield text


def _ways(node: ast.expr, words: dict[str, list[ast.expr]], depth: int) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield node.value if isinstance(node.value, str) else ""
    elif isinstance(node, ast.IfExp):
        yield from _ways(node.body, words, depth)
        yield from _ways(node.orelse, words, depth)
    elif isinstance(node, ast.FormattedValue):
        yield from _ways(node.value, words, depth)
    elif isinstance(node, ast.JoinedStr):
        parts = [[*_ways(part, words, depth)] for part in node.values]
        yield from ("".join(ways) for ways in islice(product(*parts), _MOST))
    elif isinstance(node, ast.Name) and node.id in words and depth:
        for one in words[node.id]:
            yield from _ways(one, words, depth - 1)
    else:
        yield ELLIPSIS


def lines() -> Iterator[str]:
    """Each event that has a line: the line, what it means, and what to do."""
    for events, remedy in LINES:
        kind = type(events[0])
        meaning = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
        shown = "\n".join(filter(None, map(line_of, events)))
        yield f"### {kind.__name__}\n\n{meaning} Its fields: {{event}}`{kind.__name__}`.\n"
        yield f"```text\n{shown}\n```\n\n**What to do:** {remedy}\n"


def texts() -> Iterator[str]:
    """Each message of an error, or of a command, with what to do, by class."""
    found = messages()
    for kind in sorted({one.kind for one in found}, key=_rank):
        made = getattr(errors, kind, None)
        words = (
            (made.__doc__ or "").partition("\n")[0] if made else _KINDS.get(kind, "Python's own.")
        )
        yield f"### {'Told by commands' if kind == 'told' else kind}\n\n{words}\n"
        for one in found:
            if one.kind == kind:
                text, remedy = one.split
                yield f"{_code(text)}\n: {_code(remedy, ELLIPSIS)}\n"


_KINDS = {
    "Shortcoming": "Told once, as a warning: what keeps a budget from all that was asked for, or "
    "what a program does wrong.",
    "told": "Written to standard error by `membudget run` and other commands.",
    "UsageError": "A command that is not written rightly: exit code 64.",
    "Unreadable": "A settings file that cannot be taken: a `ConfigError` with its name and line.",
}


def _rank(kind: str) -> tuple[bool, bool, str]:
    return not hasattr(errors, kind), kind not in _KINDS, kind


def _code(text: str, *needs: str) -> str:
    """Text as code, fenced so that backticks in it stay; as it is where it has none of `needs`."""
    if needs and not any(one in text for one in (*needs, "`", "<", "*", "_", "[")):
        return f"{text[:1].upper()}{text[1:]}."
    return f"`` {text} ``"
