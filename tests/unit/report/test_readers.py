"""Files of samples, read whole or refused with the line that does not fit, and of bounds."""

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostile_answers import one_change
from membudget.core import PartSample
from membudget.core.wire import plain
from membudget.errors import ConfigError
from membudget.report import report
from membudget.report.readers import Bound, read_bounds, read_samples, with_bounds
from membudget.report.text import as_text
from membudget.sampling.form import to_text
from report_scene import MIB, assert_harmless, part, sample

CSV = (
    "t_s,rss_kb,malloc_used_kb,py_blocks,requests,c_by_id\n"
    "15,1024,512,100,3,7\n45,2048,600,90,4,9\n"
)
MPROF = (
    "CMDLINE python shop.py\n"
    "MEM 10.5 1700000000.10\n"
    "FUNC __main__.work 10.5 1700000000.1000 12.5 1700000002.1000\n"
    "CHLD 1 4.0 1700000001.11\nCHLD 2 2.0 1700000001.11\n"
    "MEM 12.5 1700000001.10\n"
)


def written(folder: Path, text: str, name: str = "file") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_own_rows_come_back_as_they_were(tmp_path: Path) -> None:
    kept = [sample(place, 90 + place, parts=(part(),)) for place in range(3)]
    text = "".join(json.dumps(plain(one)) + "\n" for one in kept)
    found = read_samples(written(tmp_path, text))
    assert list(found.samples) == kept
    assert found.is_dated


def test_a_history_file_is_a_recording(tmp_path: Path) -> None:
    """What a process kept over its restarts can be read after its end, and is checked as there."""
    kept = [sample(place, 90 + place, parts=(part(),)) for place in range(3)]
    path = tmp_path / "history"
    path.write_bytes(to_text(kept))
    assert list(read_samples(str(path)).samples) == kept
    path.write_bytes(to_text(kept)[:-1])
    with pytest.raises(ConfigError, match="cut short"):
        read_samples(str(path))


def test_wall_and_rss_are_enough(tmp_path: Path) -> None:
    found = read_samples(written(tmp_path, '{"wall": 1700000000, "rss": 1048576}\n'))
    assert (found.samples[0].used, found.samples[0].limit) == (MIB, None)


@pytest.mark.parametrize("is_packed", [False, True])
def test_csv_is_read_packed_or_not(tmp_path: Path, *, is_packed: bool) -> None:
    """Sizes in KiB, requests added up, parts from the c_ columns."""
    path = tmp_path / "trace.csv"
    path.write_bytes(gzip.compress(CSV.encode()) if is_packed else CSV.encode())
    found = read_samples(str(path))
    newest = found.samples[-1]
    assert not found.is_dated
    assert (newest.rss, newest.malloc, newest.blocks) == (2 * MIB, 600 * 1024, 90)
    assert (newest.wall, newest.requests) == (45.0, 7)
    assert [(one.name, one.items) for one in newest.parts] == [("by_id", 9)]


def test_csv_tells_which_columns_nobody_reads(tmp_path: Path) -> None:
    found = read_samples(written(tmp_path, "t_s,rss_kb,colour\n1,2,3\n"))
    assert found.notes == ("Columns that are not read: colour.",)


def test_mprof_is_read_with_functions_and_children(tmp_path: Path) -> None:
    """MiB and Unix seconds; children of one moment are added up."""
    found = read_samples(written(tmp_path, MPROF))
    assert found.name == "python shop.py"
    assert [one.rss for one in found.samples] == [round(10.5 * MIB), round(12.5 * MIB)]
    assert [one.children for one in found.samples] == [0, 6 * MIB]
    assert [(one.name, one.times, one.grew) for one in found.operations] == [
        ("__main__.work", 1, 2 * MIB)
    ]
    assert found.operations[0].took == pytest.approx(2.0)


def test_a_day_of_mprof_keeps_its_lowest_and_highest(tmp_path: Path) -> None:
    """Ten samples a second cannot be seen one by one; peaks must be."""
    rows = [
        f"MEM {500.0 if at == 23457 else 10 + at % 7} {1e9 + at / 10}\n" for at in range(60_000)
    ]
    found = read_samples(written(tmp_path, "".join(rows)))
    sizes = [one.rss // MIB for one in found.samples]
    assert len(sizes) <= 20_002
    assert (min(sizes), max(sizes)) == (10, 500)
    assert "60,000 samples" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"wall": 1, "rss": 1}\n{"wall": 2}\n', "line 2: rss is missing"),
        ('{"wall": 1, "rss": -1}\n', "line 1: rss is -1, and a whole number from 0 on"),
        ('{"wall": 1, "rss": 1}\nnot json\n', "line 2: 'not json' is no JSON object"),
        ('{"wall": NaN, "rss": 1}\n', "wall is nan, and a finite number from 0 on is due"),
        ('{"wall": 1, "rss": 1, "gc_runs": [1]}\n', "gc_runs is [1], and a list of 3 is due"),
        (
            '{"wall": 5, "rss": 1}\n{"wall": 2, "rss": 1}\n',
            "line 2: time goes back from 5.000 s to",
        ),
        ("t_s,rss_kb\n1,2\n0.5,2\n", "line 3: time goes back from 1.000 s to 0.500 s: sort"),
        ("t_s,rss_kb\n-1,2\n", "line 2: -1 s lies outside the years 1970 to 9999"),
        ("t_s,rss_kb\n1,-2\n", "line 2: rss_kb '-2' must be from 0 up"),
        ("t_s,rss_kb\nnan,2\n", "line 2: t_s 'nan' must be a finite number"),
        ("t_s,rss_kb\n1,inf\n", "line 2: rss_kb 'inf' must be a finite number"),
        ("MEM 10 5\nMEM 10 4\n", "line 2: time goes back from 5.000 s to 4.000 s"),
        ("MEM -10 5\n", "line 1: MEM -10.0 must be from 0 up"),
        ("t_s,rss_kb\n", "holds no samples, only its beginning: give a recording with at least"),
        ("CMDLINE python app.py\n", "holds no samples"),
        ("t_s,malloc_used_kb\n1,2\n", "must name t_s first, and rss_kb"),
        ("t_s,rss_kb,rss_kb\n1,2,3\n", "column 'rss_kb' must have a name of its own"),
        ("t_s,rss_kb\n1,2\n2\n", "line 3: 1 cells stand under 2 columns"),
        ("t_s,rss_kb\n1,many\n", "line 2: rss_kb 'many' must be a finite number"),
        ("MEM 10.5\n", "line 1: 'MEM 10.5' must be MEM <MiB> <Unix time>"),
        ("MEM 1 2\nNOISE 3\n", "line 2: 'NOISE 3' begins with no field of mprof's"),
        ("hello\n", "line 1: 'hello' begins no kind of file that is known"),
        ("", "is empty: give a file with at least one sample"),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_samples(path)
    assert says in str(caught.value)
    assert path in str(caught.value)


def test_fields_of_a_newer_version_are_skipped_and_named(tmp_path: Path) -> None:
    found = read_samples(written(tmp_path, '{"wall": 1, "rss": 1, "colour": 2}\n'))
    assert len(found.samples) == 1
    assert found.notes == ("Fields that are not read: 'colour'.",)


@pytest.mark.parametrize(
    "text", ['{"wall": 1, "rss": 1}\n{"wall": 2, "rs', "t_s,rss_kb\n1,2\n2,", "MEM 1 2\nMEM 1"]
)
def test_a_last_line_that_breaks_off_is_left_out_and_told(tmp_path: Path, text: str) -> None:
    """So ends the file of a process that was killed."""
    found = read_samples(written(tmp_path, text))
    assert len(found.samples) == 1
    assert "breaks off and was left out" in found.notes[-1]


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_samples(str(tmp_path / "nowhere"))
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(CSV.encode() * 50)[:40])
    with pytest.raises(ConfigError, match="the packed file is broken"):
        read_samples(str(cut))
    picture = tmp_path / "picture"
    picture.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ConfigError, match="no UTF-8 text"):
        read_samples(str(picture))


@given(
    st.sampled_from(
        ["t_s,rss_kb,py_blocks,c_a", "CMDLINE x", '{"wall": 1, "rss": 2, "parts": []}', ""]
    ),
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.lists(st.sampled_from(["MEM", "FUNC", "CHLD", "1", "-2", "1e300", "nan", "x"])).map(
                " ".join
            ),
            st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=3)), max_size=5).map(
                lambda cells: ",".join(map(str, cells))
            ),
            st.dictionaries(
                st.sampled_from(["wall", "rss", "pid", "ttl", "parts", "gc_runs", "at"]),
                st.one_of(st.none(), st.integers(), st.floats(), st.lists(st.integers())),
            ).map(json.dumps),
        ),
        max_size=4,
    ),
)
def test_any_text_is_read_or_refused_in_our_words(head: str, rows: list[str]) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="replace") as file:
        file.write("\n".join([head, *rows]))
        file.flush()
        try:
            found = read_samples(file.name)
        except ConfigError as error:
            assert file.name in str(error)  # noqa: PT017  # most texts are refused, not all
            return
    made = report(found.samples, is_dated=found.is_dated, notes=found.notes)
    as_text(made)
    made.as_html()


ROWS = json.loads(
    json.dumps([plain(sample(place, 90 + place, parts=(part(),))) for place in (0, 1, 2)])
)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_one_odd_field_is_refused_or_told_without_harm(data: st.DataObject) -> None:
    rows = data.draw(one_change(ROWS))
    text = "".join(json.dumps(row) + "\n" for row in (rows if isinstance(rows, list) else [rows]))
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = report(read_samples(written(Path(folder), text)).samples)
        except ConfigError as error:
            made = report([], name=str(error))
    assert_harmless(made)


ITEMS = (
    PartSample(name="users", kind="component", items=400),
    PartSample(name="by_id", kind="component", items=9),
)


def bounds(folder: Path, text: str) -> dict[str, Bound]:
    path = folder / "bounds"
    path.write_text(text, encoding="utf-8")
    return read_bounds(str(path))


@pytest.mark.parametrize(
    "text",
    [
        '{"users": {"max_items": 500, "bytes_per_item": 60}}',
        '{"bounded": {"users": {"max_items": 500, "bytes_per_item": 60}}, "id": "p003"}',
        "components:\n  users:\n    max_items: 500\n    bytes_per_item: 60\n",
    ],
)
def test_json_yaml_and_labels_say_the_same(tmp_path: Path, text: str) -> None:
    assert bounds(tmp_path, text) == {"users": Bound(max_items=500, bytes_per_item=60.0)}


def test_bytes_and_time_have_units(tmp_path: Path) -> None:
    found = bounds(tmp_path, "a: {max_bytes: 20MiB, ttl: 2h}\nb: {ttl_h: 2}\n")
    assert found == {"a": Bound(max_bytes=20 << 20, ttl=7200.0), "b": Bound(ttl=7200.0)}


def test_a_bound_explains_what_its_part_holds() -> None:
    """Items times the mean size of one; parts without a bound explain nothing."""
    (held,) = with_bounds(
        [sample(0, 90, parts=ITEMS)], {"users": Bound(max_items=500, bytes_per_item=60.0)}
    )
    assert held.explained == 24_000
    assert [one.is_bounded for one in held.parts] == [True, False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1, 2]", "is no mapping"),
        ("users: 5", "is no mapping"),
        ("users: {max_item: 5}", "'max_item' is not known: use max_items"),
        ("users: {max_items: 2.5}", "max_items 2.5 is a count"),
        ("users: {max_items: true}", "max_items True must be a number above zero"),
        ("users: {max_bytes: 20}", "max_bytes 20 has no unit"),
        ("users: {ttl: 5 apples}", "has an unknown unit"),
        ("a: b: c", "neither JSON nor YAML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bounds(tmp_path, text)
    assert says in str(caught.value)


def test_a_bound_on_no_part_is_an_error() -> None:
    """A slip in a name would otherwise explain nothing in silence."""
    with pytest.raises(ConfigError, match="known: by_id, users"):
        with_bounds([sample(0, 90, parts=ITEMS)], {"user": Bound(max_items=5)})
