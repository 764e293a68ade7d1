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

Task = TypeVar("Task")
Found = TypeVar("Found")

# A second thread per worker gives nothing and, on a busy machine, makes a fit many times slower.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
IDLE_SECONDS = 60
# Enough that no worker waits for the next job, few enough that results do not pile up.
JOBS_PER_WORKER = 3


@dataclass(frozen=True)
class SharedFrame:
    """A table of float64 columns, in the ``.npy`` file `path`, that workers map instead of receiving a copy per job."""

    path: str
    index: pd.DatetimeIndex
    columns: tuple[str, ...]

    def load(self) -> pd.DataFrame:
        """Return the frame, mapped read-only; kept for the worker's next job."""
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
    """Limit the worker to one thread and end it when `parent` ends, also if that is killed."""
    os.environ.update(ONE_THREAD)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


def run_jobs(jobs: Iterator[Task], function: Callable[[Task], Found], workers: int) -> Iterator[tuple[Task, Found]]:
    """Run `function` on every job in a pool of processes; yield each job and its result as it finishes.

    Parameters
    ----------
    jobs : iterator
        Asked for the next job only when there is room, so that what a job needs is made late.
    function : callable
        Of one job; it raises nothing that belongs to a cell.
    workers : int
        Processes. One is a process of its own too, so that any number gives the same bits.

    Raises
    ------
    VolassetsError
        If a worker died, as it does when the machine is out of memory.
    """
    # Imported here: the pool is needed by runs only, not by every load of the code location.
    from concurrent.futures import FIRST_COMPLETED, Future, wait

    from joblib.externals.loky.process_executor import TerminatedWorkerError

    running: dict[Future[Found], Task] = {}
    executor = None
    try:
        while True:
            while len(running) < JOBS_PER_WORKER * workers and (job := next(jobs, None)) is not None:
                executor = executor or _pool(workers)
                running[executor.submit(function, job)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except TerminatedWorkerError as error:
        raise VolassetsError(
            "a worker process died (out of memory?): what was committed is kept; run again with fewer --jobs."
        ) from error
    finally:
        for future in running:
            future.cancel()


def _pool(workers: int) -> Any:
    import multiprocessing

    from joblib.externals.loky import get_reusable_executor

    # A worker of Celery is marked as daemonic, which forbids it to have workers so that none is left behind; ours
    # watch their parent.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    limits = {"timeout": IDLE_SECONDS, "env": ONE_THREAD}
    return get_reusable_executor(max_workers=workers, initializer=_start_worker, initargs=(os.getpid(),), **limits)
