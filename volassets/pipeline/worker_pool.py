"""Worker processes for the months of a run: one thread each, gone when their parent is gone."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from volassets.errors import VolassetsError

Job = TypeVar("Job")
PartitionResult = TypeVar("PartitionResult")

# A second thread per worker gives nothing and, on a busy machine, makes a fit many times slower.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
IDLE_SECONDS = 60
# Enough that no worker waits for the next job, few enough that results do not pile up.
JOBS_PER_WORKER = 3


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


class SharedFrames:
    """Feature tables in a directory of this run that workers map; gone with the block."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="volassets-"))
        self._count = 0

    def __enter__(self) -> SharedFrames:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def put(self, name: str, frame: pd.DataFrame) -> SharedFrame:
        """Write `frame` to a file of its own and return where it is."""
        self._count += 1
        path = self._folder / f"{self._count}-{name}.npy"
        # Fortran order: a model reads columns, not rows.
        np.save(path, np.asfortranarray(frame.to_numpy(dtype=np.float64)))
        return SharedFrame(str(path), pd.DatetimeIndex(frame.index), tuple(frame.columns))


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


def run_jobs(
    jobs: Iterator[Job], function: Callable[[Job], PartitionResult], workers: int
) -> Iterator[tuple[Job, PartitionResult]]:
    """Run `function` on every job in a pool of processes and yield results as they finish.

    Parameters
    ----------
    jobs : iterator
        Asked for the next job only when there is room, so that what a job needs is made late.
    function : callable
        Of one job; it raises nothing that belongs to a cell.
    workers : int
        Processes. One is a process of its own too, so that any number gives the same bits.

    Yields
    ------
    tuple
        Job and result.

    Raises
    ------
    VolassetsError
        If a worker died, as it does when the machine is out of memory.
    """
    # Imported here: the pool is needed by runs only, not by every load of the code location.
    from concurrent.futures import FIRST_COMPLETED, Future, wait

    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    running: dict[Future[PartitionResult], Job] = {}
    executor = None
    try:
        while True:
            while len(running) < JOBS_PER_WORKER * workers and (job := next(jobs, None)) is not None:
                executor = executor or _pool(get_reusable_executor, workers)
                running[executor.submit(function, job)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                error = future.exception()
                if isinstance(error, TerminatedWorkerError):
                    raise VolassetsError(
                        "a worker process died (out of memory?): what was committed is kept; run again with fewer "
                        "--jobs."
                    ) from error
                if error is not None:
                    raise error
                yield job, future.result()
    finally:
        for future in running:
            future.cancel()


def _pool(make: Callable[..., Any], workers: int) -> Any:
    _allow_children()
    return make(
        max_workers=workers, timeout=IDLE_SECONDS, env=ONE_THREAD, initializer=_start_worker, initargs=(os.getpid(),)
    )
