"""Who may open the database file now: our processes queue on a side-car lock that the kernel frees on kill -9."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from volassets.file_lock import LOG_AFTER_SECONDS, FileLock
from volassets.warehouse.write_checks import StoreError

PATIENCE_SECONDS = 600.0
REMIND_SECONDS = 30.0

log_line = logging.getLogger("volassets.warehouse").warning


class Patience:
    """One wait for the database `path`: it gives up after `seconds`, and logs by `say` what it waits for."""

    def __init__(self, path: Path, seconds: float, say: Callable[[str], None]) -> None:
        self._path, self._limit, self._say = path, seconds, say
        self._start = time.monotonic()
        self._logged: set[str] = set()
        self._next = LOG_AFTER_SECONDS

    @property
    def seconds(self) -> float:
        """Seconds since the wait began."""
        return time.monotonic() - self._start

    def waited(self, for_what: str) -> None:
        """Note that the wait for `for_what` goes on; StoreError once the time is up."""
        seconds = self.seconds
        if seconds > self._limit:
            raise StoreError(
                f"{self._path} was not free for {self._limit:.0f} s: waited for {for_what}. Close what holds it and "
                "run this again; nothing was written."
            )
        if seconds > self._next or (seconds > LOG_AFTER_SECONDS and for_what not in self._logged):
            self._logged.add(for_what)
            self._say(f"waiting for {for_what} to release {self._path} ({seconds:.0f} s so far)")
            self._next = seconds + REMIND_SECONDS


@contextmanager
def locked(path: Path, exclusive: bool, patience: Patience) -> Iterator[None]:
    """Hold the side-car lock of `path`, ``<path>.lock``: alone to write, shared to read.

    A writer first takes ``<path>.lock.queue``, through which every reader passes, so that a stream
    of overlapping readers cannot keep it out.
    """
    for_what = "a reader or writer" if exclusive else "a writer"
    with ExitStack() as held:
        locks = [lock for end in (".lock.queue", ".lock") if (lock := _lock(f"{path}{end}", exclusive))]
        for lock in locks:
            held.enter_context(lock)
        for lock in locks:
            lock.wait(lambda seconds: patience.waited(for_what))
        if len(locks) == 2:
            locks[0].release()
        yield


def _lock(name: str, exclusive: bool) -> FileLock | None:
    try:
        return FileLock(Path(name), shared=not exclusive)
    except OSError as error:
        if exclusive:
            raise StoreError(
                f"{name} cannot be opened for writing ({error.strerror}): make the directory writable, or choose "
                "another home. Nothing was written."
            ) from None
        # Somebody who may only read the directory has no lock to share where none exists.
        return None
