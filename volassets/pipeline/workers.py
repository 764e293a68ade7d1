"""Worker processes: one thread each, gone when their parent is gone; what they compute, each failure on its own.

A worker opens no database, only checkpoints.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from volassets.errors import VolassetsError
from volassets.features.covariates import Covariate
from volassets.market.calendar import named_calendar
from volassets.models.protocol import Model
from volassets.object_io import read_whole, write_whole
from volassets.parent_watch import end_with
from volassets.pipeline.cells import Partition
from volassets.pipeline.step import Inputs, Output
from volassets.settings import Settings

Task = TypeVar("Task")
Found = TypeVar("Found")

# A second thread per worker gives nothing and, on a busy machine, makes a fit many times slower.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
IDLE_SECONDS = 60
# Bytes that a worker may grow by; joblib ends one at 300 MB where psutil is installed, which importing PyTorch reaches.
MOST_GROWTH = 8 * 2**30
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
    from joblib.externals.loky import process_executor

    os.environ.update(ONE_THREAD)
    process_executor._MAX_MEMORY_LEAK_SIZE = MOST_GROWTH
    end_with(parent)


def run_jobs(jobs: Iterator[Task], function: Callable[[Task], Found], workers: int) -> Iterator[tuple[Task, Found]]:
    """Run `function` on every job in a pool of processes; return each job and its result as it finishes.

    The workers have their first jobs when this returns.

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
    results = _results(jobs, function, workers)
    next(results)
    return cast(Iterator[tuple[Task, Found]], results)


def _results(
    jobs: Iterator[Task], function: Callable[[Task], Found], workers: int
) -> Iterator[tuple[Task, Found] | None]:
    """Yield None when the workers have their first jobs, then what they find."""
    # Imported here: the pool is needed by runs only, not by every load of the code location.
    from concurrent.futures import FIRST_COMPLETED, Future, wait

    from joblib.externals.loky.process_executor import TerminatedWorkerError

    running: dict[Future[Found], Task] = {}
    executor, started = None, False
    try:
        while True:
            while len(running) < JOBS_PER_WORKER * workers and (job := next(jobs, None)) is not None:
                executor = executor or _pool(workers)
                running[executor.submit(function, job)] = job
            if not started:
                started = True
                yield None
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
    pool = get_reusable_executor(max_workers=workers, initializer=_start_worker, initargs=(os.getpid(),), **limits)
    _end_at_exit(pool)
    return pool


@lru_cache(maxsize=1)
def _end_at_exit(pool: Any) -> None:
    """End a pool's workers before their process waits for its children; cached, so that a pool is registered once.

    A process that multiprocessing started, as Dagster's runs are, would wait until the workers had been idle for long.
    """
    from multiprocessing.util import Finalize

    # Before the queues that the workers are reached by, which have 10.
    Finalize(None, pool.shutdown, exitpriority=20)


@dataclass(frozen=True)
class CellJob:
    """One cell to compute, with the upstream rows that it needs, or with the reason why it cannot be."""

    partition: Partition
    model: Model | None
    data_hash: str
    rows: Mapping[str, pd.DataFrame]
    problem: str = ""


@dataclass(frozen=True)
class Job:
    """Cells that one worker computes one after the other, under the lock named `lock`.

    Feature tables are mapped and not copied; calendars are named, a worker keeps the calendars themselves; `files` is
    the directory or URL that checkpoints are below.
    """

    lock: str
    compute: Callable[[Inputs], Output]
    settings: Settings
    cells: Sequence[CellJob]
    features: Mapping[str, SharedFrame]
    bars: pd.DataFrame | None
    calendars: Mapping[str, str]
    files: str
    covariates: Sequence[Covariate] = ()


@dataclass(frozen=True)
class Result:
    """The output of one cell, or the text of its error."""

    partition: Partition
    model: str
    data_hash: str
    output: Output | None
    error: str
    seconds: float


def compute_cells(job: Job) -> list[Result]:
    """Compute the cells of a job and save their checkpoints; a cell that fails does not stop the others."""
    features = {ticker: shared.load() for ticker, shared in job.features.items()}
    calendars = {ticker: named_calendar(name) for ticker, name in job.calendars.items()}
    results: list[Result] = []
    before: dict[str, tuple[Partition, Output]] = {}
    ratios: dict[tuple[str, pd.Timestamp], float] = {}
    for cell in job.cells:
        start, output, error = time.perf_counter(), None, cell.problem
        model = cell.model.name if cell.model else ""
        if not error:
            inputs = Inputs(
                settings=job.settings,
                partition=cell.partition,
                model=cell.model,
                data_hash=cell.data_hash,
                rows=cell.rows,
                features=features,
                bars=job.bars,
                calendars=calendars,
                read_file=lambda place: read_whole(f"{job.files}/{place}"),
                before=before.get(model),
                covariates=job.covariates,
                ratios=ratios,
            )
            try:
                output = _saved(job, job.compute(inputs))
                before[model] = cell.partition, output
            except VolassetsError as problem:
                error = str(problem)
            except Exception as problem:
                error = f"{type(problem).__name__}: {problem}"
        results.append(Result(cell.partition, model, cell.data_hash, output, error, time.perf_counter() - start))
    return results


def _saved(job: Job, output: Output) -> Output:
    """Write the checkpoints of an output: before the rows that name them, so that a row in sight has its file."""
    for place, content in output.files.items():
        write_whole(f"{job.files}/{place}", content)
    return Output(output.tables, log=output.log)
