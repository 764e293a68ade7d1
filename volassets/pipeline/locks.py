"""Locks of what is written (a ticker, a month, the panel), freed by the kernel when their holder is killed."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

WAIT_MESSAGE_SECONDS = 2.0


class WriteLock:
    """The lock of one thing that runs write; a run holds it while its cells are computed and committed.

    Parameters
    ----------
    home : Path
        The file is ``locks/<name>.lock`` below it.
    name : str
        A ticker, ``month-2016-01`` or ``panel``.
    """

    def __init__(self, home: Path, name: str) -> None:
        self.name = name
        folder = home / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        self._handle = open(folder / f"{name}.lock", "a+")  # noqa: SIM115

    def take(self) -> bool:
        """Take the lock if it is free; return whether it was."""
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self, log: Callable[[str], None]) -> None:
        """Take the lock when its holder is done; `log` says so once if that takes long.

        Only to be called by a run that holds no other lock.
        """
        start, logged = time.monotonic(), False
        while not self.take():
            if not logged and time.monotonic() - start > WAIT_MESSAGE_SECONDS:
                log(f"another run is computing {self.name}: waiting for it, what it finishes is not computed again")
                logged = True
            time.sleep(0.2)

    def release(self) -> None:
        """Give the lock back."""
        self._handle.close()

    def __enter__(self) -> WriteLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
