"""The directive `{reference} NAME`: pages of reference made from the code, as MyST's Markdown.

What it makes can be linked to by its kind: {setting}`thresholds.low`, {command}`run`,
{event}`PressureChanged`, {exit-code}`64`.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import tokenize
from importlib import import_module
from io import StringIO
from typing import TYPE_CHECKING, Any

import click
import messages
from sphinx.util.docutils import SphinxDirective

import membudget
from membudget import cli
from membudget.core import Event, Severity, events
from membudget.core.protocols import ForkAware, Holder, Reclaimer
from membudget.settings.table import COMPONENTS, OF_COMPONENTS, SETTINGS, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from docutils import nodes
    from sphinx.application import Sphinx

_PARAGRAPH = re.compile(r"\n\s*\n")
_PLUMBING = {*vars(ForkAware), *vars(Holder), *vars(Reclaimer), "as_part", "enforce"}
"""What the governor calls and programs do not."""

_OPTION = re.compile(r"(?<![\w-])(?:--?[a-z][\w-]*|--(?=\s))")
KINDS = ("setting", "command", "event", "exit-code")


class Reference(SphinxDirective):
    """A part of the reference by its name, or a module's docstring."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The nodes of the Markdown that is made for the name."""
        name = self.arguments[0]
        made = MAKERS.get(name)
        text = "\n".join(made()) if made else text_of(import_module(name))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def settings() -> Iterator[str]:
    """Each setting, by section; what may be set for a watched container last."""
    sections: dict[str, list[Setting]] = {"General": []}
    for setting in SETTINGS.values():
        begin, dot, _ = setting.key.partition(".")
        sections.setdefault(begin if dot else "General", []).append(setting)
    for name, members in sections.items():
        yield f"## {name}\n"
        for setting in members:
            yield from _setting(setting)
    yield "## components\n\nFor each watched container, by the name that the program gave it.\n"
    for word, setting in OF_COMPONENTS.items():
        yield from _setting(setting.replace(key=f"{COMPONENTS}NAME.{word}"))


def _setting(setting: Setting) -> Iterator[str]:
    default = json.dumps(setting.write(setting.default)).strip('"')
    yield f"::::{{setting}} {setting.key}\n{_sentence(setting.meaning)}\n"
    yield f":Give: {setting.kind.form}"
    yield f":Default: `{default}`"
    if setting.variable:
        yield f":Variable: `{setting.variable}`"
    yield f":Live: {'yes' if setting.is_live else 'no, at the next start'}\n::::\n"


def commands() -> Iterator[str]:
    """Each command with its options."""
    for path, command in _all_commands("", cli.group()):
        if " " not in path:
            yield f"## {path}\n"
        yield from _command(path, command)


def _command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"membudget {path}")
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"::::{{command}} membudget {path}\n```text\nmembudget {path} {usage}\n```\n"
    yield f"{_marked(inspect.cleandoc(command.help or ''))}\n"
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            yield f"`{record[0]}`\n: {_marked(record[1])}\n"
    yield "::::\n"


def exit_codes() -> Iterator[str]:
    """What each command says of its own, and those that all share."""
    shared = {
        cli.USAGE: "wrong usage or settings, told in one line",
        os.EX_TEMPFAIL: "of `run`: the planned exit (`emergency.exit`), where nothing else helped",
        cli.NOT_EXECUTABLE: "the program of `run` cannot be executed",
        cli.NOT_FOUND: "the program of `run` was not found",
        cli.INTERRUPTED: "interrupted from the keyboard",
        128 + signal.SIGKILL: "as shells tell it: killed with SIGKILL, by the kernel or a stop",
    }
    yield "## Of all commands\n"
    for code, meaning in {0: "all is well", **shared}.items():
        yield f":::{{exit-code}} {code}\n{_sentence(meaning)}\n:::\n"
    yield "## By command\n"
    for path, command in _all_commands("", cli.group()):
        told = [one for one in _PARAGRAPH.split(command.help or "") if "Exit" in one]
        if told:
            words = _marked(" ".join(" ".join(told).split()))
            yield f"{{command}}`membudget {path}`\n: {words}\n"


def _all_commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if path:
        yield path, command
    for name, one in sorted(getattr(command, "commands", {}).items()):
        yield from _all_commands(f"{path} {name}".strip(), one)


def all_events() -> Iterator[str]:
    """Each event with its fields and severity, in the order of the code."""
    for event in vars(events).values():
        if _is_event(event):
            yield f"::::{{event}} {event.__name__}\n{text_of(event)}\n"
            severity = vars(event).get("severity", Severity.INFO)
            told = severity.name if isinstance(severity, Severity) else text_of(severity)
            yield f"Severity: {told}\n"
            notes = comments_of(event)
            for field in event.field_names():
                if field != "at":
                    note = f": {notes[field]}" if notes.get(field) else ""
                    yield f"- `{field}`, `{_annotation(event, field)}`{note}"
            yield "::::\n"


def api() -> Iterator[str]:
    """The public names but for errors and events, which have pages of their own."""
    values = {name: getattr(membudget, name) for name in membudget.__all__}
    classes = {name for name, value in values.items() if inspect.isclass(value)}
    functions = {name for name, value in values.items() if inspect.isroutine(value)}
    yield "## Functions\n"
    yield from _autodoc("autofunction", functions)
    yield "## Classes\n"
    own = {name for name in classes if _is_kind(values[name], Exception) or _is_event(values[name])}
    yield from _autodoc("autoclass", classes - own)
    if others := values.keys() - classes - functions:
        yield "## Values\n"
        yield from _autodoc("autodata", others, "   :no-value:\n")


def errors() -> Iterator[str]:
    """The public names that are errors."""
    names = {name for name in membudget.__all__ if _is_kind(getattr(membudget, name), Exception)}
    yield from _autodoc("autoclass", names)


def _autodoc(how: str, names: Iterable[str], options: str = "") -> Iterator[str]:
    for name in sorted(names):
        yield f"```{{eval-rst}}\n.. {how}:: membudget.{name}\n{options}```\n"


def _is_event(value: object) -> bool:
    return _is_kind(value, Event) and value is not Event


def _is_kind(value: object, kind: type) -> bool:
    return isinstance(value, type) and issubclass(value, kind)


def text_of(of: object) -> str:
    """A docstring as it is, or nothing."""
    return inspect.getdoc(of) or ""


def comments_of(of: type) -> dict[str, str]:
    """What stands behind the fields of a class, by field."""
    found = {}
    field = ""
    for token in tokenize.generate_tokens(StringIO(inspect.getsource(of)).readline):
        begins = re.match(r"    (\w+): ", token.line)
        field = begins[1] if begins else field
        if token.type == tokenize.COMMENT and field and field in token.line:
            found[field] = token.string.lstrip("# ")
    return found


def _annotation(of: type, field: str) -> str:
    for base in of.__mro__:
        if field in (notes := vars(base).get("__annotations__", {})):
            return str(notes[field])
    raise KeyError(field)


def _marked(words: str) -> str:
    """Options that stand in a text as they are, as code."""
    parts = words.split("`")
    parts[::2] = [_OPTION.sub(r"`\g<0>`", part) for part in parts[::2]]
    return "`".join(parts)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


MAKERS: dict[str, Callable[[], Iterator[str]]] = {
    "settings": settings,
    "commands": commands,
    "exit-codes": exit_codes,
    "api": api,
    "events": all_events,
    "errors": errors,
    "lines": messages.lines,
    "texts": messages.texts,
}


def public(app: Sphinx, env: Any, node: Any, content: Any) -> nodes.Node | None:
    """What an annotation names by its module, under its public name."""
    name = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in membudget.__all__:
        return None
    where = (node["refdoc"], app.builder, "obj", f"membudget.{name}", node, content)
    found: nodes.Node | None = env.domains["py"].resolve_xref(env, *where)
    return found


def is_left_out(_app: Sphinx, _what: str, name: str, *_more: object) -> bool | None:
    """Whether autodoc leaves a member out; None leaves that to others."""
    return True if name in _PLUMBING else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive and the kinds known."""
    app.add_directive("reference", Reference)
    app.connect("autodoc-skip-member", is_left_out)
    app.connect("missing-reference", public)
    for kind in KINDS:
        app.add_object_type(kind, kind, indextemplate=f"pair: %s; {kind}", objname=kind)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
