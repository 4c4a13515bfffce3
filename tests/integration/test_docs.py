"""The documentation builds without a warning, leaves nothing out, and its examples hold."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

import membudget
from commands import ended
from commands import membudget as command_line
from membudget.cli import help as pages_help
from membudget.core import Event, events
from membudget.errors import ConfigError
from membudget.settings.table import SETTINGS
from pages import (
    DOCS,
    PAGES,
    ROOT,
    SETUP,
    SHELLS,
    blocks,
    check_command,
    check_settings,
    check_variables,
    commands,
    programs,
    written_as_list,
)

CHECKED = ("python", *SHELLS, "yaml", "toml")
UNCHECKED = ("text", "dockerfile", "json", "ini", "c", "http", "diff", "systemd")
RUNNER = """
import ast, asyncio, inspect, sys
page, text = sys.argv[1], sys.stdin.read()
code = compile(text, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
made = eval(code, globals())
if inspect.isawaitable(made):
    async def _main(): await made
    asyncio.run(_main())
"""
SHOWING = {str(page.relative_to(ROOT)): page for page in PAGES if [*blocks(page)]}
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("name", SHOWING)
def test_what_a_page_shows_is_right(name: str, tmp_path: Path) -> None:
    """Each block has a language, and is what that language's readers take."""
    for block in blocks(SHOWING[name]):
        where = f"{name}:{block.line}"
        if block.language.startswith("{"):
            continue
        assert block.language in CHECKED + UNCHECKED, f"{where}: of no language known here"
        try:
            check_variables(block.text)
            if block.language in SHELLS:
                for words in commands(block.text):
                    check_command(words)
            for words in written_as_list(block.text):
                check_command(words)
            if block.language in ("yaml", "toml"):
                check_settings(block.language, block.text, tmp_path)
        except Exception as error:
            error.add_note(f"in {where}")
            raise


@pytest.mark.parametrize("name", SHOWING)
def test_the_python_of_a_page_runs(name: str, tmp_path: Path) -> None:
    """All of a page's blocks in one process, in order, in an empty folder."""
    text = next(programs(SHOWING[name]))
    done = ended(
        [sys.executable, "-c", RUNNER, str(SHOWING[name])],
        {"MEMBUDGET_AGENT_DIRECTORY": str(tmp_path)},
        input=text,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_the_python_of_all_pages_has_the_types_it_should(tmp_path: Path) -> None:
    """As an editor sees it: a name that is not ours any more, an argument that does not fit."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: uv sync --group check")
    for name, page in SHOWING.items():
        for number, text in enumerate(programs(page)):
            stem = re.sub(r"\W", "_", name.removesuffix(".md"))
            (tmp_path / f"{stem}_{number}.py").write_text(text, encoding="utf-8")
    # Blocks of a page begin anew what others had; await stands outside of functions.
    lenient = "no-redef var-annotated top-level-await import-untyped import-not-found"
    options = [
        *("--config-file=", "--python-executable", sys.executable, "--cache-dir=/dev/null"),
        *("--follow-imports=silent", "--check-untyped-defs", "--allow-redefinition"),
        *(f"--disable-error-code={code}" for code in lenient.split()),
    ]
    done = ended([sys.executable, "-m", "mypy", *options, "."], cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "membudget run --limt 400MiB -- python app.py",
        "membudget run --limit 400 -- python app.py",
        "membudget run --set thresholds.warnin=85% -- python app.py",
        "uv run membudget memory && uv run membudget memroy  # which is none",
        "membudget config chek app.yaml | cat",
        "membudget memory --wach > out.txt",
        "docker run image membudget status -q --fail-at never; echo $?",
    ],
)
def test_a_command_that_would_be_refused_is_found(text: str) -> None:
    with pytest.raises((AssertionError, ConfigError)):
        [*map(check_command, commands(text))]


def test_links_within_the_tree_lead_somewhere() -> None:
    """Sphinx looks after those to headings; these are for people who read the files."""
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in LINK.findall(text):
            if not re.match(r"[a-z]+:|#", link):
                assert (page.parent / link.partition("#")[0]).exists(), f"{page.name}: {link}"


def test_the_documentation_builds_and_nothing_is_missing(tmp_path: Path) -> None:
    """Warnings are errors; every setting, command, event, exit code and public name is there."""
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("sphinx is not installed: uv sync --group docs")
    from sphinx.util.inventory import InventoryFile

    out = tmp_path / "html"
    done = ended([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(out)])
    assert done.returncode == 0, done.stderr
    with (out / "objects.inv").open("rb") as file:
        found = InventoryFile.load(file, "", lambda base, name: name)
    assert found["std:setting"].keys() >= SETTINGS.keys()
    told = {one.__name__ for one in vars(events).values() if _is_event(one)}
    assert found["std:event"].keys() == told
    asked = command_line("--help").stdout.partition("Commands:")[2].split("\n")
    names = [line.split()[0] for line in asked if line.strip()]
    assert len(names) > 5
    assert found["std:command"].keys() > {f"membudget {name}" for name in names}
    assert found["std:exit-code"].keys() >= {"0", "64", "126", "127", "130"}
    described = {name for kind in found if kind.startswith("py:") for name in found[kind]}
    public = {name for name in membudget.__all__ if name not in told}
    assert described >= {f"membudget.{name}" for name in public}
    page = (out / "reference" / "commands.html").read_text(encoding="utf-8")
    for name in names:
        shown = command_line(name, "--help").stdout
        for option in re.findall(r"^ +(?:-\w, )?(--[\w-]+)", shown, re.MULTILINE):
            assert option == "--help" or option in page, f"{name} {option}"


def _is_event(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, Event) and one is not Event


def test_help_shows_every_page_that_has_a_topic() -> None:
    """Each is listed with its title, and its headings and code are there as they were written."""
    listed = command_line("help").stdout
    written = [
        path
        for kind in pages_help.KINDS
        for path in sorted((DOCS / kind).glob("*.md"))
        if path.name != "index.md"
    ]
    assert len(written) > 2
    for path in written:
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        assert re.search(rf"^{path.stem} +{re.escape(title)}$", listed, re.MULTILINE)
        shown = command_line("help", path.stem).stdout
        assert shown.startswith(f"{title}\n{'=' * len(title)}\n")
        for block in blocks(path):
            first = block.text.strip().partition("\n")[0]
            assert (first in shown) == (block.note != SETUP)


def test_help_names_the_nearest_page_and_tells_commands_apart() -> None:
    wrong = command_line("help", "watch-leaks")
    assert (wrong.returncode, wrong.stdout) == (64, "")
    assert "did you mean watch-for-leaks?" in wrong.stderr
    assert "`membudget run --help`" in command_line("help", "run").stderr
    assert "`membudget config explain`" in command_line("help", "settings").stderr
    assert "`membudget help` shows all" in command_line("help", "zzz").stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("membudget ", ["plain,help", "plain,run", "plain,stress"]),
        ("membudget run --re", ["plain,--require", "plain,--restart"]),
        ("membudget run --config ", ["file,"]),
        ("membudget run -- ap", ["file,ap"]),
        ("membudget config ch", ["plain,check"]),
        ("membudget report --samples ", ["file,"]),
    ],
)
def test_shells_complete_commands_options_and_files(words: str, offered: list[str]) -> None:
    """As the script asks that bash gets from `_MEMBUDGET_COMPLETE=bash_source membudget`."""
    asked = {
        "_MEMBUDGET_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = ended(["membudget"], {**asked, "PATH": str(Path(sys.executable).parent)})
    assert done.returncode == 0, done.stderr
    assert set(offered) <= set(done.stdout.split("\n"))
