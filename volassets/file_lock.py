"""One process at a time, by a lock that the kernel frees when its holder is killed."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Hold the lock of `file` inside the block, after waiting for whoever holds it; its directory is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
