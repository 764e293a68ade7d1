"""Worker processes for the months of a run: one thread each, gone when their parent is gone."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from volassets.errors import VolassetsError

Key = TypeVar("Key")

# A second thread per worker gives nothing and, on a busy machine, makes a fit many times slower.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
IDLE_SECONDS = 60


@dataclass(frozen=True)
class SharedFrame:
    """A table of float64 columns that workers map instead of receiving a copy per task.

    Attributes
    ----------
    path : str
        A ``.npy`` file of shape (rows, columns), removed when the `shared_frame` block ends.
    index : DatetimeIndex
    columns : tuple of str
    """

    path: str
    index: pd.DatetimeIndex
    columns: tuple[str, ...]

    def load(self) -> pd.DataFrame:
        """Return the frame, mapped read-only; kept for the worker's next task."""
        values = _map(self.path)
        return pd.DataFrame(values, index=self.index, columns=list(self.columns), copy=False)


@lru_cache(maxsize=4)
def _map(path: str) -> np.ndarray:
    return np.load(path, mmap_mode="r")


@contextmanager
def shared_frame(frame: pd.DataFrame) -> Iterator[SharedFrame]:
    """Put `frame` where workers can map it, for the length of the block."""
    folder = Path(tempfile.mkdtemp(prefix="volassets-"))
    try:
        path = folder / "features.npy"
        # Fortran order: a model reads columns, not rows.
        np.save(path, np.asfortranarray(frame.to_numpy(dtype=np.float64)))
        yield SharedFrame(str(path), pd.DatetimeIndex(frame.index), tuple(frame.columns))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start_worker(parent: int) -> None:
    """Limit the worker to one thread and end it when `parent` ends, also when that was killed."""
    os.environ.update(ONE_THREAD)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


def _allow_children() -> None:
    """Let a worker of Celery have workers of its own.

    Python forbids it to processes marked as daemonic, so that nothing is left behind; ours watch their parent.
    """
    import multiprocessing

    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def run_tasks(
    tasks: dict[Key, tuple[Callable[..., Any], tuple[Any, ...]]], workers: int
) -> Iterator[tuple[Key, Any, Exception | None]]:
    """Run every task in a pool of processes and yield results as they finish.

    Parameters
    ----------
    tasks : dict
        Key to (function, arguments), in the order they should start.
    workers : int
        Processes. One is a process of its own too, so that any number gives the same bits.

    Yields
    ------
    tuple
        Key, result, and the exception where the task raised one (the result is then None).

    Raises
    ------
    VolassetsError
        If a worker died, as it does when the machine is out of memory.
    """
    # Imported here: the pool is needed by runs only, not by every load of the code location.
    from concurrent.futures import as_completed

    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    if not tasks:
        return
    _allow_children()
    executor = get_reusable_executor(
        max_workers=workers,
        timeout=IDLE_SECONDS,
        env=ONE_THREAD,
        initializer=_start_worker,
        initargs=(os.getpid(),),
    )
    futures = {executor.submit(function, *arguments): key for key, (function, arguments) in tasks.items()}
    try:
        for future in as_completed(futures):
            error = future.exception()
            if isinstance(error, TerminatedWorkerError):
                raise VolassetsError(
                    f"a worker process died while {len(futures)} tasks were under way (out of memory?): "
                    "what was committed is kept; run again with fewer --jobs."
                ) from error
            if error is not None and not isinstance(error, Exception):
                raise error
            yield futures[future], None if error else future.result(), error
    finally:
        for future in futures:
            future.cancel()
