"""A report every 24 hours, as three files in a folder: text, JSON and a page.

What its thread needs is imported here: an import under way at a fork stays locked in the child.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from typing import TYPE_CHECKING

from membudget.core import ReportMade
from membudget.core.native import NativeThread
from membudget.ownership import is_own, open_folder, write_whole
from membudget.report import SCHEMA
from membudget.report.page import BEGINS as HTML_BEGINS

if TYPE_CHECKING:
    from membudget.governor import Governor

EVERY = 24 * 3600.0  # Seconds between two reports
_FORMS = {
    ".txt": b"Memory report",
    ".json": f'{{\n "schema": "{SCHEMA}"'.encode(),
    ".html": HTML_BEGINS.encode(),
}
"""The files of a report, and what each begins with, by which ours are known from others'."""

_BEGIN, _PART = "membudget-", ".part"
_UNFINISHED = 60.0
"""Seconds after which a file is no longer being written, if its process seems to be gone: where
folders are shared, it may be one of another container. A day later none is."""


class DailyReport:
    """A plugin, and a chore, that has the governor's own report written once a day, by a thread.

    `program` stands in the files' names; reports of its newest `keep` days are kept.
    """

    name = "daily report"

    def __init__(self, directory: str, program: str = "", *, keep: int = 14) -> None:
        self._directory = os.path.abspath(directory)
        self._program = "".join(one if one.isalnum() else "_" for one in program)[:40] or "python"
        self._keep = keep
        self._thread: NativeThread | None = None

    def join(self, governor: Governor) -> None:
        """Report on this governor's days."""
        self._governor = governor
        self._next = governor.clock.now() + EVERY
        try:
            self._forget_unfinished()
        except FileNotFoundError:
            pass  # The first report makes it.
        except OSError as error:  # What will fail tomorrow is told today.
            governor.tell.failed(self.name, error)
        governor.chores.append(self)

    def leave(self) -> None:
        """Wait a moment for a report under way."""
        if self._thread is not None:
            self._thread.join(2.0)

    def after_fork_in_child(self) -> None:
        """Begin a day of one's own."""
        self._thread, self._next = None, self._governor.clock.now() + EVERY

    def due(self, now: float) -> bool:
        """Whether a day has passed."""
        return now >= self._next

    def run(self, until: float) -> int:  # noqa: ARG002  # a chore's signature; the work is elsewhere
        """Start a report if one is due and none is under way; lets nothing go."""
        now = self._governor.clock.now()
        if self.due(now) and (self._thread is None or not self._thread.is_alive()):
            self._next = now + EVERY
            self._thread = NativeThread(self._write_and_tell, "mb-report")
            self._thread.start()
        return 0

    def write(self) -> tuple[str, ...]:
        """Make the report and write its files, each whole or not at all; old ones go; the paths.

        `ConfigError` where the folder is a link or none, or a file there is not ours.
        """
        report = self._governor.plugins.member("report")()
        os.makedirs(os.path.dirname(self._directory), exist_ok=True)
        advice = "set report.directory to a folder that this user may write to"
        os.close(open_folder(self._directory, advice))
        stamp = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(time.time()))
        stem = f"{self._directory}/{_BEGIN}{self._program}-{stamp}-{os.getpid()}"
        texts = (f"{report}\n", json.dumps(report.as_json(), indent=1) + "\n", report.as_html())
        for (form, begins), text in zip(_FORMS.items(), texts, strict=True):
            data = text.encode("utf-8", "replace")
            write_whole(stem + form, data, begins=begins, is_synced=True)
        self._forget_old()
        return tuple(stem + form for form in _FORMS)

    def _write_and_tell(self) -> None:
        tell = self._governor.tell
        try:
            tell(ReportMade(paths=self.write(), at=self._governor.clock.now()))
        except Exception as error:  # noqa: BLE001  # a thread of ours must not end in the program's face
            tell.failed(self.name, error)

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
                is_left = age > EVERY or (age > _UNFINISHED and not _is_alive(pid))
                if is_left and is_own(path, begins):
                    os.unlink(path)

    def _forget_old(self) -> None:
        ours = re.compile(rf"{_BEGIN}{re.escape(self._program)}-(\d{{4}}-\d\d-\d\d).*(\.\w+)")
        days: dict[str, list[tuple[str, bytes]]] = {}
        for name in os.listdir(self._directory):
            if (found := ours.fullmatch(name)) and (begins := _FORMS.get(found[2])):
                days.setdefault(found[1], []).append((f"{self._directory}/{name}", begins))
        for day in sorted(days)[: -self._keep]:
            for path, begins in days[day]:
                with contextlib.suppress(FileNotFoundError):  # Another process was first.
                    if is_own(path, begins):
                        os.unlink(path)


def _is_alive(pid: str) -> bool:
    try:
        with contextlib.suppress(PermissionError):  # Somebody else's.
            os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    return True
