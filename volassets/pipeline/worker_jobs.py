"""What a worker process does: the cells of one job, each failure on its own. It opens no database, only checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from volassets.errors import VolassetsError
from volassets.market.calendar import named_calendar
from volassets.models.protocol import Model
from volassets.object_io import read_whole, write_whole
from volassets.pipeline.cells import Partition
from volassets.pipeline.step import Inputs, Output
from volassets.pipeline.worker_pool import SharedFrame
from volassets.settings import Settings


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
    """Cells that one worker computes one after the other.

    Attributes
    ----------
    lock : str
        Name of the lock that covers them.
    compute : callable
        `Step.compute`.
    features : mapping of str to SharedFrame
        Feature tables by ticker, mapped and not copied.
    calendars : mapping of str to str
        Name of the calendar by ticker; a worker keeps the calendars themselves.
    files : str
        Directory or URL that checkpoints are below.
    """

    lock: str
    compute: Callable[[Inputs], Output]
    settings: Settings
    cells: Sequence[CellJob]
    features: Mapping[str, SharedFrame]
    bars: pd.DataFrame | None
    calendars: Mapping[str, str]
    files: str


@dataclass(frozen=True)
class Result:
    """The output of one cell, or the text of its error."""

    partition: Partition
    model: str
    data_hash: str
    output: Output | None
    error: str
    seconds: float
    rows: int = 0

    def without_rows(self, table: str) -> Result:
        """Return the result with the number of rows of `table` in the place of the rows."""
        rows = 0 if self.output is None else len(self.output.tables.get(table, ()))
        return replace(self, output=None, rows=rows)


def compute_cells(job: Job) -> list[Result]:
    """Compute the cells of a job and save their checkpoints; a cell that fails does not stop the others."""
    features = {ticker: shared.load() for ticker, shared in job.features.items()}
    calendars = {ticker: named_calendar(name) for ticker, name in job.calendars.items()}
    results = []
    for cell in job.cells:
        start, output, error = time.perf_counter(), None, cell.problem
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
            )
            try:
                output = _saved(job, job.compute(inputs))
            except VolassetsError as problem:
                error = str(problem)
            except Exception as problem:
                error = f"{type(problem).__name__}: {problem}"
        model = cell.model.name if cell.model else ""
        results.append(Result(cell.partition, model, cell.data_hash, output, error, time.perf_counter() - start))
    return results


def _saved(job: Job, output: Output) -> Output:
    """Write the checkpoints of an output: before the rows that name them, so that a row in sight has its file."""
    for place, content in output.files.items():
        write_whole(f"{job.files}/{place}", content)
    return Output(output.tables)
