"""Settings files: what they may hold, and one line with file and line number for all else."""

import os
from pathlib import Path

import pytest

from membudget.errors import ConfigError
from membudget.settings import resolve
from membudget.settings.file import LARGEST, read_file

GOOD_YAML = """
logging: &base {level: info}
service:
  <<: *base
  secret: !vault abc
memory:
  limit: 400MiB
  thresholds: {low: 60%, rss: {warning: 500MiB}}
  monitoring:
    history_size: 100
    check_interval: ~
  caches:
    adopt: [app:prices, "app.views:Page.cache"]
    spare: "tmp_*, *"
  cleanup: {auto: off}
  emergency:
"""
GOOD_TOML = '''
[tool]
text = """
[memory]
limit = "1GiB"
"""
[memory]
limit = "400MiB"
thresholds.low = "60%"
thresholds.rss = { warning = "500MiB" }
[memory.monitoring]
history_size = 100
[memory . "caches"]
adopt = [
    "app:prices",
    "app.views:Page.cache",
]
spare = "tmp_*, *"
[memory.cleanup]
auto = false
'''
LINES = {
    "yaml": {"limit": 7, "thresholds.low": 8, "monitoring.history_size": 10, "cleanup.auto": 15},
    "toml": {"limit": 8, "thresholds.low": 9, "monitoring.history_size": 12, "cleanup.auto": 20},
}


def _refusal(path: Path, **environ: str) -> str:
    """The line by which this file is refused, without the folder it lies in."""
    with pytest.raises(ConfigError) as caught:
        resolve({}, environ, path)
    line = str(caught.value)
    assert line.isprintable()
    assert line.startswith(str(path))
    assert len(line) < 400 + len(str(path))
    return line.removeprefix(f"{path.parent}/")


@pytest.mark.parametrize(("suffix", "text"), [("yaml", GOOD_YAML), ("toml", GOOD_TOML)])
def test_a_file_sets_what_stands_under_memory(tmp_path: Path, suffix: str, text: str) -> None:
    """All else belongs to the program, whatever it holds; each value knows its line."""
    file = tmp_path / f"membudget.{suffix}"
    file.write_text(text)
    found = resolve({}, {}, file)
    assert found["limit"] == 400 << 20
    assert found["thresholds.low"] == 0.6
    assert found["thresholds.rss.warning"] == 500 << 20
    assert found["monitoring.history_size"] == 100
    assert found["monitoring.check_interval"] is None
    assert found["caches.adopt"] == ("app:prices", "app.views:Page.cache")
    assert found["caches.spare"] == ("tmp_*", "*")
    assert found["cleanup.auto"] is False
    for key, line in LINES[suffix].items():
        assert found.origins[key] == f"file {file}:{line}"
    assert found.origins["monitoring.check_interval"] == "default"


COMPONENTS = {
    "yaml": "memory:\n  components:\n    book: {max_items: 5000}\n    a.b: {max_bytes: 2MiB}\n",
    "toml": (
        "[memory.components.book]\nmax_items = 5000\n\n"
        '[memory.components]\n"a.b" = { max_bytes = "2MiB" }\n'
    ),
}


@pytest.mark.parametrize(("suffix", "line"), [("yaml", 3), ("toml", 2)])
def test_a_component_takes_what_stands_under_its_name(
    tmp_path: Path, suffix: str, line: int
) -> None:
    """Names are the program's, also with dots; an argument is over the file."""
    file = tmp_path / f"membudget.{suffix}"
    file.write_text(COMPONENTS[suffix])
    found = resolve({"components": {"a.b": {"max_items": 7}}}, {}, file)
    assert found.component("book") == {"max_items": 5000}
    assert found.component("a.b") == {"max_items": 7, "max_bytes": 2 << 20}
    assert found.component("b") == {}
    assert found.origins["components.book.max_items"] == f"file {file}:{line}"
    assert found.origins["components.a.b.max_items"] == "argument"
    over = resolve({"components": {"book": {"max_items": 6}}}, {}, file)
    assert over.component("book") == {"max_items": 6}


@pytest.mark.parametrize(
    "text", ["memory:\n", "memory: {}", "memory: ~\nother: 1", "\ufeffmemory:"]
)
def test_a_section_with_nothing_in_it_sets_nothing(tmp_path: Path, text: str) -> None:
    """As in a file where every line is commented out."""
    file = tmp_path / "a.yml"
    file.write_text(text, encoding="utf-8")
    assert set(resolve({}, {}, file).origins.values()) == {"default"}


WRONG_YAML = {
    "": "a.yaml: has no memory section: put settings under memory:",
    "# nothing": "a.yaml: has no memory section",
    "other: 1": "a.yaml: has no memory section: put settings under memory:; `membudget",
    "other: 1\nlimit: 400MiB": "a.yaml:2: limit stands at the top: put settings under memory:",
    "thresholds:\n  low: 5%": "a.yaml:1: thresholds stands at the top",
    "- memory": "a.yaml:1: holds no keys: put settings under memory:",
    "memory": "a.yaml:1: holds no keys",
    "memory: 5": "a.yaml:1: memory is no section: put keys and values under memory:",
    "memory:\n  limit: 400": "a.yaml:2: limit '400' has no unit: write 400MiB",
    "memory:\n  limit: '400'": "a.yaml:2: limit '400' has no unit: write 400MiB",
    "memory:\n  limit: true": "a.yaml:2: limit 'true' is not a number with a unit",
    "memory:\n  limit: [1]": "a.yaml:2: limit takes no list: give a size such as 400MiB",
    "memory:\n  limit: {max: 1}": "a.yaml:2: limit takes no keys under it: give a size",
    "memory:\n\n  thresholds: {low: 80}": "a.yaml:3: thresholds.low '80' has no unit: write ",
    "memory:\n  thresholds:\n    warnin: 80%": (
        "a.yaml:3: thresholds.warnin is not known: did you mean thresholds.warning?"
    ),
    "memory:\n  threshold:\n    warning: 80%": (
        "a.yaml:2: threshold is not known: did you mean thresholds?"
    ),
    "memory:\n  thresholds: 80%": "a.yaml:2: thresholds is a section: put keys and values under it",
    "memory:\n  thresholds.low: 60%": "a.yaml:2: thresholds.low is one key with a dot",
    "memory:\n  thresholds:\n    low: 85%": (
        "a.yaml:3: thresholds are out of order: warning=80% is below low=85%; raise warning or "
    ),
    "memory:\n  cleanup: {settle: 5}": "a.yaml:2: cleanup.settle '5' has no unit: use ms, s, m",
    "memory:\n  cleanup: {auto: maybe}": "a.yaml:2: cleanup.auto 'maybe' is not a switch",
    "memory:\n  monitoring: {history_size: 1:30}": "a.yaml:2: monitoring.history_size '1:30' is no",
    "memory:\n  caches: {adopt: [cache]}": "a.yaml:2: caches.adopt 'cache' is not a cache's place",
    "memory:\n  caches: {adopt: [~]}": "a.yaml:2: caches.adopt None is not a name",
    "memory:\n  caches: {adopt: [[a]]}": "a.yaml:2: caches.adopt {} is not a name",
    "memory:\n  caches: {spare: *}": "a.yaml:2: is not YAML: ",
    "memory:\n  agent: {directory: run}": "a.yaml:2: agent.directory 'run' is not a place",
    "memory:\n  components: 5": "a.yaml:2: components is a section: put keys and values under it",
    "memory:\n  components: {book: 5}": "a.yaml:2: components.book is a section: put keys",
    "memory:\n  components: {max_items: 5}": "a.yaml:2: components.max_items is a section",
    "memory:\n  components:\n    book:\n      max_items: 0": (
        "a.yaml:4: components.book.max_items '0' is not a count: give a whole number >= 1"
    ),
    "memory:\n  components:\n    a.b:\n      max_bytes: 20": (
        "a.yaml:4: components.a.b.max_bytes '20' has no unit: write "
    ),
    "memory:\n  components: {book: {max_bytes: [1MiB]}}": (
        "a.yaml:2: components.book.max_bytes takes no list: give a size such as 400MiB"
    ),
    "memory:\n  components:\n    book: {size: 5}": (
        "a.yaml:3: components.book.size is not known: write components.NAME with max_items and "
        "max_bytes under it"
    ),
    "memory:\n  components: {'': {max_items: 5}}": "a.yaml:2: components..max_items is not known",
    'memory:\n  components: {"a\\eb": {max_items: 5}}': (
        "a.yaml:2: components.a\\x1bb.max_items is not known"
    ),
    "memory:\n  components.book.max_items: 5": (
        "a.yaml:2: components.book.max_items is one key with a dot: write it nested"
    ),
    "memory:\n  component: {book: {max_items: 5}}": (
        "a.yaml:2: component is not known: did you mean components?"
    ),
    "memory:\n  limit: 1GiB\n  limit: 2GiB": "a.yaml:3: limit stands here and in line 2: keep one",
    "memory:\nmemory:": "a.yaml:2: memory stands here and in line 1: keep one",
    "a: &a 1GiB\nmemory:\n  limit: *a": "a.yaml:3: has an alias (*): write the value out",
    "memory:\n  limit: &a 1GiB": "a.yaml:2: has an anchor (&): leave it out",
    "memory: &m\n  limit: 1GiB": "a.yaml:1: has an anchor (&): leave it out",
    "a: &a {limit: 1GiB}\nmemory:\n  <<: *a": "a.yaml:3: has an alias (*)",
    "memory:\n  <<: {limit: 1GiB}": "a.yaml:2: has a merge key (<<): write the settings out",
    "memory:\n  limit: !!python/object/apply:os.getcwd []": "a.yaml:2: has a tag (tag:yaml",
    "memory:\n  limit: !size 5": "a.yaml:2: has a tag (!size): write the plain value",
    "memory:\n  ? [a]\n  : 1": "a.yaml:2: has a key that is no word: write it as key: value",
    "memory:\n  5: 1": "a.yaml:2: 5 is not known: `membudget config explain` shows all",
    'memory:\n  "a\\nb\\e": 1': "a.yaml:2: a b\\x1b is not known",
    "memory:\n---\nmemory:": "a.yaml:2: begins a second document: keep to one in a file",
    "memory:\n\tlimit: 1GiB": "a.yaml:2: is not YAML: found character ",
    "memory: [": "a.yaml:1: is not YAML: ",
    "memory: {limit: 1GiB\n\n": "a.yaml:",
    "memory:\n  limit: 'x": "a.yaml:2: is not YAML: ",
    "memory: " + "[" * 100_000: "a.yaml:1: is nested more than 64 deep: flatten it",
    "other: " + "{a: " * 50_000: "a.yaml:1: is nested more than 64 deep: flatten it",
    "memory:\n  limit: 1\0": "a.yaml:2: has the control character '\\x00': save it as plain text",
    "memory:\n  limit: \ufffe": "a.yaml: is not YAML: ",
}


@pytest.mark.parametrize(("text", "line"), WRONG_YAML.items(), ids=lambda case: str(case)[:40])
def test_what_is_wrong_in_yaml_is_one_line_with_file_and_number(
    tmp_path: Path, text: str, line: str
) -> None:
    """Value, rule and the next thing to try; no object is made, nothing multiplies."""
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    assert _refusal(file).startswith(line)


WRONG_TOML = {
    "": "a.toml: has no memory section: put settings under [memory]",
    'limit = "400MiB"': "a.toml:1: limit stands at the top: put settings under [memory]",
    "memory = 5": "a.toml:1: memory is no section: put keys and values under [memory]",
    "[[memory]]\nlimit = 1": "a.toml:1: memory is no section",
    "[memory]\nlimit = 400": "a.toml:2: limit '400' has no unit: write 400MiB",
    "[memory]\nlimit = 2024-01-01": "a.toml:2: limit '2024-01-01' is not a number with a unit",
    "[memory]\nlimit = inf": "a.toml:2: limit 'inf' is not a number with a unit",
    "[memory]\n[memory.thresholds]\nwarnin = 1": (
        "a.toml:3: thresholds.warnin is not known: did you mean thresholds.warning?"
    ),
    "[memory]\nthresholds = { low = 0.7 }": "a.toml:2: thresholds.low '0.7' has no unit",
    '[memory]\nthresholds.low = "85%"': "a.toml:2: thresholds are out of order: warning=80% is",
    "[memory]\nemergency.max_attempts = 1.5": "a.toml:2: emergency.max_attempts '1.5' is not a cou",
    "[memory]\ncleanup.auto = 'maybe'": "a.toml:2: cleanup.auto 'maybe' is not a switch",
    '[memory]\n"thresholds.low" = "60%"': "a.toml:2: thresholds.low is one key with a dot",
    '[memory]\nlimit = "1GiB"\nlimit = "2GiB"': "a.toml:3: is not TOML: Cannot overwrite a value",
    "[memory\nlimit = 1": "a.toml:1: is not TOML: Expected ']' at the end",
    "[memory]\nlimit = ": "a.toml:2: is not TOML: Invalid value",
    "[memory]\nlimit = 400MiB": "a.toml:2: is not TOML: ",
    "[memory]\nlimit = " + "9" * 5000: "a.toml: is not TOML: ",
    "[memory]\nlimit = 0x" + "9" * 5000: "a.toml: is not TOML: ",
    "[memory]\nlimit = " + "[" * 100_000: "a.toml: is nested too deep: flatten it",
    "[memory]\n" + ".".join("a" * 2000) + " = 1": "a.toml: is nested too deep: flatten it",
    "[memory]\nlimit = '\x01'": "a.toml:2: has the control character '\\x01'",
}


@pytest.mark.parametrize(("text", "line"), WRONG_TOML.items(), ids=lambda case: str(case)[:40])
def test_what_is_wrong_in_toml_is_one_line_with_file_and_number(
    tmp_path: Path, text: str, line: str
) -> None:
    file = tmp_path / "a.toml"
    file.write_text(text, encoding="utf-8")
    assert _refusal(file).startswith(line)


def test_a_bomb_of_aliases_is_refused_at_the_first(tmp_path: Path) -> None:
    """Nothing is expanded, so nothing grows."""
    levels = [f"  x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 30)]
    file = tmp_path / "a.yaml"
    file.write_text("\n".join(["memory:", "  x0: &x0 lol", *levels]))
    assert _refusal(file) == "a.yaml:2: has an anchor (&): leave it out"


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    """Nothing waits for a pipe's writer, nothing is parsed before its size is known."""
    assert _refusal(tmp_path / "no.yaml") == "no.yaml: there is no such file: check the path"
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    assert _refusal(folder) == "folder.yaml: is a directory: give the file in it"
    os.mkfifo(tmp_path / "pipe.yaml")
    assert _refusal(tmp_path / "pipe.yaml").startswith("pipe.yaml: is a pipe or a device")
    (tmp_path / "null.yaml").symlink_to("/dev/zero")
    assert _refusal(tmp_path / "null.yaml").startswith("null.yaml: is a pipe or a device")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert _refusal(tmp_path / "loop.yaml").startswith("loop.yaml: cannot be read (")
    (tmp_path / "memory.toml").symlink_to("/proc/self/mem")
    assert _refusal(tmp_path / "memory.toml").startswith("memory.toml: cannot be read (Input/")
    large = tmp_path / "large.yaml"
    large.write_text("memory:\n" + "#" * LARGEST)
    assert _refusal(large) == "large.yaml: is larger than 256 KiB: give a file of settings only"
    other = tmp_path / "membudget.json"
    other.write_text("{}")
    assert _refusal(other).startswith(
        "membudget.json: has an unknown suffix: name it as one of .yaml, ."
    )
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"[memory]\n# caf\xe9\n")
    assert _refusal(latin) == "latin.toml:2: is not UTF-8: save it as UTF-8 text"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_without_the_right_to_read_it_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("memory:")
    file.chmod(0)
    assert _refusal(file).startswith("a.yaml: cannot be read (Permission denied): check its rights")


@pytest.mark.parametrize("name", ["", "a\0.yaml", "x" * 5000, "a\nb.yaml", "\udcff.toml"])
def test_a_name_that_is_no_name_is_refused_in_one_line(name: str) -> None:
    """Whatever stands in MEMBUDGET_CONFIG or in an argument."""
    with pytest.raises(ConfigError) as caught:
        resolve({}, {}, name)
    assert str(caught.value).isprintable()


def test_all_that_is_wrong_is_found_in_the_order_of_lines(tmp_path: Path) -> None:
    """One run tells everything there is to mend."""
    file = tmp_path / "a.yaml"
    file.write_text(
        "memory:\n  limit: 4\n  x: 1\n  limit: 5\n  cleanup: {auto: 7, settle: !s 2s}\n"
    )
    found = read_file(file)
    lines = [str(error).removeprefix(f"{file}:").partition(":")[0] for error in found.errors]
    assert lines == ["2", "3", "4", "5", "5"]
    assert found.refused == ("limit", "cleanup.auto")
