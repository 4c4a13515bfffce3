"""The thread of a spilling cache: all that is done on its disk, one thing at a time.

Whoever evicts only notes the value; it is pickled and written here, where nobody waits. Lookups
come first, then what is to be deleted, then what is to be written.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from membudget.bounded.spilling.folder import SpillFolder
from membudget.bounded.spilling.index import Kept, load_index, save_index
from membudget.bounded.spilling.pickling import Pickling
from membudget.bounded.spilling.rows import Row
from membudget.bounded.spilling.seal import Seal, new_key, user_key
from membudget.bounded.spilling.store import Store
from membudget.core.native import Lock, NativeThread, sleep
from membudget.errors import ConfigError, MembudgetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from membudget.bounded.spilling.ledger import Ledger
    from membudget.bounded.spilling.rows import Waiting
    from membudget.bounded.spilling.spill import Spill

READ_PATIENCE = 1.0
"""Seconds that a lookup waits for the disk; then it is a miss."""

END_PATIENCE = 2.0
"""Seconds that the end of a cache waits for its thread."""

_AT_ONCE = 64


class Read:
    """A value asked of the disk, and a lock that is free once it is there."""

    __slots__ = ("done", "number", "pickled")

    def __init__(self, number: int) -> None:
        self.number = number
        self.pickled: bytes | None = None
        self.done = Lock()
        self.done.acquire()


class SpillDisk:
    """The disk of one cache in one process, and the thread that alone is at it.

    Around forks it closes the database, which must not cross one.

    Args:
        name: The cache's.
        spill: Where and how much.
        ledger: What is known of the disk.
        now: Monotonic seconds.

    Raises:
        ConfigError: The directory cannot be used.
    """

    _folder: SpillFolder | None
    _store: Store | None
    _thread: NativeThread | None
    _seal: Seal
    _has_database: bool
    _is_kept_on: bool
    _is_ending: bool
    _is_resting: bool
    _is_busy: bool

    def __init__(self, name: str, spill: Spill, ledger: Ledger, now: Callable[[], float]) -> None:
        self.state = "on"
        self._cache_name, self._spill, self._ledger, self._now = name, spill, ledger, now
        self._failure: Exception | None = None
        self._is_told = False
        self.pickling = Pickling()
        self._begin()
        self._take_folder()

    @property
    def directory(self) -> str | None:
        """The folder that is in use now."""
        return None if self._folder is None else self._folder.path

    @property
    def is_on(self) -> bool:
        """Whether the disk is used."""
        return self.state == "on"

    @property
    def max_bytes(self) -> int:
        """The bound on the disk."""
        return self._spill.max_bytes

    def stored_bytes(self) -> int:
        """Bytes on the disk, as last measured."""
        return 0 if self._store is None else self._store.bytes

    def prepare(self) -> None:
        """Take a folder where there is none yet: at first use after a fork."""
        if self._folder is None and self.is_on:
            try:
                self._take_folder()
            except ConfigError as error:
                self._turn_off(error)

    def wake(self) -> None:
        """Have the thread look for work; it is started where there is none."""
        if not self.is_on or self._is_ending:
            return
        if self._thread is None:
            with self._ledger.lock:
                if self._thread is None:
                    thread = NativeThread(self._run, "mb-spill")
                    try:
                        thread.start()
                    except RuntimeError as error:  # No thread is to be had.
                        self._turn_off(error)
                        return
                    self._thread = thread
        self._ring()

    def read(self, number: int) -> bytes | None:
        """A value from the disk, pickled; None where there is none, or not in time."""
        thread = self._thread
        if thread is not None and thread.is_current():  # A value being pickled uses the cache.
            return self._fetched(number)
        asked = Read(number)
        self._reads.append(asked)
        self.wake()
        if not self.is_on or self._is_ending or not asked.done.acquire(timeout=READ_PATIENCE):
            return None
        return asked.pickled

    def flush(self, patience: float) -> bool:
        """Wait until all that waits is written or dropped; returns whether it is."""
        until = time.monotonic() + patience
        self.wake()
        while self.is_on and (self._ledger.waiting or self._ledger.doomed or self._is_busy):
            if time.monotonic() >= until:
                return False
            sleep(0.001)
        return True

    def close(self) -> None:
        """End the thread, then remove the folder, or write down what stands there."""
        self._is_ending = True
        thread = self._thread
        if thread is None:
            self._finish()
        elif not thread.is_current():
            self._ring()
            thread.join(END_PATIENCE)

    def before_fork(self, until: float) -> None:
        """Close the database, which must not cross a fork, and take the lock."""
        if self._thread is not None and not self._thread.is_current():
            self._rested.acquire(blocking=False)
            self._is_resting = True
            self._ring()
            self._rested.acquire(timeout=max(0.0, until - time.monotonic()))
        self._ledger.lock.acquire(timeout=max(0.0, until - time.monotonic()))

    def after_fork_in_parent(self) -> None:
        """Go on."""
        with contextlib.suppress(RuntimeError):
            self._ledger.lock.release()
        self._is_resting = False
        with contextlib.suppress(RuntimeError):
            self._go_on.release()

    def after_fork_in_child(self) -> None:
        """Begin anew: the folder and what stands there are the parent's."""
        if self._folder is not None:
            self._folder.leave()
        self._ledger.renew()
        self._begin()

    def _take_folder(self) -> None:
        """Take a folder, and what is kept there.

        Raises:
            ConfigError: The directory cannot be used.
        """
        with self._ledger.lock:
            if self._folder is not None or self._is_ending:
                return
            try:
                folder = self._folder = SpillFolder(self._spill, self._cache_name)
                if self._spill.keep and not self._take_over(folder.path):
                    folder.empty()
            except OSError as error:
                self._turn_off(error)

    def _take_over(self, folder: str) -> bool:
        """Know what an earlier process left; returns whether there is anything."""
        name, ledger = self._cache_name, self._ledger
        try:
            key = user_key(self._spill.key)
            self._seal = Seal(key, name)
            self._is_kept_on = True
            kept = load_index(folder, key, name, self._now(), ledger.new_number)
        except (MembudgetError, OSError) as error:
            what = "begins with an empty disk" if self._is_kept_on else "keeps nothing on its disk"
            self._tell_once(f"cache {name!r} {what}: {error}")
            return False
        if kept is None or not kept.rows:
            return False
        self._seal = kept.seal
        ledger.take_over(kept.rows, kept.highest)
        self._has_database = True
        return True

    def _begin(self) -> None:
        self._folder = None
        self._store = None
        self._thread = None
        self._seal = Seal(new_key(), self._cache_name)
        self._has_database = self._is_kept_on = False
        self._reads: deque[Read] = deque()
        self._is_ending = self._is_resting = self._is_busy = False
        self._bell, self._rested, self._go_on = Lock(), Lock(), Lock()
        for one in (self._bell, self._rested, self._go_on):
            one.acquire()

    def _ring(self) -> None:
        if self._bell.locked():
            with contextlib.suppress(RuntimeError):  # It rings already.
                self._bell.release()

    def _run(self) -> None:
        try:
            while self.is_on:
                self._bell.acquire()
                while self._work():
                    pass
                if self._is_ending:
                    break
        except BaseException as error:  # noqa: BLE001  # whatever is broken: it goes on without
            self._turn_off(error)
        finally:
            self._finish()

    def _work(self) -> bool:
        """Do the next thing; returns whether there was one."""
        ledger = self._ledger
        if self._is_resting:
            self._rest()
        elif self._reads:
            asked = self._reads.popleft()
            try:
                asked.pickled = self._fetched(asked.number)
            finally:
                asked.done.release()
        elif self._is_ending and not self._spill.keep:
            return False
        elif ledger.doomed:
            taken = [ledger.doomed.popleft() for _ in range(min(_AT_ONCE, len(ledger.doomed)))]
            self._opened().delete(taken)
        else:
            return self._write()
        return True

    def _write(self) -> bool:
        found = self._ledger.next_waiting()
        if found is None:
            return False
        self._is_busy = True
        try:
            self._write_one(*found)
        finally:
            self._is_busy = False
        return True

    def _write_one(self, key: Any, waiting: Waiting) -> None:
        ledger = self._ledger
        if waiting.dies <= self._now():
            ledger.unwritten(key, waiting, None)
            return
        pickled, why = self.pickling.pickled(waiting.cell[0])
        if pickled is not None:
            number = ledger.new_number()
            sealed = self._seal.seal(number, pickled)
            stored = self._opened().write(number, sealed, ledger)
            if stored is not None:
                ledger.written(key, waiting, Row(number, waiting.cell, waiting.dies, stored))
                return
        ledger.unwritten(key, waiting, why)

    def _fetched(self, number: int) -> bytes | None:
        sealed = self._opened().read(number)
        pickled = None if sealed is None else self._seal.unseal(number, sealed)
        if sealed is not None and pickled is None:
            self._tell_once(
                f"cache {self._cache_name!r} found a value in {self.directory} that it did not "
                "write, and took it for a miss: see who else writes to that folder, or to its disk"
            )
        return pickled

    def _opened(self) -> Store:
        if self._store is None:
            if self._folder is None:
                raise FileNotFoundError(2, "there is no folder", self._spill.directory)
            store = Store(self._folder.path, self._spill.max_bytes, is_kept=self._has_database)
            with self._ledger.lock:
                rows = list(self._ledger.rows.values())
            self._store = store  # First, so that it is closed whatever is found there.
            store.take_over(rows)
        return self._store

    def _rest(self) -> None:
        """Stand still without a connection until the fork is over."""
        if self._store is not None:
            self._store.close()
        with contextlib.suppress(RuntimeError):
            self._rested.release()
        while self._is_resting:
            self._go_on.acquire(timeout=1.0)

    def _tell_once(self, what: str) -> None:
        """Have something told that spilling goes on with, the first time."""
        if not self._is_told:
            self._is_told, self._failure = True, MembudgetError(what)

    def _turn_off(self, error: BaseException) -> None:
        """Use the disk no more, and have that told once."""
        with self._ledger.lock:
            if not self.is_on:
                return
            reason = f"{type(error).__name__}: {error}"
            self.state = f"off: {reason}"
            gone = self._ledger.empty()
            self._failure = MembudgetError(
                f"cache {self._cache_name!r} spills no more, as its disk failed in "
                f"{self.directory or self._spill.directory} ({reason}): see that the folder is "
                "there, is this user's to write and has room, then make the cache anew"
            )
        del gone  # Finalizers run here, outside the lock.

    def _finish(self) -> None:
        """Answer whoever waits; close; remove the folder, or write down what stands there."""
        while self._reads:
            with contextlib.suppress(IndexError):
                self._reads.popleft().done.release()
        if self._store is not None:
            with contextlib.suppress(Exception):
                self._store.close()
        folder, self._folder = self._folder, None
        if folder is None:
            return
        rows = self._ledger.rows
        keep = self._is_kept_on and self.is_on and bool(rows)
        if keep:
            try:
                highest = self._ledger.new_number()
                kept = Kept(rows=rows, seal=self._seal, highest=highest)
                save_index(folder.path, kept, self._now())
            except Exception:  # noqa: BLE001  # the disk: then nothing is kept
                keep = False
        folder.end(keep=keep)
