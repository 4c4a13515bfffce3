"""What the doctor says of the machine, the allocator, the settings, and of what it cannot read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor_scene import LAYOUTS, around, put
from membudget.cli.checkup import Finding, Grade, Surroundings, danger, note, ok, warning
from membudget.cli.checkup.limits import check_settings
from membudget.cli.checkup.machine import (
    check_glibc,
    check_huge_pages,
    check_preloads,
    check_promises,
    check_python,
    check_stalls,
    check_swap,
    check_variables,
)
from membudget.cli.checkup.reach import check_folder, judge_start
from membudget.cli.doctor import exit_code, fenced, in_words
from membudget.errors import ProbeError


def only(findings: Iterator[Finding]) -> Finding:
    (found,) = findings
    return found


def test_no_swap_is_well_and_swap_counts(tmp_path: Path) -> None:
    """A machine with swap is slow before anybody is killed."""
    put(tmp_path, "proc/meminfo", "MemTotal:  100 kB\nSwapTotal:       0 kB\n")
    assert only(check_swap(around(tmp_path))).grade is Grade.OK
    put(tmp_path, "proc/meminfo", f"MemTotal:  100 kB\nSwapTotal: {2 << 20} kB\n")
    put(tmp_path, "sys/module/zswap/parameters/enabled", "Y\n")
    finding = only(check_swap(around(tmp_path)))
    assert finding.grade is Grade.NOTE
    assert finding.found.startswith("2.00 GiB: what is swapped out counts as used")
    assert "zswap" in finding.found
    assert "memory.swap.max 0" in finding.advice


def test_swap_that_the_group_may_not_use_is_well(tmp_path: Path) -> None:
    """v2 says so by a nought, v1 by one limit for both."""
    for layout, path, text in (
        ("v2", "sys/fs/cgroup/system.slice/web.service/memory.swap.max", "0\n"),
        ("v1", "sys/fs/cgroup/memory/web/memory.memsw.limit_in_bytes", f"{400 << 20}\n"),
    ):
        root = tmp_path / layout
        for file in (LAYOUTS / layout).rglob("*"):
            if file.is_file():
                put(root, str(file.relative_to(LAYOUTS / layout)), file.read_text())
        assert only(check_swap(around(root))).grade is Grade.NOTE
        put(root, path, text)
        assert only(check_swap(around(root))).grade is Grade.OK


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("some avg10=0 avg60=0.50 total=9\nfull avg10=0 avg60=0 total=9", Grade.OK),
        ("some avg10=0 avg60=30.0 total=9\nfull avg10=0 avg60=0 total=9", Grade.WARNING),
        ("", Grade.NOTE),
    ],
)  # fmt: skip
def test_stalls_are_told_and_their_absence_costs_little(
    text: str, grade: Grade, tmp_path: Path
) -> None:
    put(tmp_path, "proc/pressure/memory", text)
    first = next(check_stalls(around(tmp_path)))
    assert first.grade is grade


@pytest.mark.parametrize(
    ("watch", "grade"), [("/run/pressure", Grade.OK), ("/dev/null", Grade.NOTE)]
)
def test_the_service_managers_wake_up_is_told(watch: str, grade: Grade, tmp_path: Path) -> None:
    """Systemd hands it over by a variable, and switches it off by one."""
    *_, last = check_stalls(around(tmp_path, MEMORY_PRESSURE_WATCH=watch))
    assert last.grade is grade


@pytest.mark.parametrize(
    ("mode", "promised", "grade"),
    [("0", 0, Grade.OK), ("1", 0, Grade.NOTE), ("2", 10, Grade.NOTE), ("2", 95, Grade.WARNING)],
)
def test_each_way_of_promising_memory_is_told(
    mode: str, promised: int, grade: Grade, tmp_path: Path
) -> None:
    """Under strict accounting it matters how much is promised."""
    put(tmp_path, "proc/sys/vm/overcommit_memory", mode)
    put(tmp_path, "proc/sys/vm/overcommit_ratio", "50")
    put(tmp_path, "proc/meminfo", f"CommitLimit: 100 kB\nCommitted_AS: {promised} kB\n")
    finding = only(check_promises(around(tmp_path)))
    assert finding.grade is grade
    assert f"vm.overcommit_memory {mode}" in finding.found


@pytest.mark.parametrize(
    ("text", "grade"),
    [("[always] madvise never", Grade.NOTE), ("always [madvise] never", Grade.OK)],
)
def test_huge_pages_for_all_are_noted(text: str, grade: Grade, tmp_path: Path) -> None:
    """One object keeps 2 MiB resident."""
    put(tmp_path, "sys/kernel/mm/transparent_hugepage/enabled", text)
    assert only(check_huge_pages(around(tmp_path))).grade is grade


@pytest.mark.parametrize(
    ("environ", "grade"),
    [
        ({"MALLOC_TRIM_THRESHOLD_": "65536"}, Grade.WARNING),
        ({"MALLOC_TRIM_THRESHOLD_": "131072"}, Grade.WARNING),
        ({"MALLOC_TRIM_THRESHOLD_": "0x10000"}, Grade.WARNING),
        ({"MALLOC_TRIM_THRESHOLD_": "1073741824"}, Grade.WARNING),
        ({"MALLOC_MMAP_THRESHOLD_": "65536"}, Grade.WARNING),
        ({"GLIBC_TUNABLES": "glibc.rtld.x=1:glibc.malloc.trim_threshold=65536"}, Grade.WARNING),
        (
            {"MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_MMAP_THRESHOLD_": "33554432"},
            Grade.NOTE,
        ),
    ],
)
def test_a_threshold_that_ends_glibcs_adjusting_is_a_warning(
    environ: dict[str, str], grade: Grade
) -> None:
    """Unless both stand above the size of arrays, which was measured to cost nothing."""
    _arenas, finding = check_glibc(environ, 4)
    assert finding.grade is grade
    assert ("unset" in finding.advice) == (grade is Grade.WARNING)


def test_without_thresholds_and_with_arenas_there_is_nothing_to_say() -> None:
    """The defaults adjust themselves; --malloc is told only where it would change something."""
    assert only(check_glibc({"MALLOC_ARENA_MAX": "2"}, 4)).grade is Grade.OK
    unset = only(check_glibc({"GLIBC_TUNABLES": "glibc.rtld.x=1", "MALLOC_ARENA_MAX": ""}, 4))
    assert "up to 32 arenas" in unset.found
    assert "--malloc" in unset.advice


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"PYTHONMALLOC": "debug"}, "debug checks"),
        ({"PYTHONDEVMODE": "1"}, "debug checks"),
        ({"PYTHONTRACEMALLOC": "5"}, "PYTHONTRACEMALLOC"),
        ({"MALLOC_TRIM_THRESHOLD": "65536"}, "the name ends with _"),
    ],
)
def test_variables_that_cost_or_do_nothing_are_warned_of(
    environ: dict[str, str], told: str
) -> None:
    finding = only(check_variables(environ))
    assert finding.grade is Grade.WARNING
    assert told in finding.found
    assert not list(check_variables({"PYTHONTRACEMALLOC": "0", "PYTHONMALLOC": "default"}))


def test_a_preload_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    there = tmp_path / "libjemalloc.so"
    there.touch()
    environment = around(tmp_path, LD_PRELOAD=f"{there}:/no/such.so libx.so")
    grades = [finding.grade for finding in check_preloads(environment)]
    assert grades == [Grade.OK, Grade.WARNING, Grade.OK]


def test_settings_are_told_with_where_they_came_from(tmp_path: Path) -> None:
    told = check_settings(around(tmp_path, MEMBUDGET_LIMIT="300MiB", MEMBUDGET_BRAKE="yes"))
    assert [one.found for one in told] == [
        "limit 300MiB (environment MEMBUDGET_LIMIT)",
        "brake true (environment MEMBUDGET_BRAKE)",
    ]
    assert only(check_settings(around(tmp_path))).found == "all are the defaults"


def test_wrong_settings_are_a_warning_with_their_own_words(tmp_path: Path) -> None:
    finding = only(check_settings(around(tmp_path, MEMBUDGET_LIMIT="300")))
    assert finding.grade is Grade.WARNING
    assert "MEMBUDGET_LIMIT '300' has no unit" in finding.found


def test_a_folder_that_cannot_be_ours_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong = around(tmp_path, MEMBUDGET_AGENT_DIRECTORY=str(tmp_path / "file"))
    assert only(check_folder(wrong)).grade is Grade.WARNING
    none = around(tmp_path, MEMBUDGET_AGENT_DIRECTORY="none")
    assert only(check_folder(none)).grade is Grade.NOTE
    new = around(tmp_path, MEMBUDGET_AGENT_DIRECTORY=str(tmp_path / "new"))
    assert only(check_folder(new)).found.endswith("new: 0 processes under a budget")


@pytest.mark.parametrize(
    ("told", "wanted", "grade"),
    [
        ("brake armed: x", "no", Grade.OK),
        ("no brake: x", "no", Grade.NOTE),
        ("no brake", "yes", Grade.WARNING),
    ],
)
def test_a_brake_that_cannot_be_armed_is_worse_where_it_is_asked_for(
    told: str, wanted: str, grade: Grade
) -> None:
    answer = {"note": told, "used": 20 << 20, "limit": 200 << 20, "source": "cgroup v1 /web"}
    start, brake = judge_start(answer, is_wanted=wanted == "yes")
    assert start.found.endswith("fullest now: cgroup v1 /web, 20.0 MiB of 200 MiB (10%)")
    assert brake.grade is grade


def test_a_budget_that_cannot_start_is_a_danger() -> None:
    assert only(judge_start({"error": "limit 5 MiB"}, is_wanted=False)).grade is Grade.DANGER
    lacks = {"lacks": ["the limit is below"], "note": "brake armed: 1 GiB"}
    start, _brake = judge_start(lacks, is_wanted=False)
    assert (start.grade, start.found.endswith("the limit is below")) == (Grade.DANGER, True)
    assert only(judge_start("no answer", is_wanted=False)).grade is Grade.WARNING


@pytest.mark.parametrize(
    "error", [ProbeError("cannot read x"), PermissionError(13, "no"), KeyError("k")]
)
def test_what_cannot_be_read_is_a_finding_and_no_traceback(
    error: Exception, tmp_path: Path
) -> None:
    """What was found before it stays, and the next check goes on."""

    def check(_: Surroundings) -> Iterator[Finding]:
        yield ok("none", "zram")
        raise error

    first, last = fenced("swap", check, around(tmp_path))
    assert (first.grade, first.subject) == (Grade.OK, "zram")
    assert (last.grade, last.subject) == (Grade.WARNING, "swap")


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], 0),
        ([ok("x"), note("x")], 0),
        ([note("x"), warning("x")], 1),
        ([danger("x"), warning("x")], 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst(findings: list[Finding], code: int) -> None:
    assert exit_code(findings) == code


def test_findings_stand_in_columns_with_their_advice_below() -> None:
    findings = [ok("fine", "limits"), warning("hides", "forbid it", "swap"), ok("b", "a")]
    assert list(in_words(findings)) == [
        "ok      limits  fine",
        "warning swap    hides",
        "        → forbid it",
        "ok      a       b",
        "1 warning (swap), 2 ok",
    ]


def test_a_python_without_the_compiled_core_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installers say nothing of an extension that could not be built; caches would be slower."""
    monkeypatch.setattr("membudget.cli.checkup.machine.core", object())
    assert "compiled" not in "".join(row.found for row in check_python(around(tmp_path)))
    monkeypatch.setattr("membudget.cli.checkup.machine.core", None)
    (row,) = (row for row in check_python(around(tmp_path)) if "compiled core" in row.found)
    assert row.grade is Grade.NOTE
    assert "--only-binary" in row.advice
