"""The pages written for people, and the examples in them: each is run, parsed or checked.

Python is checked by mypy as well.

A fenced block tells by its language what is done with it. An HTML comment before it, which no
reader sees, may say more:

    <!-- compile -->            the Python block that follows is not run
    <!-- setup                  Python that runs before what follows, and is not shown
    orders = ["EURUSD"]
    -->
"""

import ast
import inspect
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import yaml

from membudget import cli
from membudget.cli.run import read_options
from membudget.settings import resolve
from membudget.settings.file import read_file
from membudget.settings.table import CONFIG_VARIABLE, PURE_VARIABLE, SETTINGS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
SHELLS = ("sh", "bash", "console")
SETUP, COMPILED = "setup", "compile"

_BLOCK = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<code>.*?)^ *(?P=fence) *$"
    r"|^<!-- (?P<note>setup|compile)\b(?P<hidden>.*?)-->",
    re.MULTILINE | re.DOTALL,
)
_DIRECTIVE = re.compile(r"\{code-block\} *")
_JSON_COMMAND = re.compile(r"\[\s*\"?membudget\"?\s*,[^\]]*\]")
_VARIABLE = re.compile(r"\b(MEMBUDGET_[A-Z_]+)(?:=(\S+))?")
_OTHERS = {CONFIG_VARIABLE, PURE_VARIABLE, "MEMBUDGET_NO_NATIVE", "MEMBUDGET_REQUIRE_NATIVE"}


class Block(NamedTuple):
    """One example: its language, the line on which its text begins, and that."""

    language: str
    line: int
    text: str
    note: str = ""  # "setup" where readers do not see it, "compile" where it is not run.


def blocks(page: Path) -> Iterator[Block]:
    """The examples of a page, in order; hidden ones as well."""
    text = page.read_text(encoding="utf-8")
    note = ""
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 2
        if found["note"] == COMPILED:
            note = COMPILED
        elif found["note"] == SETUP:
            yield Block("python", line, inspect.cleandoc(found["hidden"]), SETUP)
        else:
            language = _DIRECTIVE.sub("", found["language"]).strip()
            yield Block(language, line, _dedented(found), note)
            note = ""


def _dedented(found: re.Match[str]) -> str:
    deep = len(found["indent"])
    lines = [line[deep:] for line in found["code"].splitlines()]
    for place, line in enumerate(lines):  # Options of a directive.
        if not re.match(r":[\w-]+:", line):
            break
        lines[place] = ""
    return "\n".join(lines)


def programs(page: Path) -> Iterator[str]:
    """A page's Python: what is run, as one program; then each block that only is compiled.

    Each line stands where the page has it, below a first one for mypy.
    """
    found = [block for block in blocks(page) if block.language == "python"]
    yield _placed([block for block in found if block.note != COMPILED])
    for block in found:
        if block.note == COMPILED:
            text = _placed([block])
            compile(text, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            # A part of a program names what is not there.
            yield f'# mypy: disable-error-code="name-defined"{text}'


def _placed(found: Sequence[Block]) -> str:
    lines: list[str] = []
    for block in found:
        lines += [""] * (block.line - 1 - len(lines)) + block.text.split("\n")
    return "\n".join(lines)


def commands(text: str) -> Iterator[list[str]]:
    """The `membudget` commands in lines for a shell, as words after that name."""
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        parts: list[list[str]] = [[]]
        for word in lexer:
            if set(word) <= set(";&|"):
                parts.append([])
            else:
                parts[-1].append(word)
        for part in parts:
            # Variables may stand before it, or another command, as in `uv run membudget`.
            at = next((i for i, word in enumerate(part) if word == "membudget"), None)
            if at is not None and part[at - 1 : at] not in (["install"], ["import"]):
                yield _without_redirects(part[at + 1 :])


def _without_redirects(words: Sequence[str]) -> list[str]:
    end = next((i for i, word in enumerate(words) if re.match(r"\d*[<>]", word)), len(words))
    return list(words[:end])


def written_as_list(text: str) -> Iterator[list[str]]:
    """Commands written as a list, as Dockerfiles and Kubernetes have them."""
    for found in _JSON_COMMAND.findall(text):
        yield yaml.safe_load(found)[1:]


def check_command(words: list[str]) -> None:
    """Raise where the command line would refuse these words."""
    found = read_options(words[1:]) if words[:1] == ["run"] else None
    if found is not None:
        given = dict(pair.split("=", 1) for pair in found[0]["set"])
        resolve({"limit": found[0]["limit"], **given}, {})
    if not words or found is not None:
        return
    command: click.Command = cli.group()
    path = "membudget"
    while isinstance(command, click.Group):
        if words[:1] == ["--version"]:
            break
        named = command.commands.get(words[0] if words else "")
        assert named is not None, f"{path} has no command {words[:1]}"
        path, command, words = f"{path} {words[0]}", named, words[1:]
    try:
        command.make_context(path, list(words)).close()
    except click.exceptions.Exit:  # --help and --version
        pass
    except click.ClickException as error:
        raise AssertionError(f"{path} {shlex.join(words)}: {error.format_message()}") from error


def check_variables(text: str) -> None:
    """Raise where a variable of ours is none, or its value would be refused."""
    known = {setting.variable for setting in SETTINGS.values()}
    for name, value in _VARIABLE.findall(text):
        if name in known and value:
            resolve({}, {name: value.strip("'\"")})
        assert name in known | _OTHERS, f"{name} is no variable"


def check_settings(language: str, text: str, folder: Path) -> None:
    """Raise where a settings file is refused; what is no settings file need only be well formed."""
    top: Any
    if language == "toml":
        import tomllib

        top = tomllib.loads(text)
    else:
        documents = list(yaml.safe_load_all(text))
        top = documents[0] if len(documents) == 1 else {}
    if isinstance(top, dict) and "memory" in top:
        file = folder / f"settings.{language}"
        file.write_text(text, encoding="utf-8")
        assert [str(error) for error in read_file(file).errors] == []
        resolve({}, {}, file)
