"""`volassets run`: plan what is missing or stale, and materialize it as runs of Dagster, one per block of steps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg
import pandas as pd
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from volassets.definitions import build_definitions
from volassets.errors import InputError, VolassetsError
from volassets.market.price_source import PriceSource
from volassets.orchestration.instance import open_instance
from volassets.orchestration.interruption import interruptible
from volassets.orchestration.jobs import (
    COMMAND_LINE,
    block_name,
    described_tags,
    range_tags,
    run_config,
    step_error,
)
from volassets.orchestration.materializations import NOT_RECORDED, recorded_versions, unrecorded
from volassets.orchestration.orphaned_runs import close_orphaned_runs
from volassets.orchestration.resources import OpenHome
from volassets.orchestration.run_findings import failed_checks
from volassets.pipeline.cells import Cell, Partition
from volassets.pipeline.context import Context
from volassets.pipeline.covariate_intake import take_covariates
from volassets.pipeline.early_compiling import compile_early
from volassets.pipeline.planner import PlannedCell, partitions_of, plan, span, summary
from volassets.pipeline.portfolio_members import portfolio_problems
from volassets.pipeline.portfolio_state import months_left_out
from volassets.pipeline.price_intake import BarsRefused, fetch, is_closed, reason_to_fetch, refusal
from volassets.pipeline.progress import Listener, Progress, listening
from volassets.pipeline.state import State
from volassets.pipeline.step import Step
from volassets.pipeline.steps import blocks, graph_steps
from volassets.settings import Settings
from volassets.timing import contiguous, months_between, refit_month

# Dagster's own event log belongs to the UI; the terminal has the progress.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
# Who started it sees that it failed, or has stopped it: the daemon does not start it again.
ONCE = {"dagster/max_retries": "0"}

Months = dict[str, list[pd.Timestamp]]


@dataclass
class Request:
    """What the user asked for.

    Attributes
    ----------
    first, last : Timestamp or None
        Refit months; None takes the first and last possible one.
    models : sequence of str or None
        Models to fit; None takes the home's.
    jobs : int
        Worker processes; 0 takes the setting.
    refit_pool : bool
        Whether pooled models are fitted again where the pool has other tickers now.
    """

    tickers: Sequence[str]
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None
    force: bool = False
    models: Sequence[str] | None = None
    jobs: int = 0
    refit_pool: bool = False


@dataclass
class Result:
    """What a run did: lines that say what was refreshed and why, the cells that failed, and the checks.

    `compared` holds the tickers whose comparison, with its report, was made again; None for the panel.
    """

    refreshed: list[str] = field(default_factory=list)
    compared: list[str | None] = field(default_factory=list)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    failed_checks: list[str] = field(default_factory=list)


class Runner:
    """Runs the graph of one home in this process, as runs that the UI shows.

    Parameters
    ----------
    settings : Settings
        With the tickers of the request in their list.
    source : PriceSource or None
        None takes each ticker's own.
    say : callable
        Given one line at a time of what is about to be done.
    now : datetime, optional
        The moment of the run, UTC.
    """

    def __init__(
        self, settings: Settings, source: PriceSource | None, say: Callable[[str], None], now: datetime | None = None
    ) -> None:
        self._settings, self._source, self._say, self._now = settings, source, say, now
        self._refused: dict[str, VolassetsError] = {}
        self._left_out: list[str] = []
        self._reasons: dict[str, str] = {}

    def prepare(self, request: Request) -> Months:
        """Return the refit months of every ticker asked for; nothing is written.

        A ticker whose bars cannot be had or break a rule is left out, and so is a month that a ticker cannot have;
        `run` names them, as long as something is left.

        Raises
        ------
        InputError
            If no ticker has usable bars, or none can have a month that was asked for.
        """
        self._refused, self._left_out, self._reasons = {}, [], {}
        options: dict[str, Any] = {"models": request.models, "jobs": request.jobs, "log": self._say, "now": self._now}
        self._context = Context(self._settings, source=self._source, refit_pool=request.refit_pool, **options)
        self._context.load_bars(request.tickers)
        months: Months = {}
        impossible: list[str] = []
        for ticker in request.tickers:
            try:
                self._use_newest_bars(ticker, request.force)
            except VolassetsError as error:
                self._refused[ticker] = error
                continue
            months[ticker], gap = self._months(ticker, request)
            if gap and not months[ticker]:
                impossible.append(gap)
        if self._refused and not months:
            raise next(iter(self._refused.values()))
        if not any(months.values()):
            raise InputError("\n".join(f"{text}." for text in dict.fromkeys(impossible)))
        known = [ticker for ticker in self._settings.tickers if ticker not in self._refused]
        self._settings = self._context.settings = self._settings.model_copy(update={"tickers": tuple(known)})
        return months

    def run(self, months: Months, request: Request, listener: Listener) -> Result:
        """Materialize what is missing or stale of `months`, or everything with `force`.

        Parameters
        ----------
        months : dict of str to list of Timestamp
            From `prepare`.
        """
        result = Result()
        for line in self._left_out:
            self._say(line)
        for ticker, error in self._refused.items():
            result.failures[ticker, "raw_prices"] = str(error)
            self._say(f"{ticker} is left out: {error}")
            # Bars that were seen and refused, not names that nobody knows.
            if isinstance(error, BarsRefused):
                self._context.warehouse.write(refusal(self._context, ticker, error))
        take_covariates(self._context, list(months), always=request.force)
        for name, problem in portfolio_problems(self._context).items():
            result.failures[name, "portfolio"] = problem
            self._say(f"{name} is left out: {problem}")
        models = tuple(self._context.models)
        steps = graph_steps(self._settings, models)
        with (
            self._context,
            open_instance(self._settings.home) as instance,
            listening(listener),
            listening(lambda step: _note_failure(result, step)),
        ):
            state = State(self._context, list(self._settings.tickers))
            compile_early(state, steps, {step.name: partitions_of(step, months) for step in steps}, request.force)
            close_orphaned_runs(instance, self._settings.home)
            definitions = build_definitions(self._settings, OpenHome(self._context), models)
            job = definitions.get_repository_def().get_implicit_global_asset_job_def()
            for block in blocks(steps):
                asked = self._asked(block, months, request, instance, result)
                self._materialize(block, asked, request, instance, job, result)
                months = self._going_on(block, months)
            state = State(self._context, list(self._settings.tickers))
            for line in months_left_out(state, (month for own in months.values() for month in own)):
                self._say(line)
        return result

    def _use_newest_bars(self, ticker: str, force: bool) -> None:
        """Fetch what is to be fetched and judge the months by it, before anything is written."""
        reason = reason_to_fetch(self._context, ticker)
        if reason or (force and not is_closed(self._context, ticker)):
            self._context.answers[ticker] = answer = fetch(self._context, ticker)
            self._reasons[ticker] = reason or "forced"
            self._context.set_bars(ticker, answer.update.bars)

    def _months(self, ticker: str, request: Request) -> tuple[list[pd.Timestamp], str]:
        """Return the months that the ticker can have of those asked for, and why it cannot have the first other one."""
        context, known = self._context, self._context.ticker(ticker)
        earliest = refit_month(self._settings.start_month)
        if request.first is not None and request.first < earliest:
            raise InputError(
                f"{request.first:%Y-%m} lies before start_month = {earliest:%Y-%m}, the first partition: "
                "choose a later month, or lower start_month in the settings."
            )
        needs = min(context.needs(model) for model in context.models.values())
        first = request.first or max(earliest, known.first_month(needs) or earliest)
        last = request.last or max(first, known.last_month)
        if request.last is not None and first > request.last:
            if request.first is None:
                return [], known.gap(request.last, needs) or f"{ticker} has no month up to {request.last:%Y-%m}"
            raise InputError(f"the months {first:%Y-%m} .. {last:%Y-%m} are in the wrong order: swap --from and --to.")
        asked = months_between(first, last)
        gaps = {month: gap for month in asked if (gap := known.gap(month, needs) or known.halt(month))}
        reasons: dict[str, list[pd.Timestamp]] = {}
        for month in gaps:
            late = "halt" if not known.gap(month, needs) else "late"
            reasons.setdefault("early" if month < (known.first_month(needs) or month) else late, []).append(month)
        for ends in (ends for listed in reasons.values() for ends in contiguous(listed)):
            self._left_out.append(f"{ticker} {span(ends)} left out: {gaps[ends[0]]}")
        return [month for month in asked if month not in gaps], next(iter(gaps.values()), "")

    def _asked(
        self, block: Sequence[Step], months: Months, request: Request, instance: dg.DagsterInstance, result: Result
    ) -> dict[str, list[Partition]]:
        """Return the partitions of each step of a block that have to be computed or recorded, and say why."""
        state = State(self._context, list(self._settings.tickers))
        planned = plan(state, block, months, request.force)
        asked: dict[str, list[Partition]] = {}
        for cell in planned:
            asked.setdefault(cell.cell.step, []).append(cell.cell.partition)
        lines = summary(planned)
        fetched = [Partition(ticker) for ticker in months if ticker in self._reasons]
        if block[0].compute is None and fetched:
            prices = block[0].name
            asked[prices] = fetched
            lines = summary(PlannedCell(Cell(prices, place), self._reasons[place.ticker]) for place in fetched) + lines
        places = {step.name: partitions_of(step, months) for step in block}
        for name, partitions in unrecorded(state, block, places, recorded_versions(instance, block)).items():
            fresh = sorted(set(partitions) - set(asked.get(name, ())))
            if fresh:
                asked.setdefault(name, []).extend(fresh)
                lines += summary(PlannedCell(Cell(name, place), NOT_RECORDED) for place in fresh)
        for line in lines:
            result.refreshed.append(line)
            self._say(line)
        if any(step.has_page for step in block):
            result.compared += [place.ticker or None for listed in asked.values() for place in listed]
        return asked

    def _going_on(self, block: Sequence[Step], months: Months) -> Months:
        """Return the months without the tickers that stop here: those without features of their bars."""
        if block[0].compute is not None:
            return months
        state = State(self._context, list(months))
        return {ticker: listed for ticker, listed in months.items() if state.features_current(ticker)}

    def _materialize(
        self,
        block: Sequence[Step],
        asked: Mapping[str, Sequence[Partition]],
        request: Request,
        instance: dg.DagsterInstance,
        job: dg.JobDefinition,
        result: Result,
    ) -> None:
        """Run a block over the partitions that any of its steps is asked for."""
        partitions = list(dict.fromkeys(place for listed in asked.values() for place in listed))
        if not partitions:
            return
        options = {"force": request.force, "jobs": request.jobs, "models": list(request.models or ())}
        takes_bars = block[0].compute is None
        self._context.fetch_only = {place.ticker for place in asked.get(block[0].name, ())} if takes_bars else None
        events = _execute(
            job,
            instance,
            [step.name for step in block if step.name in asked],
            {**run_config(block_name(block), partitions, pictures=False, **options), **QUIET},
            {**described_tags(partitions, COMMAND_LINE), **range_tags(self._settings, partitions), **ONCE},
        )
        result.failed_checks += failed_checks(events)
        texts = [step_error(event) for event in events if event.is_step_failure]
        # Failed cells have reported themselves; this is a failure of the run around them.
        if texts and not result.failures:
            result.failures["", block_name(block)] = texts[0] or "failed"


def _execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    assets: Sequence[str],
    config: Mapping[str, Any],
    tags: Mapping[str, str],
) -> Sequence[dg.DagsterEvent]:
    """Execute assets of a job in this process and return the events of the run.

    As `JobDefinition.execute_in_process`, with the run's origin, without which the UI cannot execute it again.
    KeyboardInterrupt where Ctrl-C came meanwhile: Dagster takes it for a failed step, or for nothing.
    """
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="volassets.definitions")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name="volassets")
    run = instance.create_run_for_job(
        job,
        run_config=config,
        tags=tags,
        asset_selection=frozenset(dg.AssetKey(name) for name in assets),
        remote_job_origin=RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME).get_job_origin(job.name),
    )
    with interruptible():
        return execute_run(InMemoryJob(job), run, instance).all_events


def _note_failure(result: Result, progress: Progress) -> None:
    if progress.error:
        where = "" if progress.month is None else f"{progress.month:%Y-%m}"
        # What follows from a failure fails too: the first one is the reason.
        result.failures.setdefault((progress.ticker, where), f"{progress.stage}: {progress.error}")
