"""The stages over ticker x month: what is computed, skipped where its hash is there, and committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from volassets.errors import InputError, VolassetsError
from volassets.models.protocol import Model
from volassets.orchestration import tasks
from volassets.orchestration.inputs import Run, TickerInputs
from volassets.orchestration.locks import ticker_lock
from volassets.orchestration.progress import Step, report
from volassets.orchestration.stored import StoredCells
from volassets.orchestration.workers import SharedFrame, run_tasks, shared_frame
from volassets.partitions import Cells
from volassets.timing import origins_of_month
from volassets.warehouse.store import Replacement

# A commit costs as much as a small fit, so finished cells wait for each other this long at most.
COMMIT_SECONDS = 1.0
UNSTORED_FITS = ("benchmark", "combined")

Key = tuple[str, pd.Timestamp, str]


class CellsFailed(VolassetsError):
    """Some cells of a stage failed; the others are committed.

    Attributes
    ----------
    failures : dict
        (ticker, month, model) to the message.
    finished : dict
        The months per ticker that are complete all the same.
    """

    def __init__(self, stage: str, failures: dict[Key, str], refused: dict[str, str], finished: Cells) -> None:
        self.failures = failures
        self.finished = finished
        lines = [f"{ticker} {month:%Y-%m} {model}: {text}" for (ticker, month, model), text in failures.items()]
        count = f"{len(failures)} of its cells failed" if failures else f"{', '.join(refused)} could not be computed"
        super().__init__("\n".join([f"{stage}: {count}, the others are kept.", *refused.values(), *lines]))


@dataclass(frozen=True)
class Work:
    """One cell to compute: what a worker runs, and what its result replaces in the store."""

    data_hash: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    replacements: Callable[[Any], list[Replacement]]


@dataclass(frozen=True)
class Outcome:
    """What a stage did for one ticker: cells computed and cells whose stored rows were right already."""

    computed: list[Key]
    unchanged: list[Key]


def models_of(run: Run, family: str) -> list[Model]:
    """Return the chosen models of one family, in the registry's order."""
    return [model for model in run.settings.chosen_models.values() if model.family == family]


def select_features(run: Run, cells: Cells) -> dict[str, Outcome]:
    """Write ``selected_features`` of the cells."""

    def plan(inputs: TickerInputs, months: list[pd.Timestamp], shared: SharedFrame) -> Iterator[tuple[Key, Work]]:
        settings = run.settings
        for month in months:
            data_hash = inputs.fingerprints.selected_features(month)
            arguments = (shared, month, settings.correlation_threshold, settings.scaling)
            replace = _monthly_replacement("selected_features", inputs.ticker, month, data_hash)
            yield (inputs.ticker, month, ""), Work(data_hash, tasks.select, arguments, replace)

    return _run_stage(run, "selected_features", "selected_features", cells, plan)


def analyse_lags(run: Run, cells: Cells) -> dict[str, Outcome]:
    """Write ``lag_analysis`` of the cells."""

    def plan(inputs: TickerInputs, months: list[pd.Timestamp], shared: SharedFrame) -> Iterator[tuple[Key, Work]]:
        for month in months:
            data_hash = inputs.fingerprints.lag_analysis(month)
            replace = _monthly_replacement("lag_analysis", inputs.ticker, month, data_hash)
            yield (
                (inputs.ticker, month, ""),
                Work(data_hash, tasks.lags, (shared, month, run.settings.lags), replace),
            )

    return _run_stage(run, "lag_analysis", "lag_analysis", cells, plan)


def fit_family(run: Run, family: str, cells: Cells) -> dict[str, Outcome]:
    """Write ``<family>_fits`` of the cells, with checkpoints, training history and importance."""
    table = f"{family}_fits"

    def plan(inputs: TickerInputs, months: list[pd.Timestamp], shared: SharedFrame) -> Iterator[tuple[Key, Work]]:
        selections = _selections(run, inputs) if any(_uses_selection(m) for m in models_of(run, family)) else {}
        for month in months:
            for model in models_of(run, family):
                data_hash = inputs.fingerprints.fit(model, month)
                window = tasks.WindowRequest(
                    inputs.ticker,
                    month,
                    run.settings.horizons,
                    selections.get(month) if _uses_selection(model) else None,
                )
                importance = _wants_importance(run, month)
                destination = run.settings.files
                arguments = (shared, window, model, data_hash, destination, importance)
                yield (
                    (inputs.ticker, month, model.name),
                    Work(data_hash, tasks.fit, arguments, _fit_replacements(table, inputs.ticker, month, model.name)),
                )

    return _run_stage(run, table, table, cells, plan)


def forecast_family(run: Run, family: str, cells: Cells) -> dict[str, Outcome]:
    """Write ``<family>_forecasts`` of the cells, from the stored fits."""
    table = f"{family}_forecasts"

    def plan(inputs: TickerInputs, months: list[pd.Timestamp], shared: SharedFrame) -> Iterator[tuple[Key, Work]]:
        fits = {month: run_fits for month, run_fits in _stored_fits(run, inputs.ticker).items() if month in set(months)}
        index = pd.DatetimeIndex(inputs.bars.index)
        for month in months:
            origins = origins_of_month(index, month, inputs.calendar)
            for model in models_of(run, family):
                data_hash = inputs.fingerprints.forecast(model, month)
                request = tasks.ForecastRequest(
                    window=tasks.WindowRequest(inputs.ticker, month, run.settings.horizons, None),
                    model=model,
                    stored=_stored_records(run, inputs, model, month, fits.get(month, {})),
                    members=tuple(run.settings.model(name) for name in getattr(model, "members", ())),
                    origins=origins,
                    calendar=inputs.calendar.name,
                    level=run.settings.interval_level,
                    files=run.settings.files,
                )
                replace = _forecast_replacements(table, inputs.ticker, month, model.name, data_hash)
                yield (inputs.ticker, month, model.name), Work(data_hash, tasks.forecast, (shared, request), replace)

    return _run_stage(run, table, table, cells, plan)


def _run_stage(
    run: Run,
    stage: str,
    table: str,
    cells: Cells,
    plan: Callable[[TickerInputs, list[pd.Timestamp], SharedFrame], Iterable[tuple[Key, Work]]],
) -> dict[str, Outcome]:
    """Compute what is missing or stale of every ticker's cells; commit as results arrive.

    A ticker that cannot be computed does not stop the others.

    Raises
    ------
    InputError
        Before anything is computed, if that is so of every ticker.
    CellsFailed
        After everything else is committed, if a cell failed or a ticker could not be computed.
    """
    outcomes: dict[str, Outcome] = {}
    failures: dict[Key, str] = {}
    refused: dict[str, str] = {}
    for ticker, months in cells.items():
        try:
            inputs = run.inputs(ticker)
            inputs.require_months(months)
            with ticker_lock(run.settings.home, ticker, run.log), shared_frame(inputs.features) as shared:
                works = dict(plan(inputs, months, shared))
                stored = {} if run.force else StoredCells(run, [ticker]).hashes(table, ticker)
                todo = {key: work for key, work in works.items() if stored.get(key[1:]) != work.data_hash}
                done, failed = _compute(run, stage, todo)
        except InputError as error:
            refused[ticker] = str(error)
            continue
        outcomes[ticker] = Outcome(done, [key for key in works if key not in todo])
        failures.update(failed)
    if refused and not outcomes:
        raise InputError("\n".join(refused.values()))
    if failures or refused:
        broken = {key[:2] for key in failures}
        finished = {t: [month for month in cells[t] if (t, month) not in broken] for t in outcomes}
        raise CellsFailed(stage, failures, refused, finished)
    return outcomes


def _compute(run: Run, stage: str, todo: dict[Key, Work]) -> tuple[list[Key], dict[Key, str]]:
    done: list[Key] = []
    failed: dict[Key, str] = {}
    waiting: list[Replacement] = []
    last_commit = time.monotonic()
    calls = {key: (work.function, work.arguments) for key, work in todo.items()}
    try:
        for key, result, error in run_tasks(calls, run.settings.workers):
            if error is None:
                waiting += todo[key].replacements(result)
                done.append(key)
            else:
                failed[key] = f"{type(error).__name__}: {error}"
            if time.monotonic() - last_commit >= COMMIT_SECONDS:
                run.warehouse.write(*_by_table(waiting))
                waiting, last_commit = [], time.monotonic()
            report(Step(stage, key[0], key[1], len(done) + len(failed), len(todo), failed.get(key, "")))
    finally:
        # Also when interrupted: what is finished is kept.
        if waiting:
            run.warehouse.write(*_by_table(waiting))
    return done, failed


def _by_table(replacements: list[Replacement]) -> list[Replacement]:
    """Join the replacements of each table into one: what a commit costs grows with their number, not their rows."""
    tables: dict[str, list[Replacement]] = {}
    for replacement in replacements:
        tables.setdefault(replacement.table, []).append(replacement)
    return [
        Replacement(
            table,
            pd.concat([part.frame for part in parts], ignore_index=True),
            pd.concat([part.cells for part in parts if part.cells is not None], ignore_index=True),
        )
        if len(parts) > 1
        else parts[0]
        for table, parts in tables.items()
    ]


def _cell(ticker: str, month: pd.Timestamp, model: str = "") -> pd.DataFrame:
    cell = {"ticker": [ticker], "refit_month": [month]}
    return pd.DataFrame({**cell, "model": [model]} if model else cell)


def _monthly_replacement(
    table: str, ticker: str, month: pd.Timestamp, data_hash: str
) -> Callable[[pd.DataFrame], list[Replacement]]:
    def replace(frame: pd.DataFrame) -> list[Replacement]:
        rows = frame.assign(ticker=ticker, refit_month=month, data_hash=data_hash)
        return [Replacement(table, rows, _cell(ticker, month))]

    return replace


def _fit_replacements(
    table: str, ticker: str, month: pd.Timestamp, model: str
) -> Callable[[tasks.FitResult], list[Replacement]]:
    cell = _cell(ticker, month, model)
    names: dict[str, Any] = {"ticker": ticker, "refit_month": month, "model": model}

    def replace(result: tasks.FitResult) -> list[Replacement]:
        parts = [Replacement(table, pd.DataFrame([result.row]), cell)]
        if result.history is not None:
            parts.append(Replacement("training_history", result.history.assign(**names), cell))
        if result.importance is not None:
            parts.append(Replacement("feature_importance", result.importance.assign(**names), cell))
        return parts

    return replace


def _forecast_replacements(
    table: str, ticker: str, month: pd.Timestamp, model: str, data_hash: str
) -> Callable[[tasks.ForecastResult], list[Replacement]]:
    cell = _cell(ticker, month, model)
    names: dict[str, Any] = {"ticker": ticker, "refit_month": month, "model": model}

    def replace(result: tasks.ForecastResult) -> list[Replacement]:
        parts = [Replacement(table, result.rows.assign(**names, data_hash=data_hash), cell)]
        if result.attention is not None:
            parts.append(Replacement("attention", result.attention.assign(**names), cell))
        return parts

    return replace


def _stored_fits(run: Run, ticker: str) -> dict[pd.Timestamp, dict[str, dict[str, Any]]]:
    """Return month -> model -> fit row, over every family that stores fits."""
    fits: dict[pd.Timestamp, dict[str, dict[str, Any]]] = {}
    for family in dict.fromkeys(model.family for model in run.settings.chosen_models.values()):
        if family in UNSTORED_FITS:
            continue
        for row in run.warehouse.read(f"{family}_fits", ticker=ticker).to_dict("records"):
            fits.setdefault(pd.Timestamp(row["refit_month"]), {})[row["model"]] = {str(k): v for k, v in row.items()}
    return fits


def _stored_records(
    run: Run, inputs: TickerInputs, model: Model, month: pd.Timestamp, fits: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the fit rows that a forecast needs, refusing missing or stale ones."""
    needed = [run.settings.model(name) for name in getattr(model, "members", ())] or [model]
    records = {}
    for member in needed:
        if member.family in UNSTORED_FITS:
            continue
        row = fits.get(member.name)
        if row is None or row["data_hash"] != inputs.fingerprints.fit(member, month):
            state = "is not stored" if row is None else "was made from other bars, settings or code"
            raise InputError(
                f"the {member.name} fit of {inputs.ticker} for {month:%Y-%m} {state}: "
                f"materialize {member.family}_fits for this month first."
            )
        records[member.name] = row
    return records


def _selections(run: Run, inputs: TickerInputs) -> dict[pd.Timestamp, pd.DataFrame]:
    stored = run.warehouse.read("selected_features", ticker=inputs.ticker)
    return {
        pd.Timestamp(month): rows.set_index("feature")  # type: ignore[arg-type]
        for month, rows in stored.groupby("refit_month", sort=False)
    }


def _uses_selection(model: Model) -> bool:
    return bool(getattr(model, "uses_selection", False))


def _wants_importance(run: Run, month: pd.Timestamp) -> bool:
    choice = run.settings.importance
    return choice == "monthly" or (choice == "yearly" and month.month == 1)
