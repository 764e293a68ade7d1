"""Who may open the database file now: our processes queue on a side-car lock that the kernel frees on kill -9."""

from __future__ import annotations

import fcntl
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from volassets.warehouse.write_checks import StoreError

PATIENCE_SECONDS = 600.0
SILENT_SECONDS = 2.0
REMIND_SECONDS = 30.0

log = logging.getLogger("volassets.warehouse")


class Patience:
    """One wait with a deadline, which says what it waits for after `SILENT_SECONDS` and again now and then.

    Parameters
    ----------
    path : Path
        The database.
    seconds : float
        From construction to giving up.
    say : callable
        Takes a line of text.
    """

    def __init__(self, path: Path, seconds: float, say: Callable[[str], None]) -> None:
        self._path = path
        self._start = time.monotonic()
        self._seconds = seconds
        self._say = say
        self._said: set[str] = set()
        self._next = SILENT_SECONDS

    @property
    def seconds(self) -> float:
        """Seconds since the wait began."""
        return time.monotonic() - self._start

    def waited(self, for_what: str) -> None:
        """Note that the wait for `for_what` goes on.

        Raises
        ------
        StoreError
            When the deadline has passed.
        """
        seconds = self.seconds
        if seconds > self._seconds:
            raise StoreError(
                f"{self._path} was not free for {self._seconds:.0f} s: waited for {for_what}. Close what holds it and "
                "ask again; nothing was written."
            )
        if seconds > self._next or (seconds > SILENT_SECONDS and for_what not in self._said):
            self._said.add(for_what)
            self._say(f"waiting for {for_what} to let go of {self._path} ({seconds:.0f} s so far)")
            self._next = seconds + REMIND_SECONDS


def log_line(line: str) -> None:
    """Say `line` in the log, the default of everything that waits."""
    log.warning(line)


@contextmanager
def locked(path: Path, exclusive: bool, patience: Patience) -> Iterator[None]:
    """Hold the side-car lock of `path`, ``<path>.lock``: alone to write, shared to read.

    A writer first takes ``<path>.lock.queue``, through which every reader passes, so that a stream
    of overlapping readers cannot keep it out.
    """
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    opened: list[int] = []
    try:
        for name in (f"{path}.lock.queue", f"{path}.lock"):
            handle = _open(name, exclusive)
            if handle is None:
                continue
            opened.append(handle)
            _take(handle, kind, "a reader or writer" if exclusive else "a writer", patience)
        if len(opened) == 2:
            os.close(opened.pop(0))
        yield
    finally:
        for handle in opened:
            os.close(handle)


def _open(name: str, exclusive: bool) -> int | None:
    try:
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if exclusive:
            raise StoreError(
                f"{name} cannot be opened for writing ({error.strerror}): make the directory writable, or choose "
                "another home. Nothing was written."
            ) from None
    # Somebody who may only read the directory can share the lock where it exists.
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _take(handle: int, kind: int, for_what: str, patience: Patience) -> None:
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            patience.waited(for_what)
            time.sleep(random.uniform(0.002, 0.02))
