"""Computes the cells of some steps: in worker processes, committed as they arrive, each failure on its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import pandas as pd

from volassets.errors import VolassetsError
from volassets.file_lock import FileLock
from volassets.models.protocol import Model
from volassets.pipeline.cell_changes import changes_of
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.early_compiling import compile_early
from volassets.pipeline.locks import wait_for_run, write_lock
from volassets.pipeline.partition_result import CommitPace, PartitionResult
from volassets.pipeline.price_intake import take_bars
from volassets.pipeline.progress import Progress, report
from volassets.pipeline.state import FEATURES, State
from volassets.pipeline.step import Step
from volassets.pipeline.workers import CellJob, Job, Result, compute_cells, run_jobs

# Upstream rows are read for this many tickers in one statement.
TICKERS_AT_ONCE = 20

_Running = Iterator[tuple[Job, list[Result]]]
_CellToCompute = tuple[Partition, Model | None, str]
"""A cell with the hash that it is to have."""


@dataclass
class _Todo:
    """The cells of one lock that have to be computed."""

    cells: list[_CellToCompute]
    left: int = 0
    lock: FileLock | None = None

    def release(self) -> None:
        """Give the lock back if it is held."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None


class Executor:
    """Runs steps over partitions; keeps `state` up to date with what is written.

    With `force`, cells whose stored hash is right are computed as well.
    """

    def __init__(self, state: State, force: bool = False) -> None:
        self._state, self._context, self._force = state, state.context, force
        self._failed: dict[tuple[str, Partition], str] = {}

    def run(self, steps: Sequence[Step], partitions: Mapping[str, Sequence[Partition]]) -> Iterator[PartitionResult]:
        """Compute what is missing or stale of the partitions, by name of the step; yield each one when committed.

        The partitions of a step are yielded when the workers have the first jobs of the next one, so that the caller
        records the one while they compute the other.
        """
        self._context.load_bars({place.ticker for listed in partitions.values() for place in listed if place.ticker})
        compile_early(self._state, steps, partitions, self._force)
        done: deque[PartitionResult] = deque()
        try:
            for step in steps:
                wanted = list(dict.fromkeys(partitions.get(step.name, ())))
                if wanted:
                    with self._started(step, wanted) as results:
                        yield from _emptied(done)
                        done.extend(self._examined(step, list(results)))
        except VolassetsError:
            yield from _emptied(done)
            raise
        yield from _emptied(done)

    def _examined(self, step: Step, done: list[PartitionResult]) -> Iterator[PartitionResult]:
        """Add what the checks of the step find; a blocking one fails its partition."""
        places = [item.partition for item in done if not item.failures and not item.nothing]
        checks = [check for check in step.checks if not check.of_now] if places else []
        with self._context.warehouse.reading() if checks else nullcontext():
            found = [check.find(self._state, places) for check in checks]
        for check, of_partitions in zip(checks, found, strict=True):
            for item in done:
                if item.partition not in of_partitions:
                    continue
                findings = of_partitions[item.partition]
                item.findings = {**item.findings, check.name: findings}
                errors = [finding.message for finding in findings if finding.severity == "error"]
                if check.blocking and errors:
                    item.failures[""] = f"{check.name}: {' '.join(errors)}"
        for item in done:
            if item.failures:
                self._failed[step.name, item.partition] = "; ".join(dict.fromkeys(item.failures.values()))
            yield item

    @contextmanager
    def _started(self, step: Step, partitions: Sequence[Partition]) -> Iterator[Iterator[PartitionResult]]:
        """Give the workers the first jobs of a step; yield what computes it; at the end no lock is held."""
        if step.compute is None:
            yield take_bars(self._context, step, partitions)
            return
        done, todo = self._planned(step, partitions)
        busy: list[str] = []
        try:
            running = self._running(step, todo, sorted(todo), busy)
            yield self._finished(step, done, todo, self._computed(step, todo, running, busy))
        finally:
            for entry in todo.values():
                entry.release()

    def _planned(
        self, step: Step, partitions: Sequence[Partition]
    ) -> tuple[dict[Partition, PartitionResult], dict[str, _Todo]]:
        """Return the results, which say already what need not or cannot be computed, and by lock what is to be."""
        done = {partition: PartitionResult(step, partition) for partition in partitions}
        tables = self._context.warehouse.schema.tables
        with self._context.warehouse.reading():
            self._state.stored_hashes.load(name for name in (step.table, *step.upstream) if name in tables)
            if not self._force and not all(
                self._state.is_current(step, place, model) for place in partitions for model in self._variants(step)
            ):
                # Another run may have been at work since the cells were planned.
                self._state.stored_hashes.reload(step.table, {partition.ticker for partition in partitions})
        todo: dict[str, _Todo] = {}
        for partition in partitions:
            for model, expected in self._due(step, done[partition]):
                todo.setdefault(_lock_name(step, partition), _Todo([])).cells.append((partition, model, expected))
        return done, todo

    def _finished(
        self,
        step: Step,
        done: Mapping[Partition, PartitionResult],
        todo: Mapping[str, _Todo],
        computed: Iterator[list[Result]],
    ) -> Iterator[PartitionResult]:
        """Yield the partitions of a step when all of them are computed; report every cell before."""
        finished, total = 0, sum(len(entry.cells) for entry in todo.values())
        for committed in computed:
            end = finished + len(committed)
            for result in committed:
                finished += 1
                item, place = done[result.partition], result.partition
                if result.output is None:
                    item.failures[result.model] = result.error
                else:
                    item.computed.append(result.model)
                    item.rows += len(result.output.tables.get(step.table, ()))
                item.seconds += result.seconds
                ticker, more = place.ticker or "all", finished < end
                report(Progress(step.name, ticker, place.month, finished, total, result.error, more))
        yield from done.values()

    def _variants(self, step: Step) -> list[Model | None]:
        return [model for model in step.variants if model is None or model.name in self._context.models]

    def _due(self, step: Step, item: PartitionResult) -> Iterator[tuple[Model | None, str]]:
        """Yield the models of a partition that have to be computed; note the others."""
        state, partition, variants = self._state, item.partition, self._variants(step)
        stopped, gaps = self._stopped(step, partition), []
        for model in variants:
            name = model.name if model else ""
            gap = "" if stopped else step.gap(state, partition, model)
            expected = "" if stopped or gap else step.fingerprint(state, partition, model)
            if not stopped and not expected:
                gaps.append(gap or "there is nothing to compute it from")
            elif not stopped and not self._differs(step, partition, model, expected):
                item.unchanged.append(name)
            elif problem := stopped or state.unmet(step, partition, model):
                item.failures[name] = problem
                report(Progress(step.name, partition.ticker, partition.month, 0, 0, problem))
            else:
                yield model, expected
        if gaps and len(gaps) == len(variants):
            item.nothing = gaps[0]

    def _stopped(self, step: Step, partition: Partition) -> str:
        """Return why a partition stops here: upstream its ticker has failed in this very run, or has no bars at all."""
        ticker = partition.ticker
        for name in step.upstream:
            if error := self._failed.get((name, Partition(ticker))):
                return f"{ticker} stops here: {error}"
        return self._state.without_bars(step, partition)

    def _computed(
        self, step: Step, todo: dict[str, _Todo], running: _Running, busy: list[str]
    ) -> Iterator[list[Result]]:
        """Compute the cells under their locks and commit every few seconds; yield what is committed together.

        Locks are taken in sorted order and only while they are free. Those of other runs come last, one at a time
        and with nothing else held, so that two runs never wait for each other.
        """
        yield from self._drained(step, todo, running)
        while busy:
            todo[busy[0]].lock = lock = write_lock(self._context.settings.home, busy[0])
            wait_for_run(lock, busy[0], self._context.log)
            tickers = {place.ticker for name in busy for place, *_ in todo[name].cells}
            self._state.stored_hashes.reload(step.table, tickers)
            names, busy = busy, []
            yield from self._drained(step, todo, self._running(step, todo, names, busy))

    def _running(self, step: Step, todo: dict[str, _Todo], names: Sequence[str], busy: list[str]) -> _Running:
        return run_jobs(self._jobs(step, todo, names, busy), compute_cells, self._context.workers)

    def _jobs(self, step: Step, todo: dict[str, _Todo], names: Sequence[str], busy: list[str]) -> Iterator[Job]:
        """Yield the jobs of the locks that are free, taking them when their first job is asked for."""
        for start in range(0, len(names), TICKERS_AT_ONCE):
            some = names[start : start + TICKERS_AT_ONCE]
            free = [name for name in some if self._taken(todo[name], name)]
            busy += [name for name in some if name not in free]
            for name in free:
                # Another run may have computed some since they were planned.
                todo[name].cells = [cell for cell in todo[name].cells if self._differs(step, *cell)]
            places = list(dict.fromkeys(place for name in free for place, *_ in todo[name].cells))
            with self._context.warehouse.reading():
                rows = step.load(self._state, places) if places else {}
            for name in free:
                entry = todo[name]
                entry.left = len(entry.cells)
                if not entry.left:
                    entry.release()
                for cells in _together(step, entry.cells):
                    yield self._job(step, name, cells, rows)

    def _taken(self, entry: _Todo, name: str) -> bool:
        if entry.lock is None:
            lock = write_lock(self._context.settings.home, name)
            if not lock.take():
                lock.release()
                return False
            entry.lock = lock
        return True

    def _differs(self, step: Step, partition: Partition, model: Model | None, expected: str) -> bool:
        return self._force or self._state.stored(step, partition, model.name if model else "") != expected

    def _job(
        self,
        step: Step,
        name: str,
        cells: Sequence[_CellToCompute],
        rows: Mapping[Partition, Mapping[str, pd.DataFrame]],
    ) -> Job:
        context, tickers, problem = self._context, self._tickers_of(step, cells), ""
        try:
            features = {ticker: context.features(ticker) for ticker in tickers} if step.needs_features else {}
        except VolassetsError as error:
            features, problem = {}, str(error)
        assert step.compute is not None
        return Job(
            lock=name,
            compute=step.compute,
            settings=context.settings,
            cells=[
                CellJob(
                    place,
                    self._kept(place, model),
                    expected,
                    step.own_rows(found, model),
                    problem or self._outdated(step, place, model, found),
                )
                for place, model, expected in cells
                for found in (rows.get(place, {}),)
            ],
            features=features,
            bars=context.bars(tickers[0]) if tickers and not step.needs_features else None,
            calendars={ticker: context.calendar(ticker).name for ticker in tickers},
            files=context.settings.files,
            covariates=context.covariates(tickers[0]) if tickers and not step.needs_features else (),
        )

    def _kept(self, place: Partition, model: Model | None) -> Model | None:
        """Return the model with the members that the stored forecasts of a cell have."""
        if model is None or not model.member_names:
            return model
        return self._context.members.model(place.ticker, place.refit_month, model)

    def _outdated(self, step: Step, place: Partition, model: Model | None, rows: Mapping[str, pd.DataFrame]) -> str:
        """Return which upstream row has changed since it was found right; empty where none has."""
        for table, _, source, expected in step.requires(self._state, place, model):
            hashes: set[str] = set()
            if table in rows:
                # As Python objects: comparing columns of text cost more than the rest of a job.
                found = rows[table]
                listed = found["data_hash"].tolist()
                names = found["model"].tolist() if source else [source] * len(listed)
                hashes = {value for name, value in zip(names, listed, strict=True) if name == source}
            if hashes != {expected}:
                return f"{table} of {place.label} was changed by another run: run again"
        return ""

    def _tickers_of(self, step: Step, cells: Sequence[_CellToCompute]) -> list[str]:
        if step.names:
            return []
        if step.scope is Scope.MONTH:
            pools = (self._context.pools.members(model, place.refit_month) for place, model, _ in cells if model)
            return sorted({ticker for pool in pools for ticker in pool})
        return list(dict.fromkeys(place.ticker for place, *_ in cells if place.ticker))

    def _drained(self, step: Step, todo: dict[str, _Todo], running: _Running) -> Iterator[list[Result]]:
        """Commit the results of jobs and give locks back when their cells are committed."""
        waiting: list[tuple[str, Result]] = []
        pace = CommitPace()
        try:
            for job, results in running:
                waiting += [(job.lock, result) for result in results]
                pace.add(sum(result.output.rows for result in results if result.output is not None))
                if pace.is_due:
                    with pace.committing():
                        done = self._committed(step, todo, waiting)
                    waiting = []
                    yield done
        finally:
            # Also when interrupted: what is finished is kept.
            results = self._committed(step, todo, waiting)
        yield results

    def _committed(self, step: Step, todo: dict[str, _Todo], waiting: Sequence[tuple[str, Result]]) -> list[Result]:
        written = [(result, result.output) for _, result in waiting if result.output is not None]
        changes = changes_of(step, written)
        if changes:
            self._context.warehouse.write(*changes)
        for result, output in written:
            self._state.stored_hashes.put(step.table, result.partition, result.model, result.data_hash)
            if step.table == FEATURES:
                self._context.share_features(result.partition.ticker, output.tables[FEATURES].set_index("date"))
            for line in output.log:
                self._context.log(line)
        for name, _ in waiting:
            todo[name].left -= 1
            if not todo[name].left:
                todo[name].release()
        return [result for _, result in waiting]


def _emptied(done: deque[PartitionResult]) -> Iterator[PartitionResult]:
    while done:
        yield done.popleft()


def _together(step: Step, cells: Sequence[_CellToCompute]) -> Iterator[Sequence[_CellToCompute]]:
    """Yield the cells of each job."""
    if not step.chained:
        yield from (cells[first : first + step.cells_per_job] for first in range(0, len(cells), step.cells_per_job))
        return
    chains: dict[tuple[str, Model | None], list[_CellToCompute]] = {}
    for cell in sorted(cells, key=lambda cell: cell[0]):
        chains.setdefault((cell[0].ticker, cell[1]), []).append(cell)
    yield from chains.values()


def _lock_name(step: Step, partition: Partition) -> str:
    if step.scope is Scope.MONTH:
        return f"month-{partition.month:%Y-%m}"
    return partition.ticker or step.name
