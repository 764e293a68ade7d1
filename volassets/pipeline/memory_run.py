"""Steps computed from bars and from each other in memory: no store is read or written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from volassets.models.protocol import Model
from volassets.names import covariate_names
from volassets.object_io import read_whole
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.context import Context
from volassets.pipeline.state import FEATURES, State
from volassets.pipeline.step import Inputs, Output, Step
from volassets.pipeline.steps import steps
from volassets.pipeline.workers import CellJob, Job, Result, compute_cells, run_jobs
from volassets.settings import Settings


class MemoryCell(NamedTuple):
    """One model of one partition of a step; the model is None for a step without models."""

    partition: Partition
    model: Model | None


class MemoryRun:
    """The steps of a home's settings on given bars; what has been computed is what later steps read.

    Parameters
    ----------
    settings : Settings
        Its tickers are those of `bars`. Checkpoints of `compute_in_workers` go below its home.
    bars : mapping of str to DataFrame
        By ticker, as of `volassets.market.bars`.
    covariates : mapping of str to DataFrame, optional
        Bars of the covariates that the settings name; one that is not given has none, and is neutral.

    Attributes
    ----------
    steps : tuple of Step
    features : dict of str to DataFrame
        By ticker: the feature table, index date.
    """

    def __init__(
        self, settings: Settings, bars: Mapping[str, pd.DataFrame], covariates: Mapping[str, pd.DataFrame] | None = None
    ) -> None:
        # A pinned pool has bars of a store behind it; only those at hand count.
        settings = settings.model_copy(update={"pool": tuple(name for name in settings.pool if name in bars)})
        self.settings, self.steps = settings, steps(settings)
        # The pools of the bars at hand, not what a home has stored.
        self._context = Context(settings, refit_pool=True)
        others = {name: _no_bars(bars) for name in covariate_names(settings.covariates)} | dict(covariates or {})
        for name, own in {**others, **bars}.items():
            self._context.set_bars(name, own)
        self._state = State(self._context, tuple(bars))
        self._bars = bars
        self._rows: dict[Partition, dict[str, list[pd.DataFrame]]] = {}
        self._files: dict[str, bytes] = {}
        self._shared: set[str] = set()
        self.features: dict[str, pd.DataFrame] = {}
        (step,) = (step for step in self.steps if step.name == FEATURES)
        for ticker in bars:
            output = self.output(step, MemoryCell(Partition(ticker), None))
            self.features[ticker] = output.tables[FEATURES].set_index("date")

    def __enter__(self) -> MemoryRun:
        return self

    def __exit__(self, *given: object) -> None:
        """Remove the files that workers shared."""
        self._context.__exit__(*given)

    def gap(self, step: Step, cell: MemoryCell) -> str:
        """Return why a cell has nothing to compute; empty where it has."""
        return step.gap(self._state, cell.partition, cell.model)

    def output(self, step: Step, cell: MemoryCell) -> Output:
        """Compute a cell in this process, from what is kept so far; nothing is kept of it."""
        assert step.compute is not None
        return step.compute(self.inputs(step, cell))

    def inputs(self, step: Step, cell: MemoryCell) -> Inputs:
        """Return what a cell is computed from in this process."""
        ticker = cell.partition.ticker
        used = self._pool(step, cell) or self.features
        return Inputs(
            settings=self.settings,
            partition=cell.partition,
            model=cell.model,
            data_hash=step.fingerprint(self._state, cell.partition, cell.model),
            rows=self.rows(cell.partition),
            features={name: self.features[name] for name in used if name in self.features},
            bars=self._bars.get(ticker),
            calendars={name: self._context.calendar(name) for name in self._bars},
            read_file=self._read_file,
            covariates=self._context.covariates(ticker) if ticker else (),
        )

    def _read_file(self, path: object) -> bytes:
        """Return a checkpoint, kept here or written by a worker."""
        kept = self._files.get(str(path))
        return read_whole(f"{self.settings.files}/{path}") if kept is None else kept

    def keep(self, step: Step, cell: MemoryCell, output: Output) -> None:
        """Let later cells read the rows and files of a computed one."""
        self._files.update(output.files)
        month = cell.partition.month
        for name, rows in output.tables.items():
            named = rows.assign(model=cell.model.name) if cell.model else rows
            pooled = step.scope is Scope.MONTH
            parts = list(named.groupby("ticker", sort=False)) if pooled else [(cell.partition.ticker, named)]
            if pooled and name == step.table:
                # A ticker outside the pool starts from the row of one inside.
                inside = {ticker for ticker, _ in parts}
                parts += [(ticker, parts[0][1]) for ticker in self._bars if ticker not in inside]
            for ticker, part in parts:
                self._rows.setdefault(Partition(str(ticker), month), {}).setdefault(name, []).append(part)

    def rows(self, partition: Partition) -> dict[str, pd.DataFrame]:
        """Return what is kept of a partition by table, as it would come out of a store: in the order of its key."""
        found = {}
        for name, parts in self._rows.get(partition, {}).items():
            rows = pd.concat(parts, ignore_index=True)
            key = [column for column in self._context.warehouse.table(name).key if column in rows]
            found[name] = rows.sort_values(key, kind="stable", ignore_index=True)
        return found

    def compute_in_workers(self, step: Step, cells: Iterable[MemoryCell], workers: int) -> Iterator[Result]:
        """Compute cells in processes of one thread, as a run does, and keep them; yield each, failed ones too.

        A cell whose upstream cell failed fails with it, and does not stop the others.
        """
        jobs = (self._job(step, cell) for cell in cells)
        for job, results in run_jobs(jobs, compute_cells, workers):
            for result in results:
                if result.output is not None:
                    self.keep(step, MemoryCell(result.partition, job.cells[0].model), result.output)
                yield result

    def _pool(self, step: Step, cell: MemoryCell) -> list[str]:
        """Return the tickers of a fit over several; empty for any other cell."""
        if step.scope is not Scope.MONTH or cell.model is None:
            return []
        return self._context.pools.members(cell.model, cell.partition.refit_month)

    def _job(self, step: Step, cell: MemoryCell) -> Job:
        place, context = cell.partition, self._context
        tickers = self._pool(step, cell) or [place.ticker]
        for ticker in tickers:
            if ticker not in self._shared:
                context.share_features(ticker, self.features[ticker])
                self._shared.add(ticker)
        rows = {name: rows for name, rows in self.rows(place).items() if name in step.upstream}
        data_hash = step.fingerprint(self._state, place, cell.model)
        assert step.compute is not None
        return Job(
            lock=place.key,
            compute=step.compute,
            settings=self.settings,
            cells=[CellJob(place, cell.model, data_hash, rows, self._unmet(step, cell, rows))],
            features={ticker: context.features(ticker) for ticker in tickers},
            bars=None,
            calendars={ticker: context.calendar(ticker).name for ticker in tickers},
            files=self.settings.files,
        )

    def _unmet(self, step: Step, cell: MemoryCell, rows: Mapping[str, pd.DataFrame]) -> str:
        """Return which of the cells that one is computed from has failed; empty where none has."""
        for table, place, source, _ in step.requires(self._state, cell.partition, cell.model):
            found = rows[table] if table in rows else pd.DataFrame({"model": []})
            if found.empty or (source and source not in set(found["model"])):
                return f"the {source or table} of {place.label or cell.partition.label} could not be computed"
        return ""


def _no_bars(bars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return next(iter(bars.values())).iloc[:0]
