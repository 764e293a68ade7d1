"""Features, fits and walk-forward forecasts of bars at hand."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from volassets.errors import InputError, VolassetsError
from volassets.models.protocol import Fit, Model
from volassets.notebook.given_bars import Bars, GivenSettings, by_ticker, checked, make_settings, with_covariates
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.memory_run import MemoryCell, MemoryRun
from volassets.pipeline.model_steps import Refits, fitted
from volassets.pipeline.step import Step
from volassets.timing import months_between, refit_month

COLUMNS = ("model", "horizon", "origin_date", "target_date", "variance", "volatility", "lower", "upper")
MORE_COLUMNS = ("ticker", "refit_month", "sessions_per_year")


Say = Callable[[str, int, int], None]
"""Takes the name of a step, the cells done and their number."""


class SkippedWarning(UserWarning):
    """Months that a ticker cannot have, or cells that failed, were left out."""


def feature_table(
    bars: Bars,
    *,
    ticker: str = "",
    calendar: str | None = None,
    settings: GivenSettings = None,
    covariates: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame | dict[str, pd.DataFrame]:
    """Return the feature table of bars: what is stored as ``realized_vol_features``.

    Parameters
    ----------
    bars : DataFrame or dict of str to DataFrame
        Daily bars: a DatetimeIndex and the columns open, high, low, close and, where there are, adj_close, volume and
        realized_variance, in any case, Yahoo's ``Adj Close`` too; also with yfinance's two levels of columns.
    ticker : str
        Name of the ticker of one frame; the exchange calendar is guessed from it.
    calendar : str, optional
        Exchange calendar, such as ``XNYS`` or ``24/7``.
    settings : Settings or dict, optional
        Keys of volassets.toml that differ from the defaults.
    covariates : dict of str to DataFrame, optional
        Other series as inputs, by name, with at least closes (docs/covariates.md): of every ticker, unless the settings
        say of which. Those that the settings name must be given.

    Returns
    -------
    DataFrame
        Index date, one float64 column per feature and the outcomes; units are in docs/features.md. The row of t uses
        bars up to and including the close of t. A dict of them where `bars` is one.

    Raises
    ------
    InputError
        If the bars break a rule, or a setting is impossible.
    """
    with _memory_run(by_ticker(bars, ticker), calendar, settings, covariates, models=["naive"]) as run:
        found = dict(run.features)
    return next(iter(found.values())) if isinstance(bars, pd.DataFrame) else found


def fit(
    bars: Bars,
    model: str,
    month: str | pd.Timestamp,
    *,
    ticker: str = "",
    calendar: str | None = None,
    settings: GivenSettings = None,
    horizons: Sequence[int] | None = None,
    covariates: Mapping[str, pd.DataFrame] | None = None,
) -> Fit | dict[str, Fit]:
    """Fit a model on the bars dated before the first day of a month.

    Parameters
    ----------
    bars, ticker, calendar, settings, covariates
        As of `feature_table`.
    model : str
        Name of a registered model; a combination is fitted with its members.
    month : str or Timestamp
        Refit month, ``YYYY-MM``.
    horizons : sequence of int, optional
        Sessions ahead; the settings' by default.

    Returns
    -------
    Fit
        Estimates in `parameters`, `converged` with `message`, `train_start`, `train_end`, weights in `tensors`. A dict
        by ticker where `bars` is one; tickers that cannot have the month are left out with a `SkippedWarning`.

    Raises
    ------
    InputError
        If no ticker can have the month, or the input is wrong.
    """
    when, frames = refit_month(month), by_ticker(bars, ticker)
    members = make_settings(list(frames), settings, Path("."), models=["naive"]).model(model).member_names
    with _memory_run(frames, calendar, settings, covariates, models=[*members, model], horizons=horizons) as run:
        chosen = run.settings.model(model)
        (last,) = (step for step in run.steps if step.name == f"{chosen.family}_forecasts")
        cells = _possible(run, last, [when], [chosen])
        with threadpool_limits(1):
            for step in _needed(run, [last])[:-1]:
                for cell in _cells(run, step, [when], None):
                    if not run.gap(step, cell):
                        run.keep(step, cell, run.output(step, cell))
            found = {cell.partition.ticker: fitted(run.inputs(last, cell), chosen, Refits()) for cell in cells}
    return next(iter(found.values())) if isinstance(bars, pd.DataFrame) else found


def walk_forward(
    bars: Bars,
    models: Sequence[str],
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
    horizons: Sequence[int] = (1, 5, 22),
    jobs: int = 1,
    *,
    ticker: str = "",
    calendar: str | None = None,
    settings: GivenSettings = None,
    covariates: Mapping[str, pd.DataFrame] | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Refit models every month and forecast its sessions from what was known then, as a run of the pipeline does.

    A refit month is fitted on bars dated before its first day; its forecasts are those whose target date lies in it,
    each from the bars up to its origin (docs/timing.md).

    Parameters
    ----------
    bars, ticker, calendar, settings, covariates
        As of `feature_table`. Pooled models are fitted on every ticker of a dict.
    models : sequence of str
        Names of registered models; a combination needs its members among them.
    start, end : str or Timestamp
        First and last refit month, ``YYYY-MM``, both included.
    horizons : sequence of int
        Sessions ahead, 1 among them.
    jobs : int
        Worker processes. Any number gives the same bits.
    progress : bool, optional
        Show a bar; by default in a terminal only.

    Returns
    -------
    DataFrame
        One row per ticker, model, horizon and origin, in that order: `COLUMNS`, then `MORE_COLUMNS`. `variance` is the
        mean daily variance of sessions t+1 .. t+h, decimal; `volatility` and the bounds `lower` and `upper` of the
        interval (90 % by default) are annualised, decimal, bounds NaN while too few outcomes are known. Bit for bit
        the rows that a home with the same bars, ticker, settings and machine stores in its ``<family>_forecasts``.

    Raises
    ------
    InputError
        If the input is wrong, or no ticker can have any of the months. Months that a ticker cannot have and cells that
        failed are named in a `SkippedWarning` and left out.
    """
    months = months_between(refit_month(start), refit_month(end))
    if not months:
        raise InputError(f"there is no month from {start} to {end}: give the earlier one as start.")
    frames = by_ticker(bars, ticker)
    with _memory_run(frames, calendar, settings, covariates, models=list(models), horizons=list(horizons)) as run:
        chosen = list(run.settings.chosen_models.values())
        last = [step for step in run.steps if step.name in {f"{model.family}_forecasts" for model in chosen}]
        todo = [(step, _possible(run, step, months, None)) for step in last]
        needed = _needed(run, last)
        with _shown(progress) as say:
            failures = _computed(run, needed, months, max(1, jobs), say)
        rows = [_rows(run, cell) for _, cells in todo for cell in cells]
    if failures:
        first, error = next(iter(failures.items()))
        text = f"{len(failures)} cells failed and are left out, the first {first}: {error}"
        if not any(len(part) for part in rows):
            raise VolassetsError(f"no forecast could be made: {text}")
        warnings.warn(text, SkippedWarning, stacklevel=2)
    found = pd.concat(rows, ignore_index=True)
    order = {name: place for place, name in enumerate(run.settings.chosen_models)}
    found = found.assign(place=found["model"].map(order)).sort_values(
        ["ticker", "place", "horizon", "origin_date"], kind="stable", ignore_index=True
    )
    return found[[*COLUMNS, *MORE_COLUMNS]]


@contextmanager
def _memory_run(
    frames: Mapping[str, pd.DataFrame],
    calendar: str | None,
    settings: GivenSettings,
    covariates: Mapping[str, pd.DataFrame] | None,
    **overrides: Any,
) -> Iterator[MemoryRun]:
    with tempfile.TemporaryDirectory(prefix="volassets-") as folder:
        made = make_settings(list(frames), settings, Path(folder), calendar=calendar, **overrides)
        made, others = with_covariates(made, covariates or {}, frames)
        with MemoryRun(made, checked(frames, made), others) as run:
            yield run


def _needed(run: MemoryRun, last: Sequence[Step]) -> list[Step]:
    """Return the steps of months that `last` are made from, in order, with them."""
    by_name = {step.name: step for step in run.steps}
    names, waiting = set[str](), [step.name for step in last]
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in names:
            names.add(name)
            waiting += by_name[name].upstream
    return [step for step in run.steps if step.name in names and step.scope in (Scope.TICKER_MONTH, Scope.MONTH)]


def _cells(
    run: MemoryRun, step: Step, months: Sequence[pd.Timestamp], models: Sequence[Model] | None
) -> list[MemoryCell]:
    tickers = [""] if step.scope is Scope.MONTH else run.settings.tickers
    variants = step.variants if models is None else models
    return [MemoryCell(Partition(name, month), model) for model in variants for name in tickers for month in months]


def _possible(
    run: MemoryRun, step: Step, months: Sequence[pd.Timestamp], models: Sequence[Model] | None
) -> list[MemoryCell]:
    """Return the cells that bars are there for; InputError where there are none."""
    cells = _cells(run, step, months, models)
    gaps = {cell: run.gap(step, cell) for cell in cells}
    skipped = dict.fromkeys(gap for gap in gaps.values() if gap)
    if all(gaps.values()):
        raise InputError(f"{next(iter(skipped))}.")
    if skipped:
        texts = "; ".join(list(skipped)[:3])
        warnings.warn(f"{sum(map(bool, gaps.values()))} cells are left out: {texts}", SkippedWarning, stacklevel=4)
    return [cell for cell in cells if not gaps[cell]]


def _computed(
    run: MemoryRun, listed: Sequence[Step], months: Sequence[pd.Timestamp], workers: int, say: Say
) -> dict[str, str]:
    """Compute the steps' cells; return the errors by name of the cell."""
    failures = {}
    for step in listed:
        cells = [cell for cell in _cells(run, step, months, None) if not run.gap(step, cell)]
        for done, result in enumerate(run.compute_in_workers(step, cells, workers), 1):
            if result.error:
                failures[f"{step.name} {result.model} {result.partition.label}".replace("  ", " ")] = result.error
            say(step.name, done, len(cells))
    return failures


def _rows(run: MemoryRun, cell: MemoryCell) -> pd.DataFrame:
    assert cell.model is not None
    rows = run.rows(cell.partition).get(f"{cell.model.family}_forecasts")
    if rows is None:
        return pd.DataFrame(columns=[*COLUMNS, *MORE_COLUMNS])
    own = rows[rows["model"] == cell.model.name]
    return own.assign(ticker=cell.partition.ticker, refit_month=cell.partition.month)


@contextmanager
def _shown(wanted: bool | None) -> Iterator[Say]:
    """Yield what takes the name of a step, the cells done and their number, and shows them as a bar."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    disable = not (console.is_terminal if wanted is None else wanted)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=disable) as bar:
        tasks: dict[str, Any] = {}

        def say(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done)

        yield say
