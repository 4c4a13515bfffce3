"""A report every 24 hours, as three files in a folder: text, JSON and a page.

The chore only starts a thread: making a page takes tens of milliseconds and a disk may be slow,
and the governor's thread must be at its post. What the thread needs is imported here, before it
runs: an import under way in a thread while the process forks would stay locked in the child.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from membudget.core import ReportMade
from membudget.core.native import NativeThread
from membudget.ownership import is_own, open_folder, write_whole
from membudget.report.as_json import SCHEMA, as_json
from membudget.report.figures import report as _figures  # noqa: F401  # loaded before the thread runs
from membudget.report.page import BEGINS as HTML_BEGINS
from membudget.report.page import as_html
from membudget.report.text import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.core import Clock
    from membudget.governor.loop import Governor
    from membudget.governor.telling import Teller
    from membudget.report.records import Report

EVERY = 24 * 3600.0
"""Seconds between two reports."""

KEEP = 14
"""Days of reports kept of a program."""

END_PATIENCE = 2.0
"""Seconds that the end of a budget waits for a report under way."""

_FORMS = {
    ".txt": b"Memory report",
    ".json": f'{{\n "schema": "{SCHEMA}"'.encode(),
    ".html": HTML_BEGINS.encode(),
}
"""The files of a report, and what each begins with, by which ours are known from others'."""

_ADVICE = "set report.directory to a folder that this user may write to"
_BEGIN, _PART = "membudget-", ".part"
_UNFINISHED = 60.0
"""Seconds after which a file is not being written any more, if its process seems to be gone: where
folders are shared, its number may be one of another container."""

_ABANDONED = 24 * 3600.0
"""Seconds after which it is not, whoever has that number now."""


class DailyReport:
    """A chore that has a report written once a day. `due` and `run` are the governor's thread's.

    Args:
        directory: Where to; made where missing, for this user alone.
        make: Makes the report; called on a thread of its own.
        tell: Is told `ReportMade`, and failures.
        clock: Where time comes from.
        name: What the program is called, in the files' names.
        every: Seconds between two.
        keep: Days of reports kept of this program.
    """

    def __init__(
        self,
        directory: str,
        make: Callable[[], Report],
        tell: Teller,
        clock: Clock,
        *,
        name: str = "",
        every: float = EVERY,
        keep: int = KEEP,
    ) -> None:
        self.name = "daily report"
        self._directory = os.path.abspath(directory)
        self._make = make
        self._tell = tell
        self._clock = clock
        self._program = "".join(one if one.isalnum() else "_" for one in name)[:40] or "python"
        self._every = every
        self._keep = keep
        self._next = clock.now() + every
        self._pid = os.getpid()
        self._thread: NativeThread | None = None
        try:
            self._forget_unfinished()
        except FileNotFoundError:
            pass  # The first report makes it.
        except OSError as error:  # What will fail tomorrow is told today.
            tell.failed("daily report", error)

    def due(self, now: float) -> bool:
        """Whether a day has passed; a forked child begins its own."""
        if self._pid != os.getpid():
            self._pid, self._thread, self._next = os.getpid(), None, now + self._every
        return now >= self._next

    def run(self, until: float) -> int:  # noqa: ARG002  # a chore's signature; the work is elsewhere
        """Start a report if one is due and none is under way; lets nothing go."""
        now = self._clock.now()
        if self.due(now) and (self._thread is None or not self._thread.is_alive()):
            self._next = now + self._every
            self._thread = NativeThread(self._write_and_tell, "mb-report")
            self._thread.start()
        return 0

    def end(self) -> None:
        """Wait a moment for a report under way."""
        if self._thread is not None:
            self._thread.join(END_PATIENCE)

    def write(self) -> tuple[str, ...]:
        """Make the report and write its files, each whole or not at all; old ones go.

        Returns:
            The paths.

        Raises:
            ConfigError: The folder is a link or no folder, or a file there is not ours.
            OSError: The folder cannot be written.
        """
        report = self._make()
        os.makedirs(os.path.dirname(self._directory), exist_ok=True)
        os.close(open_folder(self._directory, _ADVICE))
        stamp = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(time.time()))
        stem = f"{self._directory}/{_BEGIN}{self._program}-{stamp}-{os.getpid()}"
        texts = (as_text(report), json.dumps(as_json(report), indent=1) + "\n", as_html(report))
        paths = []
        for form, text in zip(_FORMS, texts, strict=True):
            data = text.encode("utf-8", "replace")
            write_whole(stem + form, data, begins=_FORMS[form], is_synced=True)
            paths.append(stem + form)
        self._forget_old()
        return tuple(paths)

    def _write_and_tell(self) -> None:
        try:
            paths = self.write()
            self._tell(ReportMade(at=self._clock.now(), paths=paths))
        except Exception as error:  # noqa: BLE001  # a thread of ours must not end in the program's face
            self._tell.failed("daily report", error)

    def _forget_unfinished(self) -> None:
        """Remove what processes that were killed while they wrote have left behind."""
        for name in os.listdir(self._directory):
            path = f"{self._directory}/{name}"
            begins = _FORMS.get(os.path.splitext(name.removesuffix(_PART))[1])
            if not name.startswith(_BEGIN) or not name.endswith(_PART) or begins is None:
                continue
            pid = name.split(".", 1)[0].rpartition("-")[2]
            with contextlib.suppress(OSError):  # Another process was first, or it is no file.
                age = time.time() - os.stat(path, follow_symlinks=False).st_mtime
                is_left = age > _ABANDONED or (age > _UNFINISHED and not _is_alive(pid))
                if is_left and is_own(path, begins):
                    os.unlink(path)

    def _forget_old(self) -> None:
        """Remove this program's reports but those of its newest days."""
        begin = f"{_BEGIN}{self._program}-"
        days: dict[str, list[str]] = {}
        for name in os.listdir(self._directory):
            rest = name.removeprefix(begin)
            if rest != name and name.endswith(tuple(_FORMS)) and _is_day(rest[:10]):
                days.setdefault(rest[:10], []).append(name)
        for day in sorted(days)[: -self._keep]:
            for name in days[day]:
                path = f"{self._directory}/{name}"
                with contextlib.suppress(FileNotFoundError):  # Another process was first.
                    if is_own(path, _FORMS[os.path.splitext(name)[1]]):
                        os.unlink(path)


def _is_alive(pid: str) -> bool:
    """Whether a process of this number runs, as far as can be seen from here."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:  # Somebody else's.
        return True
    return True


def _is_day(text: str) -> bool:
    return len(text) == 10 and text[4] == text[7] == "-" and text.replace("-", "").isdigit()  # noqa: PLR2004


class DailyPlugin:
    """The daily report as a plugin: of what the governor's own inspection reports.

    Args:
        directory: Where to.
        program: What the program is called.
    """

    name = "daily report"

    def __init__(self, directory: str, program: str = "") -> None:
        self._directory = directory
        self._program = program
        self._daily: DailyReport | None = None

    def join(self, governor: Governor) -> None:
        """Report on this governor's days."""

        def make() -> Report:
            made: Report = governor.plugins.member("report")()
            return made

        self._daily = DailyReport(
            self._directory, make, governor.tell, governor.clock, name=self._program
        )
        governor.chores.append(self._daily)

    def leave(self) -> None:
        """Wait a moment for a report under way."""
        if self._daily is not None:
            self._daily.end()
