"""The disk of a spilling cache, and the thread that alone is at it, doing one thing at a time.

Lookups come first, then what is to be deleted, then what is to be pickled and written. Where no
thread can be had, the caller that evicts or looks up does that, one caller at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from membudget.cache.spilling.folder import KEY_BYTES, Seal, SpillFolder, user_key
from membudget.cache.spilling.spill import ROW_BYTES, Note, SpillStats
from membudget.cache.table import LastFailure
from membudget.core import Rung
from membudget.core.native import Lock, NativeThread, get_ident, sleep
from membudget.errors import ConfigError, MembudgetError
from membudget.units import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from membudget.cache.spilling.spill import Ledger, Spill
    from membudget.cache.spilling.store import Store

_READ_PATIENCE, _END_PATIENCE = 1.0, 2.0  # Seconds that a lookup, and the end, wait for the thread.
_TRIES, _TRIED_OF = 3, 64  # Values of a type in turn not pickled, before one of so many is tried.
_AT_ONCE = 64
_FORK_LOOK = 2e-4


class _Ask:
    """A value asked of the disk's thread, and a lock that is free once it is there."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pickled: bytes | None = None
        self.done = Lock()
        self.done.acquire()


class SpillDisk(LastFailure):
    """The disk of one cache in one process; a ConfigError where its folder cannot be used.

    Registered as holder and reclaimer (what waits is memory, as are notes), as a chore that tells
    of failures, for the sweeper and for forks. `noted` tells the bytes of the cache's own notes.
    """

    rung = Rung.MODERATE

    def __init__(
        self,
        name: str,
        spill: Spill,
        ledger: Ledger,
        now: Callable[[], float],
        noted: Callable[[], Callable[[], int] | None],
        *,
        tell_once: Callable[[str, str], None],
    ) -> None:
        # Now, when `Spill` saw that it can be: later, memory may be short, or a fork be under way.
        from membudget.cache.spilling.store import Store

        self._make_store = Store
        self.name: str = f"spill of {name}"
        self.state: str = "on"  # "on", or "off: " and why.
        self._cache_name, self._spill, self._ledger = name, spill, ledger
        self._now, self._noted, self._note = now, noted, tell_once
        self._hits_before = 0
        self._is_told = False
        self._unpicklable: weakref.WeakKeyDictionary[type, int] = weakref.WeakKeyDictionary()
        self._begin()
        self._take_folder()

    def _begin(self) -> None:
        """Know of no folder and no thread, as at first and in a forked child."""
        self._asked: deque[_Ask] = deque()
        self._folder: SpillFolder | None = None
        self._store: Store | None = None
        self._thread: NativeThread | None = None
        self._seal = Seal(os.urandom(KEY_BYTES), self._cache_name)
        self._has_kept = self._is_kept_on = self._is_ending = self._is_forking = False
        self._worker: int | None = None
        self._turn, self._bell = Lock(), Lock()
        self._bell.acquire()

    @property
    def is_on(self) -> bool:
        """Whether the disk is used."""
        return self.state == "on"

    def stats(self) -> SpillStats:
        """The figures now."""
        return SpillStats(
            directory=None if self._folder is None else self._folder.path,
            state=self.state,
            entries=len(self._ledger.rows),
            bytes=0 if self._store is None else self._store.bytes,
            max_bytes=self._spill.max_bytes,
            waiting=self._ledger.waiting_bytes,
            **self._ledger.counts,
        )

    # What callers ask of it.

    def prepare(self) -> None:
        """Take a folder where there is none yet: at first use after a fork."""
        if self._folder is None and self.is_on:
            try:
                self._take_folder()
            except ConfigError as error:
                self._turn_off(error)

    def takes(self, kind: type) -> bool:
        """Whether a value of a type is worth trying. A count lost in a race does no harm."""
        failed = self._unpicklable.get(kind, 0)
        if failed < _TRIES:
            return True
        self._unpicklable[kind] = failed + 1
        return not (failed + 1) % _TRIED_OF

    def wake(self) -> None:
        """Have done what there is to do, by the thread; it is started where there is none."""
        if not self.is_on or self._is_ending:
            return
        if self._asked or self._ledger.doomed or self._ledger.waiting:
            if self._thread is not None or self._start():
                self._ring()
            elif self._worker != get_ident():  # A value being pickled uses the cache.
                self._work_here()

    def read(self, number: int) -> bytes | None:
        """A value from the disk, pickled; None where there is none, or not in time."""
        if self._worker == get_ident():  # A value being pickled uses the cache.
            return self._fetched(number)
        asked = _Ask(number)
        self._asked.append(asked)
        self.wake()
        if not self.is_on or self._is_ending or not asked.done.acquire(timeout=_READ_PATIENCE):
            return None
        return asked.pickled

    def flush(self, patience: float) -> bool:
        """Wait until all that waits is written or dropped; returns whether it is."""
        until, ledger = time.monotonic() + patience, self._ledger
        self.wake()
        while self.is_on and (ledger.waiting or ledger.doomed or self._worker is not None):
            if time.monotonic() >= until:
                return False
            sleep(0.001)
        return True

    def close(self) -> None:
        """End the thread, then remove the folder, or write down what stands there."""
        self._is_ending = True
        thread = self._thread
        if thread is None:
            has_turn = self._turn.acquire(timeout=_END_PATIENCE)
            self._finish()
            if has_turn:
                self._turn.release()
        elif not thread.is_current():
            self._ring()
            thread.join(_END_PATIENCE)

    # What a budget, its sweeper and its governor ask of it.

    def held_bytes(self) -> int:
        """Bytes of memory: what waits, and what is known of memory and disk. No lock."""
        noted = self._noted()
        waiting = self._ledger.waiting_bytes
        return waiting + self.reclaimable() + (0 if noted is None else noted())

    def reclaimable(self) -> int:
        """Bytes of memory that the notes of what stands on the disk take. No lock."""
        return len(self._ledger.rows) * ROW_BYTES

    def hits_per_byte(self) -> float:
        """Hits on the disk since notes were last let go, ÷ their bytes: as caches count theirs."""
        hits = self._ledger.counts["hits"]
        return (hits - self._hits_before) / max(1, self.reclaimable())

    def reclaim(self, target: int, until: float) -> int:
        """Forget, and delete, what was put on the disk first, for the memory of its notes."""
        self._hits_before = self._ledger.counts["hits"]
        return self._forget(until, target)

    def has_expired(self, now: float) -> bool:
        """Whether what was put on the disk first is dead."""
        row = self._ledger.oldest()
        return row is not None and row.dies <= now

    def sweep(self, until: float) -> int:
        """Forget, and delete, what is dead of what was put on the disk first; as `reclaim`."""
        return self._forget(until, dead_at=self._now())

    def _forget(
        self, until: float, target: float = float("inf"), dead_at: float = float("inf")
    ) -> int:
        freed = 0
        while freed < target and (freed % (_AT_ONCE * ROW_BYTES) or self._now() < until):
            row = self._ledger.take_oldest(dead_at)
            if row is None:
                break
            self._ledger.doomed.append(row.number)
            freed += ROW_BYTES
        self.wake()
        return freed

    def before_fork(self, until: float) -> None:
        """Have the database closed, which must not cross a fork, and take the lock."""
        if self._worker != get_ident():
            self._is_forking = True  # First said, then looked.
            self._ring()
            while time.monotonic() < until and (
                self._worker is not None or (self._store is not None and self._store.is_open)
            ):
                sleep(_FORK_LOOK)
        self._ledger.lock.acquire(timeout=max(0.0, until - time.monotonic()))

    def after_fork_in_parent(self) -> None:
        """Go on."""
        with contextlib.suppress(RuntimeError):
            self._ledger.lock.release()
        self._is_forking = False
        self.wake()

    def after_fork_in_child(self) -> None:
        """Begin anew: the folder and what stands there are the parent's."""
        if self._folder is not None:
            self._folder.leave()
        self._ledger.renew()
        self._begin()

    # The thread, and what is done on it.

    def _start(self) -> bool:
        with self._ledger.lock:
            if self._thread is None:
                thread = NativeThread(self._run, "mb-spill")
                try:
                    thread.start()
                except RuntimeError:  # None is to be had by now.
                    return False
                self._thread = thread
            return True

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # It rings already.
            self._bell.release()

    def _run(self) -> None:
        try:
            while self.is_on:
                self._bell.acquire()
                with self._turn:
                    self._work_all()
                if self._is_ending:
                    break
        except BaseException as error:  # noqa: BLE001  # whatever is broken: it goes on without
            self._turn_off(error)
        finally:
            self._finish()

    def _work_here(self) -> None:
        if not self._turn.acquire(timeout=_READ_PATIENCE):
            return
        try:
            self._work_all()
        except Exception as error:  # noqa: BLE001  # whatever is broken: it goes on without
            self._turn_off(error)
            self._finish()
        finally:
            self._turn.release()

    def _work_all(self) -> None:
        self._worker = get_ident()
        try:
            while not self._is_forking and self._has_worked():
                pass
            if self._store is not None and (self._is_forking or self._thread is None):
                self._store.close()  # Without a thread, the connection is this caller's.
        finally:
            self._worker = None

    def _has_worked(self) -> bool:
        """Do the next thing; returns whether there was one."""
        ledger = self._ledger
        if self._asked:
            asked = self._asked.popleft()
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
            with ledger.lock:  # It stays until it is done.
                found = next(iter(ledger.waiting.items()), None)
            if found is None:
                return False
            self._write(*found)
        return True

    def _write(self, key: Hashable, waiting: Note) -> None:
        ledger, what, row = self._ledger, None, None
        if waiting.dies > self._now():
            pickled, what = self._pickled(waiting.value)
            number = next(ledger.numbers)
            stored = None
            if pickled is not None:
                sealed = self._seal.seal(number, pickled)
                stored = self._opened().write(number, sealed, ledger.take_oldest)
            if stored is not None:
                ends, dies, size = waiting.ends, waiting.dies, waiting.size
                row = Note(None, ends, dies, size, weight=stored, number=number)
                what = "spilled"
        ledger.done(key, waiting, what, row)

    def _pickled(self, value: Any) -> tuple[bytes | None, str]:
        """A value as bytes; or None; and what it counts as where it is not written."""
        kind = type(value)
        try:
            pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except MemoryError:
            return None, "dropped"
        except BaseException as error:  # noqa: BLE001  # what its own `__reduce__` raises: not ours
            self._unpicklable[kind] = self._unpicklable.get(kind, 0) + 1
            self._note(
                self.name,
                f"cache {self._cache_name!r} loses what it evicts: a {one_line(kind.__qualname__)} "
                f"cannot be pickled ({one_line(error, 120)}); keep what pickle takes in it, or "
                "make it without spill=",
            )
            return None, "unpicklable"
        self._unpicklable.pop(kind, None)
        return pickled, "dropped"

    def _fetched(self, number: int) -> bytes | None:
        sealed = self._opened().read(number)
        pickled = None if sealed is None else self._seal.unseal(number, sealed)
        if sealed is not None and pickled is None:
            self._tell_once(
                f"cache {self._cache_name!r} found a value in {self._where()} that it did not "
                "write, and took it for a miss: see who else writes to that folder, or to its disk"
            )
        return pickled

    def _opened(self) -> Store:
        if self._store is None:
            if self._folder is None:
                raise FileNotFoundError(2, "there is no folder", self._spill.directory)
            path, most = self._folder.path, self._spill.max_bytes
            self._store = self._make_store(path, most, is_kept=self._has_kept)
        return self._store

    # The folder: taken, and let go of.

    def _take_folder(self) -> None:
        """Take a folder, and what is kept there; raises ConfigError where it cannot be used."""
        with self._ledger.lock:
            if self._folder is not None or self._is_ending:
                return
            try:
                folder = self._folder = SpillFolder(self._spill, self._cache_name)
                if self._spill.keep and not self._has_taken_over(folder):
                    folder.empty()
            except OSError as error:
                self._turn_off(error)

    def _has_taken_over(self, folder: SpillFolder) -> bool:
        """Know what an earlier process left; returns whether there is anything."""
        name, left = self._cache_name, None
        try:
            key = user_key(self._spill.key)
            self._seal = Seal(key, name)
            self._is_kept_on = True
            left = folder.load(key, name, self._now())
        except (MembudgetError, OSError) as error:
            what = "begins with an empty disk" if self._is_kept_on else "keeps nothing on its disk"
            self._tell_once(f"cache {name!r} {what}: {error}")
        if left is None:
            return False
        self._has_kept, ledger = True, self._ledger
        ledger.rows, self._seal, highest = left
        ledger.numbers = itertools.count(max(highest + 1, next(ledger.numbers)))
        return True

    def _finish(self) -> None:
        """Answer all that ask; close; remove the folder, or write down what stands there."""
        while self._asked:
            with contextlib.suppress(IndexError):
                self._asked.popleft().done.release()
        folder, self._folder = self._folder, None
        ledger, keep = self._ledger, False
        if folder is not None and self._is_kept_on and self.is_on and ledger.rows:
            with contextlib.suppress(Exception):  # The disk: then nothing is kept.
                numbers = folder.save(ledger.rows, self._seal, next(ledger.numbers), self._now())
                if numbers and self._store is not None:
                    self._store.delete(numbers)
                keep = True
        if self._store is not None:
            with contextlib.suppress(Exception):
                self._store.close()
        if folder is not None:
            folder.end(keep=keep)

    def _where(self) -> str:
        return self._spill.directory if self._folder is None else self._folder.path

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
                f"{self._where()} ({reason}): see that the folder is "
                "there, is this user's to write and has room, then make the cache anew"
            )
        del gone  # Finalizers run here, outside the lock.
