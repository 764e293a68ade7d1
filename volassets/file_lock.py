"""The one lock between processes; the kernel frees it when its holder is killed."""

from __future__ import annotations

import fcntl
import random
import time
from collections.abc import Callable
from pathlib import Path

LOG_AFTER_SECONDS = 2.0


class FileLock:
    """The lock of a file, which is made with its directory: `take` or `wait`, then `release`, or a with block.

    `shared` holders hold it together, and a file that they may only read will do. OSError if it cannot be opened.
    """

    def __init__(self, file: Path, *, shared: bool = False) -> None:
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._handle = open(file, "a+")  # noqa: SIM115
        except OSError:
            if not shared:
                raise
            self._handle = open(file)  # noqa: SIM115

    def take(self) -> bool:
        """Take the lock if it is free; return whether it was."""
        try:
            fcntl.flock(self._handle, self._kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self, waited: Callable[[float], None] = lambda seconds: None) -> FileLock:
        """Take the lock when its holder is done, and return it; `waited` takes the seconds so far, again and again."""
        start = time.monotonic()
        while not self.take():
            waited(time.monotonic() - start)
            time.sleep(random.uniform(0.002, 0.02))
        return self

    def release(self) -> None:
        """Give the lock back, for good."""
        self._handle.close()

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def log_once(log: Callable[[str], None], line: str) -> Callable[[float], None]:
    """Return what `FileLock.wait` takes so that a long wait is logged, once."""
    logged: list[str] = []

    def waited(seconds: float) -> None:
        if seconds > LOG_AFTER_SECONDS and not logged:
            logged.append(line)
            log(line)

    return waited
