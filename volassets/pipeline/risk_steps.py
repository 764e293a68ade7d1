"""Value at risk and expected shortfall: `risk_forecasts` per ticker and month, `risk_backtests` per ticker.

A month of risk goes on where the model's month before ended, so its cell's hash covers the hashes of the model's
earlier stored forecasts: filling in earlier months makes the later ones stale.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from volassets.evaluation.risk_backtest import risk_backtests
from volassets.evaluation.risk_forecasts import (
    START,
    MonthForecasts,
    MonthRisk,
    Rules,
    missing_residuals,
    month_risk,
)
from volassets.evaluation.tail_risk import horizon_returns, standardised
from volassets.models.protocol import Fit, Model
from volassets.pipeline.cells import Partition, Scope
from volassets.pipeline.fingerprints import CODE_VERSIONS, digest
from volassets.pipeline.model_steps import Refits, fit_tables, fits_needed, fitted, load_fits
from volassets.pipeline.state import FEATURES, State
from volassets.pipeline.step import Inputs, Output, Requirement, Rows, Step
from volassets.pipeline.stored_steering import Steerings, read_steering, steering_row
from volassets.settings import Settings

RISK, STEERING, BACKTESTS, OF_MODEL = "risk_forecasts", "risk_steering", "risk_backtests", "forecasts of"
# A month has more sessions than this, so that so many months have residuals enough of their own.
SESSIONS_OF_A_MONTH = 18
_USED = ["refit_month", "horizon", "origin_date", "target_date", "variance"]
_FORECASTS = """
    SELECT model, family, refit_month, horizon, origin_date, target_date, variance, data_hash FROM forecasts
    WHERE ticker = $ticker AND model IN (SELECT unnest($models)) ORDER BY model, refit_month, horizon, origin_date
"""
_TESTED = """
    SELECT model, refit_month, horizon, level, tail, origin_date,
        CASE WHEN NOT ends_with(method, 'in-sample') THEN value_at_risk END AS value_at_risk, expected_shortfall
    FROM risk_forecasts WHERE ticker = $ticker ORDER BY model, horizon, level, tail, origin_date
"""


def risk_steps(settings: Settings, models: tuple[Model, ...]) -> Iterator[Step]:
    """Yield the forecasts of risk and their record."""
    own = tuple(model for model in models if model.name in settings.models) or models
    forecasts = tuple(dict.fromkeys(f"{model.family}_forecasts" for model in models))
    yield Step(
        name=RISK,
        scope=Scope.TICKER_MONTH,
        tables=(RISK, STEERING),
        upstream=(FEATURES, *fit_tables(settings, own), *forecasts),
        description="Value at risk and expected shortfall of every forecast: log returns over its sessions.\n\n"
        "Grain: one row per ticker, refit month, model, horizon, level, tail and origin date. From the residuals of "
        "the model's own earlier forecasts, known at the origin; the level is steered by the misses so far.",
        group="risk",
        kinds=("duckdb", "python"),
        fingerprint=_risk_hash,
        compute=risk_rows,
        load=_load_risk,
        own_rows=_of_model,
        requires=_risk_needs,
        models=models,
        gap=State.month_gap,
        stage="risk",
        chained=True,
        stale_reason="forecasts of this or an earlier month, bars or settings changed",
    )
    yield Step(
        name=BACKTESTS,
        scope=Scope.TICKER,
        tables=(BACKTESTS,),
        upstream=(RISK, FEATURES),
        description="How value at risk and expected shortfall have held: coverage, losses, traffic light.\n\n"
        "Grain: one row per ticker, model, horizon, level and tail, over the outcomes that are known.",
        group="risk",
        kinds=("duckdb", "python"),
        fingerprint=_backtest_hash,
        compute=backtest_rows,
        job="compare",
        load=_load_risk_record,
        gap=_no_risk,
        cells_per_job=1,
    )


def risk_rules(settings: Settings) -> Rules:
    """Return the settings' levels, tails and method."""
    return Rules(settings.risk_levels, settings.risk_tails, settings.risk_method)


def risk_rows(inputs: Inputs) -> Output:
    """Return ``risk_forecasts`` and ``risk_steering`` of one model and month."""
    forecasts, rules = _ModelForecasts(inputs), risk_rules(inputs.settings)
    before = _steering_before(inputs, forecasts, rules)
    if not forecasts.horizons:
        return Output({RISK: pd.DataFrame(), STEERING: pd.DataFrame()})
    needed = _needs_fit(inputs.settings, inputs.model, len(forecasts.earlier_months))
    refits = Refits()
    fit = fitted(inputs, inputs.model, refits) if needed else None
    months = [forecasts.month(horizon, inputs.month) for horizon in forecasts.horizons]
    if fit is not None:
        months = _with_fit(months, fit, inputs, forecasts.dates)
    found = [
        (month.horizon, risk) for month in months for risk in month_risk(month, rules, before.get(month.horizon, {}))
    ]
    ends = pd.DataFrame([steering_row(*risk, forecasts.dates) for risk in found])
    return Output({RISK: forecasts.rows(found), STEERING: ends}, refits.files, refits.log)


def backtest_rows(inputs: Inputs) -> Output:
    """Return ``risk_backtests`` of one ticker."""
    risk, features = inputs.rows[RISK], inputs.table
    index, returns = pd.DatetimeIndex(features.index), features["return"].to_numpy(np.float64)
    places = index.get_indexer(pd.DatetimeIndex(risk["origin_date"]))
    outcome = np.full(len(risk), np.nan)
    for horizon in risk["horizon"].unique():
        mine = (risk["horizon"] == horizon).to_numpy()
        outcome[mine] = horizon_returns(returns, int(horizon))[places[mine]]
    return Output({BACKTESTS: risk_backtests(risk.assign(outcome=outcome))})


class _ModelForecasts:
    """The forecasts of a cell's model up to the end of its month, as arrays in order of month, horizon and origin."""

    def __init__(self, inputs: Inputs) -> None:
        name, month = inputs.model.name, np.datetime64(inputs.month, "ns")
        rows = inputs.rows.get(f"{OF_MODEL} {name}")
        if rows is None:
            rows = inputs.rows[f"{inputs.model.family}_forecasts"]
            rows = rows[rows["model"] == name].assign(refit_month=inputs.month)
        months = rows["refit_month"].to_numpy()
        end = int(months.searchsorted(month, side="right"))
        self.months, self.horizon = months[:end], rows["horizon"].to_numpy()[:end]
        self.variance = rows["variance"].to_numpy(np.float64)[:end]
        self.target = rows["target_date"].to_numpy()[:end]
        self.dates = inputs.table.index.to_numpy()
        self.origin = self.dates.searchsorted(rows["origin_date"].to_numpy()[:end].astype(self.dates.dtype))
        self.own = int(months.searchsorted(month))
        self.horizons = [int(h) for h in np.unique(self.horizon[self.own :])]
        past = months[: self.own]
        self.earlier_months = past[np.append(past[1:] != past[:-1], True)] if self.own else past
        self._returns = inputs.table["return"].to_numpy(np.float64)

    def month(self, horizon: int, month: pd.Timestamp) -> MonthForecasts:
        """Return the forecasts of one horizon up to the end of `month`."""
        start, end = (int(self.months.searchsorted(np.datetime64(month, "ns"), side)) for side in ("left", "right"))
        mine = self.horizon[:end] == horizon
        first = int(mine[:start].sum())
        outcome = horizon_returns(self._returns, horizon)
        return MonthForecasts(self.origin[:end][mine], self.variance[:end][mine], first, outcome, horizon)

    def rows(self, found: Sequence[tuple[int, MonthRisk]]) -> pd.DataFrame:
        """Return the rows of the month, one per horizon, tail, level and origin."""
        own = {horizon: self.own + np.flatnonzero(self.horizon[self.own :] == horizon) for horizon in self.horizons}
        places = np.concatenate([own[horizon] for horizon, _ in found])
        risks, sizes = [risk for _, risk in found], [len(own[horizon]) for horizon, _ in found]
        return pd.DataFrame(
            {
                "horizon": self.horizon[places],
                "level": np.repeat([risk.level for risk in risks], sizes),
                "tail": np.repeat(np.array([risk.tail for risk in risks], object), sizes),
                "origin_date": self.dates[self.origin[places]],
                "target_date": self.target[places],
                "value_at_risk": np.concatenate([risk.value_at_risk for risk in risks]),
                "expected_shortfall": np.concatenate([risk.expected_shortfall for risk in risks]),
                "method": np.repeat(np.array([risk.method for risk in risks], object), sizes),
            }
        )


def _with_fit(months: Sequence[MonthForecasts], fit: Fit, inputs: Inputs, dates: np.ndarray) -> list[MonthForecasts]:
    """Return a month's horizons with the degrees of freedom of its fit, and its in-sample residuals where needed."""
    ends = {
        month.horizon: max(int(month.rows[0]) - month.horizon + 1, 0) for month in months if missing_residuals(month)
    }
    degrees = float(fit.parameters.get("nu") or "nan")
    if not ends:
        return [replace(month, degrees=degrees) for month in months]
    # One forecast serves all horizons: its origins differ by some sessions only.
    first, last = max(min(ends.values()) - START, 0), max(ends.values())
    variance = inputs.model.forecast(fit, inputs.table, pd.DatetimeIndex(dates[first:last]))
    found = []
    for month in months:
        residuals = np.empty(0)
        if month.horizon in ends:
            end = ends[month.horizon]
            origins = slice(max(end - START, 0), end)
            own = variance[month.horizon].to_numpy(np.float64)[origins.start - first : end - first]
            residuals = standardised(month.outcome[origins], own, month.horizon)
            residuals = residuals[np.isfinite(residuals)]
        found.append(replace(month, in_sample=residuals, degrees=degrees))
    return found


def _steering_before(inputs: Inputs, forecasts: _ModelForecasts, rules: Rules) -> dict[int, Steerings]:
    """Return the steering by horizon at the end of the month before: as computed or stored, else from the start."""
    if not len(forecasts.earlier_months):
        return {}
    stored = inputs.rows.get(STEERING)
    if inputs.before is not None and inputs.before[0].month == pd.Timestamp(forecasts.earlier_months[-1]):
        return read_steering(inputs.before[1].tables[STEERING], forecasts.dates)
    if stored is not None and (stored["model"] == inputs.model.name).any():
        return read_steering(stored[stored["model"] == inputs.model.name], forecasts.dates)
    found: dict[int, Steerings] = {}
    for month in forecasts.earlier_months:
        for horizon in np.unique(forecasts.horizon[forecasts.months == month]):
            risks = month_risk(forecasts.month(int(horizon), month), rules, found.get(int(horizon), {}))
            found[int(horizon)] = {(risk.tail, risk.level): risk.steering for risk in risks}
    return found


def _needs_fit(settings: Settings, model: Model, earlier_months: int) -> bool:
    """Return whether a month's own fit may be used: its in-sample residuals, or its degrees of freedom."""
    enough = (START + max(settings.horizons)) // SESSIONS_OF_A_MONTH + 1
    own_tail = settings.risk_method == "student_t" and getattr(model, "distribution", "") == "t"
    return earlier_months < enough or own_tail


def _risk_hash(state: State, partition: Partition, model: Model) -> str:
    table, settings = f"{model.family}_forecasts", state.context.settings
    own = state.fingerprints(partition).forecast(model, partition.refit_month)
    earlier = state.stored_hashes.before(table, partition, model.name)
    rules = (settings.risk_levels, settings.risk_tails, settings.risk_method)
    return digest(own, earlier, rules, CODE_VERSIONS["risk"])


def _risk_needs(state: State, partition: Partition, model: Model) -> Iterator[Requirement]:
    table, month = f"{model.family}_forecasts", partition.refit_month
    yield table, partition, model.name, state.fingerprints(partition).forecast(model, month)
    if _needs_fit(state.context.settings, model, _earlier_months(state, partition, model)):
        yield from fits_needed(state, partition, model)


def _earlier_months(state: State, partition: Partition, model: Model) -> int:
    months = state.months(f"{model.family}_forecasts", partition.ticker, model.name)
    return bisect_left(months, partition.refit_month)


def _load_risk(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Rows]:
    """Return the month's forecasts, each model's forecasts of all months, and what the first months need beside."""
    context = state.context
    models = list(context.models.values())
    with_fits = [
        place
        for place in partitions
        if any(_needs_fit(context.settings, model, _earlier_months(state, place, model)) for model in models)
    ]
    fits = load_fits(context.settings, models)(state, with_fits) if with_fits else {}
    found: dict[Partition, Rows] = {}
    for ticker in dict.fromkeys(place.ticker for place in partitions):
        places = [place for place in partitions if place.ticker == ticker]
        rows = context.warehouse.query(_FORECASTS, {"ticker": ticker, "models": list(context.models)})
        rows["refit_month"] = pd.to_datetime(rows["refit_month"]).astype("datetime64[ns]")
        shared = {f"{OF_MODEL} {model}": part[_USED] for model, part in rows.groupby("model", sort=False)}
        own = {
            (month, family): part
            for (month, family), part in rows[rows["refit_month"].isin([p.month for p in places])].groupby(
                ["refit_month", "family"], sort=False
            )
        }
        steering = _stored_steering(state, places, models)
        for place in places:
            month = {f"{family}_forecasts": part for (when, family), part in own.items() if when == place.month}
            found[place] = {**shared, **month, **fits.get(place, {}), **steering.get(place, {})}
    return found


def _of_model(rows: Rows, model: Model) -> Rows:
    """Return the rows of a month without the forecasts and fits of other models, which its cell does not need."""
    own = f"{OF_MODEL} {model.name}"
    if own not in rows:
        return rows
    needed = (own, STEERING, f"{model.family}_fits")
    combined = bool(model.member_names)
    return {name: part for name, part in rows.items() if name in needed or (combined and name.endswith("_fits"))}


def _stored_steering(
    state: State, places: Sequence[Partition], models: Sequence[Model]
) -> dict[Partition, dict[str, pd.DataFrame]]:
    """Return the stored steering that a month goes on from, where the month before is right and not asked for too."""
    asked = set(places)
    wanted: dict[Partition, dict[str, Partition]] = {}
    for place in places:
        for model in models:
            months = state.months(f"{model.family}_forecasts", place.ticker, model.name)
            position = bisect_left(months, place.refit_month)
            last = Partition(place.ticker, months[position - 1]) if position else None
            if last is not None and last not in asked and risk_is_current(state, last, model):
                wanted.setdefault(place, {})[model.name] = last
    found: dict[Partition, dict[str, pd.DataFrame]] = {}
    for place, by_model in wanted.items():
        for last in set(by_model.values()):
            rows = state.context.warehouse.read(STEERING, ticker=place.ticker, refit_month=last.month)
            rows = rows[rows["model"].isin([name for name, where in by_model.items() if where == last])]
            before = found.get(place, {}).get(STEERING)
            found[place] = {STEERING: rows if before is None else pd.concat([before, rows], ignore_index=True)}
    return found


def risk_is_current(state: State, place: Partition, model: Model) -> bool:
    """Return whether the stored risk of a cell agrees with today's forecasts, settings and bars."""
    stored = state.stored_hashes.hash(RISK, place, model.name)
    return bool(stored) and stored == _risk_hash(state, place, model)


def _current_risk(state: State, ticker: str) -> dict[tuple[str, pd.Timestamp], str]:
    """Return (model, month) to hash of the stored risk that agrees with today's settings and bars."""
    current = {}
    for model, month in state.current_forecasts(ticker):
        place = Partition(ticker, month)
        stored = state.stored_hashes.hash(RISK, place, model)
        if stored and stored == _risk_hash(state, place, state.context.settings.model(model)):
            current[model, month] = stored
    return current


def _backtest_hash(state: State, partition: Partition, _model: Model | None) -> str:
    cells = sorted((model, month, value) for (model, month), value in _current_risk(state, partition.ticker).items())
    if not cells:
        return ""
    features = state.fingerprints(partition).features()
    return digest([value for *_, value in cells], features, CODE_VERSIONS["risk"])


def _no_risk(state: State, partition: Partition, _model: Model | None) -> str:
    if _current_risk(state, partition.ticker):
        return ""
    return f"no current {RISK} of {partition.ticker} is stored: materialize {RISK} for it first"


def _load_risk_record(state: State, partitions: Sequence[Partition]) -> Mapping[Partition, Rows]:
    found: dict[Partition, Rows] = {}
    for place in partitions:
        rows = state.context.warehouse.query(_TESTED, {"ticker": place.ticker})
        current = _current_risk(state, place.ticker)
        cells = pd.DataFrame([(model, month) for model, month in current], columns=["model", "refit_month"])
        rows["refit_month"] = pd.to_datetime(rows["refit_month"]).astype("datetime64[ns]")
        found[place] = {RISK: rows.merge(cells.astype({"refit_month": "datetime64[ns]"}), on=["model", "refit_month"])}
    return found
