"""One run at a time computes a ticker; another one waits, then finds the cells done."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SAY_AFTER_SECONDS = 2.0


@contextmanager
def ticker_lock(home: Path, ticker: str, log: Callable[[str], None]) -> Iterator[None]:
    """Hold the ticker's lock inside the block; the kernel frees it when the holder is killed.

    Parameters
    ----------
    home : Path
        The lock file is ``locks/<ticker>.lock`` below it.
    ticker : str
    log : callable
        Told once when there is somebody to wait for.
    """
    folder = home / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{ticker}.lock", "a+") as handle:
        start, said = time.monotonic(), False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not said and time.monotonic() - start > SAY_AFTER_SECONDS:
                    log(
                        f"another run is computing {ticker}: waiting for it, its finished months are not computed again"
                    )
                    said = True
                time.sleep(0.2)
        yield
