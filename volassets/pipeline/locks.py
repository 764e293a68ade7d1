"""Locks of what runs write: a ticker, a month (`month-2016-01`) or the panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from volassets.file_lock import FileLock, log_once


def write_lock(home: Path, name: str) -> FileLock:
    """Return the lock that a run holds while the cells of `name` are computed and committed."""
    return FileLock(home / "locks" / f"{name}.lock")


def wait_for_run(lock: FileLock, name: str, log: Callable[[str], None]) -> None:
    """Take the lock when another run is done; only for a run that holds no other."""
    lock.wait(log_once(log, f"another run is computing {name}: waiting for it, what it finishes is not computed again"))
