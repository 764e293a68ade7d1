"""`volassets run`: plan what is missing or stale, and materialize it through Dagster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import dagster as dg
import pandas as pd

from volassets.errors import InputError, VolassetsError
from volassets.market.sources import PriceSource
from volassets.orchestration.build import build_assets, build_resources
from volassets.orchestration.checks import build_checks
from volassets.orchestration.fetching import FetchedOnce, needs_fetch
from volassets.orchestration.graph import FORCE_TAG, RANGE_END_TAG, RANGE_START_TAG
from volassets.orchestration.inputs import Run, TickerInputs
from volassets.orchestration.instance import open_instance
from volassets.orchestration.jobs import TICKER_STAGES, grid_names
from volassets.orchestration.killed import close_killed_runs
from volassets.orchestration.plan import StaleCell, stale_cells, summary
from volassets.orchestration.progress import Listener, Step, listening
from volassets.orchestration.recorded import recorded_months, unrecorded_cells
from volassets.orchestration.ticker_stages import checked_bars, comparison_is_stale, panel_is_stale
from volassets.partitions import grid_key
from volassets.settings import Settings
from volassets.timing import contiguous, months_between, refit_month

# Dagster's own event log belongs to the UI; the terminal has the progress.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Request:
    """What the user asked for.

    Attributes
    ----------
    tickers : sequence of str
    first, last : Timestamp or None
        Refit months; None takes the first and last possible one.
    force : bool
    """

    tickers: Sequence[str]
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None
    force: bool = False


@dataclass
class Result:
    """What a run did: lines that say what was refreshed and why, and the cells that failed.

    `compared` holds the tickers whose comparison, with its report, was made anew; None for the panel.
    """

    refreshed: list[str] = field(default_factory=list)
    compared: list[str | None] = field(default_factory=list)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)


class GraphRunner:
    """Runs the graph of one home in this process, as runs that the UI shows.

    Parameters
    ----------
    settings : Settings
        With the tickers already in their list.
    source : PriceSource
    say : callable
        Told one line at a time what is about to be done.
    """

    def __init__(self, settings: Settings, source: PriceSource, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._source = FetchedOnce(source)
        self._say = say
        self._refused: dict[str, VolassetsError] = {}
        assets = build_assets(settings)
        self._names = grid_names(assets)
        self._definitions = [*assets, *build_checks(settings)]

    def prepare(self, request: Request) -> dict[str, list[pd.Timestamp]]:
        """Return the refit months of every ticker asked for; nothing is written.

        A ticker whose bars cannot be had or break a rule is left out, and `run` says so, as long as
        there is another one.

        Raises
        ------
        InputError
            If a month is not possible, or no ticker has usable bars.
        """
        run = Run(self._settings, force=request.force, log=self._say)
        months = {}
        self._refused = {}
        for ticker in request.tickers:
            try:
                bars = self._usable_bars(run, ticker)
            except VolassetsError as error:
                self._refused[ticker] = error
            else:
                months[ticker] = self._months(run, ticker, bars, request)
        if self._refused and not months:
            raise next(iter(self._refused.values()))
        return months

    def run(self, request: Request, listener: Listener) -> Result:
        """Materialize what is missing or stale, or everything with `force`; steps go to `listener`.

        Raises
        ------
        InputError
            As `prepare`, before anything is written.
        """
        months = self.prepare(request)
        with open_instance(self._settings.home) as self._instance:
            close_killed_runs(self._instance, self._settings.home)
            self._recorded = recorded_months(self._instance, self._names, months)
            return self._refresh(months, request, listener)

    def _refresh(self, months: dict[str, list[pd.Timestamp]], request: Request, listener: Listener) -> Result:
        run = Run(self._settings, force=request.force, log=self._say)
        result = Result()
        with listening(listener), listening(lambda step: self._note_failure(result, step)):
            for ticker, error in self._refused.items():
                result.failures[ticker, "raw_prices"] = str(error)
                self._say(f"{ticker} is left out: {error}")
            for ticker in months:
                if self._refresh_ticker(run, ticker, result):
                    self._refresh_months(run, ticker, months[ticker], result)
                    self._compare(run, ticker, result)
            self._panel(run, result)
        return result

    def _usable_bars(self, run: Run, ticker: str) -> pd.DataFrame:
        """Return the bars that the ticker will have after the run's own fetch."""
        bars = run.bars(ticker)
        if needs_fetch(self._source, ticker, bars, run.calendar(ticker)):
            fetched = self._source.fetch(ticker)
            checked_bars(run, ticker, fetched)
            bars = fetched if fetched.index[-1] >= (bars.index[-1] if len(bars) else fetched.index[0]) else bars
        return bars

    def _months(self, run: Run, ticker: str, bars: pd.DataFrame, request: Request) -> list[pd.Timestamp]:
        inputs = TickerInputs(run, ticker, bars)
        earliest = refit_month(self._settings.start_month)
        if request.first is not None and request.first < earliest:
            raise InputError(
                f"{request.first:%Y-%m} lies before start_month = {earliest:%Y-%m}, the first partition: "
                "choose a later month, or lower start_month in the settings."
            )
        first = request.first or max(earliest, inputs.first_month or earliest)
        last = request.last or inputs.last_month
        if request.last is not None and first > request.last:
            raise InputError(f"the months {first:%Y-%m} .. {last:%Y-%m} are in the wrong order: swap --from and --to.")
        months = months_between(first, max(first, last))
        inputs.require_months(months)
        return months

    def _refresh_ticker(self, run: Run, ticker: str, result: Result) -> bool:
        """Bring bars and features up to date; return whether the chain may go on."""
        stored = run.bars(ticker)
        inputs = TickerInputs(run, ticker, stored) if len(stored) else None
        fetch = needs_fetch(self._source, ticker, stored, run.calendar(ticker))
        current = inputs is not None and inputs.stored_features_hash == inputs.fingerprints.features()
        if fetch or not current or run.force:
            reason = fetch or ("forced" if run.force else "features: bars, settings or code changed")
            self._announce(result, f"{ticker} prices and features: {reason}")
            selected = TICKER_STAGES if fetch or run.force else TICKER_STAGES[1:]
            return self._materialize(selected, ticker, ticker, run.force, result)
        return True

    def _refresh_months(self, run: Run, ticker: str, months: list[pd.Timestamp], result: Result) -> None:
        cells = stale_cells(run, run.inputs(ticker), months)
        cells += unrecorded_cells(self._recorded[ticker], ticker, months, cells)
        for line in summary(cells):
            self._announce(result, line)
        for first, last in contiguous(cell.month for cell in cells):
            self._materialize_range(ticker, first, last, cells, run.force, result)

    def _materialize_range(
        self,
        ticker: str,
        first: pd.Timestamp,
        last: pd.Timestamp,
        cells: list[StaleCell],
        force: bool,
        result: Result,
    ) -> None:
        wanted = {cell.asset for cell in cells if first <= cell.month <= last}
        selection = [name for name in self._names if name in wanted]
        before = set(result.failures)
        done = self._materialize(selection, grid_key(ticker, first), grid_key(ticker, last), force, result)
        # A stage that failed as a whole is noted by its name, not by a month.
        places = [where for name, where in set(result.failures) - before if name == ticker]
        failed = {refit_month(where) for where in places if where[:4].isdigit()}
        if done or not failed:
            return
        # A failed month stops its stage in Dagster; the stages after it still owe the other months.
        for start, end in contiguous(set(months_between(first, last)) - failed):
            self._materialize(selection, grid_key(ticker, start), grid_key(ticker, end), False, result)

    def _compare(self, run: Run, ticker: str, result: Result) -> None:
        reason = comparison_is_stale(run, ticker)
        if reason:
            self._announce(result, f"{ticker} comparison: {reason}")
            if self._materialize(["comparison_reports"], ticker, ticker, run.force, result):
                result.compared.append(ticker)

    def _panel(self, run: Run, result: Result) -> None:
        if panel_is_stale(run):
            self._announce(result, "panel over all tickers: a comparison changed")
            if self._materialize(["panel_report"], None, None, run.force, result):
                result.compared.append(None)

    def _materialize(
        self, selection: Sequence[str], first: str | None, last: str | None, force: bool, result: Result
    ) -> bool:
        tags = {FORCE_TAG: "true"} if force else {}
        if first is not None and last is not None:
            tags |= {RANGE_START_TAG: first, RANGE_END_TAG: last}
        outcome = dg.materialize(
            self._definitions,
            selection=list(selection),
            instance=self._instance,
            resources=build_resources(self._settings, self._source),
            tags=tags,
            run_config=QUIET,
            raise_on_error=False,
        )
        if not outcome.success:
            if any(_is_interruption(event) for event in outcome.all_events):
                raise KeyboardInterrupt
            for event in outcome.all_events:
                if event.is_step_failure:
                    self._note_step_failure(result, first or "panel", event)
        return outcome.success

    def _note_step_failure(self, result: Result, where: str, event: dg.DagsterEvent) -> None:
        failure = event.step_failure_data
        text = failure.user_failure_data.description if failure.user_failure_data else None
        if text is None and failure.error is not None:
            text = (failure.error.cause or failure.error).message.strip()
        if not any(key[0] == where.rpartition("|")[2] for key in result.failures):
            result.failures[(where.rpartition("|")[2], event.step_key or "")] = text or "failed"

    def _note_failure(self, result: Result, step: Step) -> None:
        if step.error:
            month = "" if step.month is None else f"{step.month:%Y-%m}"
            result.failures[(step.ticker, month)] = f"{step.stage}: {step.error}"

    def _announce(self, result: Result, line: str) -> None:
        result.refreshed.append(line)
        self._say(line)


def _is_interruption(event: dg.DagsterEvent) -> bool:
    """Return whether Ctrl-C ended the run: Dagster takes it for a failure and would let the next run start."""
    error = event.job_failure_data.error if event.is_job_failure else None
    return error is not None and error.cls_name in ("KeyboardInterrupt", "DagsterExecutionInterruptedError")
