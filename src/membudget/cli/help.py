"""`membudget help`: a page of the documentation, as text for a terminal.

The pages are those in `docs/`. What is understood of Markdown is what they are written in.
"""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from glob import glob

import click

from membudget.cli import COMMANDS
from membudget.settings.table import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "help")
KINDS = ("tutorial", "how-to", "explanation")
_ELSEWHERE = {
    "settings": "`membudget config explain`",
    "commands": "`membudget --help`",
    "api": "`python -m pydoc membudget`",
    "events": "`python -m pydoc membudget.core`",
    "messages": "`membudget help troubleshooting`",
}
_WIDEST = 100  # Columns: longer lines are hard to read.
_LEAST = 24  # Columns that the last of a table's needs beside the others.
_BEGINS = re.compile(r" *(?:(?:[-*]|\d+\.) )?")  # What stands before a paragraph or an item.
_BLOCK = re.compile(
    r"^(?:(?P<unseen> *:::.*$|:[\w-]+:.*$|\([\w.-]+\)=$|<!--[\s\S]*?-->\n*)"
    r"|(?P<code> *```[\s\S]*?^ *```)$"
    r"|(?P<heading>#+ .*)$"
    r"|(?P<table>\|.*(?:\n\|.*)*)$"
    r"|(?P<text>.*\S.*(?:\n(?! *(?:[-*] |\d+\. |#|\||```|<!--|:::|$)).*)*)$"
    r"|(?P<blank>)$)",
    re.MULTILINE,
)
_BAR = re.compile(r"(?<!\\)\|")  # Between two cells of a table.
_INLINE = (
    (re.compile(r"\{[\w:-]+\}(`[^`]+`)"), r"\1"),  # a role
    (re.compile(r"!?\[([^\]]*)\]\((https?://[^)]*)\)"), r"\1 (\2)"),
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"\1"),
)


@click.command()
@click.argument("topic", required=False)
def command(topic: str | None) -> int:
    """Show a page of the documentation; without TOPIC, tell which there are.

    Exits 0, or 64 where there is no such page.
    """
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    pages = dict(topics())
    if topic in pages:
        click.echo_via_pager(f"{line}\n" for line in as_text(_read(pages[topic]), width))
        return 0
    if topic in COMMANDS:
        raise click.UsageError(f"{topic} is a command: `membudget {topic} --help` explains it")
    if topic in _ELSEWHERE:
        raise click.UsageError(
            f"{topic} is in the reference, built from the source by "
            f"`sphinx-build docs build/docs`: use {_ELSEWHERE[topic]} here"
        )
    if topic is not None:
        advice = nearest(topic, pages, where="membudget help")
        raise click.UsageError(f"there is no page {topic!r}: {advice}")
    longest = max(map(len, pages), default=0)
    for name, path in pages.items():
        click.echo(f"{name:<{longest}}  {title_of(_read(path))}")
    click.echo("Show one by `membudget help TOPIC`; each command is explained by its --help.")
    return 0


def topics() -> Iterator[tuple[str, str]]:
    """Each page's name and path, in the order of the documentation."""
    for kind in KINDS:
        for path in sorted(glob(os.path.join(PAGES, kind, "*.md"))):
            name = os.path.basename(path)[: -len(".md")]
            if name != "index":
                yield name, path


def title_of(page: str) -> str:
    """A page's first heading."""
    return next((line[2:] for line in page.splitlines() if line.startswith("# ")), "")


def as_text(page: str, width: int) -> Iterator[str]:
    """A page's lines: text wrapped, headings underlined, code as it stands."""
    for block in _BLOCK.finditer(page.strip()):
        kind, text = block.lastgroup, block[0]
        if kind == "blank":
            yield ""
        elif kind == "heading":
            marks, _, heading = _inline(text).partition(" ")
            yield from (heading, ("=" if marks == "#" else "-") * len(heading))
        elif kind == "code":
            body = textwrap.dedent("\n".join(text.splitlines()[1:-1]))
            yield from textwrap.indent(body, "    ").splitlines()
        elif kind == "table":
            yield from _table(text.splitlines(), width)
        elif kind == "text":
            begins = _BEGINS.match(text)
            yield from _wrapped(text, width, " " * len(begins[0]) if begins else "")


def _wrapped(text: str, width: int, hang: str) -> list[str]:
    words = f"{hang[: len(text) - len(text.lstrip())]}{' '.join(text.split())}"
    return textwrap.wrap(
        _inline(words),
        width,
        subsequent_indent=hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _inline(text: str) -> str:
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return text


def _table(lines: list[str], width: int) -> Iterator[str]:
    """Columns side by side, the last wrapped beside the others; in lines where there is no room."""
    rows = [[_inline(cell.strip()) for cell in _BAR.split(line)[1:-1]] for line in lines]
    rows = [row for row in rows if not set("".join(row)) <= set("-: ")]
    widths = [max(map(len, column)) for column in zip(*rows, strict=False)][:-1]
    left = sum(widths) + 2 * len(widths)
    for row in rows:
        if left > width - _LEAST:
            yield from _wrapped("- " + " · ".join(filter(None, row)), width, "  ")
            continue
        cells = [f"{cell:<{most}}  " for cell, most in zip(row, widths, strict=False)]
        last = textwrap.wrap(row[-1], width - left) or [""]
        yield "".join([*cells, last[0]]).rstrip()
        yield from (" " * left + line for line in last[1:])


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
