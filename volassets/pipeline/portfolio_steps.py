"""Books: `correlation_fits` per month, `risk_contributions` and `portfolio_forecasts` per book and month, their record.

Nothing of it is planned in a home without portfolios. A month of value at risk goes on from the book's month before,
as that of a model does (`volassets.pipeline.risk_steps`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.evaluation.correlations import NEAR_DUPLICATE, CorrelationFit
from volassets.evaluation.covariance_calibration import book_calibration
from volassets.evaluation.portfolio_backtest import portfolio_backtests
from volassets.evaluation.portfolio_panel import Panel, panel_of, residuals_of, sessions_a_year, variances_of
from volassets.evaluation.portfolio_risk import (
    LEVELS,
    month_correlations,
    month_frame,
    month_origins,
    month_rows,
    targets_of,
)
from volassets.evaluation.portfolio_variance import book_variances
from volassets.evaluation.risk_forecasts import Rules
from volassets.market.calendar import calendar_for
from volassets.models.protocol import Model
from volassets.pipeline.cells import Scope
from volassets.pipeline.portfolio_checks import BACKTEST_CHECKS, CONTRIBUTION_CHECKS, CORRELATION_CHECKS
from volassets.pipeline.portfolio_members import held_weights, members_of
from volassets.pipeline.portfolio_state import (
    CLOSES,
    CONTRIBUTIONS,
    CORRELATIONS,
    FORECASTS,
    MEMBERS,
    RESIDUALS,
    STEERING,
    VARIANCES,
    WEIGHTS,
    backtest_hash,
    book_gap,
    contribution_hash,
    correlation_hash,
    forecast_hash,
    load_book_months,
    load_correlations,
    load_forecasts,
    load_record,
    members_needed,
    no_members,
    no_record,
    variances_needed,
)
from volassets.pipeline.step import Inputs, Output, Step
from volassets.pipeline.stored_steering import Steerings, read_steering, steering_row
from volassets.settings import Settings

BACKTESTS = "portfolio_backtests"
GROUP = "portfolio"
# Exchanges that close so many hours apart see different news on one date.
SAME_CLOSE_HOURS = 0.5


def portfolio_steps(settings: Settings, models: tuple[Model, ...]) -> Iterator[Step]:
    """Yield the steps of the home's books; none where it has no portfolio."""
    if not settings.portfolios:
        return
    names = tuple(settings.portfolios)
    upstream = tuple(dict.fromkeys(f"{model.family}_forecasts" for model in models))
    shared: dict[str, Any] = {
        "group": GROUP,
        "kinds": ("duckdb", "python"),
        "needs_features": False,
        "names": names,
        "stale_reason": "forecasts, bars, weights or settings changed",
    }
    yield Step(
        name=CORRELATIONS,
        scope=Scope.MONTH,
        tables=(CORRELATIONS,),
        upstream=upstream,
        description="Correlations of all tickers with forecasts, from the forecasts' own residuals.\n\n"
        "Grain: one row per refit month, over residuals dated before it. Portfolios take their members' part and "
        "filter it day by day.",
        fingerprint=correlation_hash,
        compute=correlation_rows,
        load=load_correlations,
        gap=no_members,
        checks=CORRELATION_CHECKS,
        **shared,
    )
    yield Step(
        name=CONTRIBUTIONS,
        scope=Scope.PORTFOLIO_MONTH,
        tables=(CONTRIBUTIONS, VARIANCES),
        upstream=(CORRELATIONS, *upstream),
        description="Who contributes to a portfolio's volatility, and the two variances behind its forecast.\n\n"
        "Grain: one row per portfolio, refit month, horizon, origin date and ticker; the shares of a day sum to 1.",
        fingerprint=contribution_hash,
        compute=contribution_rows,
        load=load_book_months,
        requires=members_needed,
        gap=book_gap,
        checks=CONTRIBUTION_CHECKS,
        **shared,
    )
    yield Step(
        name=FORECASTS,
        scope=Scope.PORTFOLIO_MONTH,
        tables=(FORECASTS, STEERING),
        upstream=(CONTRIBUTIONS,),
        description="Volatility, value at risk and expected shortfall of a portfolio, as shares of its value.\n\n"
        "Grain: one row per portfolio, refit month, horizon and origin date.",
        fingerprint=forecast_hash,
        compute=forecast_rows,
        load=load_forecasts,
        requires=variances_needed,
        gap=book_gap,
        chained=True,
        **shared,
    )
    yield Step(
        name=BACKTESTS,
        scope=Scope.PORTFOLIO,
        tables=(BACKTESTS,),
        upstream=(FORECASTS,),
        description="How a portfolio's risk has held, against RiskMetrics and its own series alone.\n\n"
        "Grain: one row per portfolio, horizon and level, over the outcomes that are known.",
        fingerprint=backtest_hash,
        compute=backtest_rows,
        load=load_record,
        gap=no_record,
        checks=BACKTEST_CHECKS,
        cells_per_job=1,
        **shared,
    )


def correlation_rows(inputs: Inputs) -> Output:
    """Return ``correlation_fits`` of one month."""
    members = inputs.rows[MEMBERS]
    panel = _panel(inputs.rows[CLOSES], list(members["ticker"]))
    one = inputs.rows[RESIDUALS]
    residuals = residuals_of(panel, *variances_of(panel, one[one["horizon"] == 1]))
    hours = members.set_index("ticker").loc[list(panel.members), "closes_at"].to_numpy(np.float64)
    differ = np.abs(hours[:, None] - hours[None, :]) > SAME_CLOSE_HOURS
    fit, filled = month_correlations(panel, residuals, inputs.month, differ)
    models = members.set_index("ticker")["model"].loc[list(panel.members)]
    log = [
        f"{inputs.month:%Y-%m}: {a} and {b} have a correlation of {value:.3f} > {NEAR_DUPLICATE}: what is hedged "
        "between them is mostly rounding"
        for a, b, value in fit.near_duplicates()
    ]
    return Output({CORRELATIONS: pd.DataFrame([_fit_row(fit, filled, list(models))])}, log=log)


def contribution_rows(inputs: Inputs) -> Output:
    """Return ``risk_contributions`` and ``portfolio_variances`` of one book and month."""
    month, given = inputs.month, inputs.rows[WEIGHTS]
    fit = read_fit(inputs.rows[CORRELATIONS].iloc[0])
    rows, names = inputs.rows[RESIDUALS], members_of(given)
    panel = _panel(inputs.rows[CLOSES], names)
    targets, end = targets_of(panel, rows), panel.before(month)
    held = held_weights(given, panel.members, panel.dates)
    origins = month_origins(panel, targets, month)
    origins = origins[np.isfinite(held[origins]).all(axis=1)]
    if not len(origins):
        raise InputError(f"no session of {inputs.partition.label} has weights: date the first ones earlier.")
    variances = {h: variances_of(panel, rows[rows["horizon"] == h]) for h in sorted(rows["horizon"].unique())}
    residuals = residuals_of(panel, *variances[1])
    by_horizon = {int(h): found for h, (found, _) in variances.items()}
    for h, found in by_horizon.items():
        missing = ~np.isfinite(found[origins]).all(axis=0)
        if missing.any():
            name = panel.members[int(np.argmax(missing))]
            raise InputError(f"{name} lacks a forecast of {h} sessions in {month:%Y-%m}: `volassets run --force` it.")
    books, message = book_variances(panel, fit.of(panel.members), held[origins], by_horizon, residuals, origins, end)
    shares, stored = [], []
    for h, book in books.items():
        when = {"horizon": h, "origin_date": panel.dates[origins]}
        values = {"variance": book.variance, "variance_assets": book.assets, "variance_own": book.own}
        stored.append(pd.DataFrame({**when, "target_date": targets[origins], **values, "message": message}))
        for place, name in enumerate(panel.members):
            part = {"weight": held[origins, place], "volatility_share": book.shares[:, place]}
            shares.append(pd.DataFrame({**when, "ticker": name, **part, "var_share": book.shares[:, place]}))
    return Output(
        {CONTRIBUTIONS: pd.concat(shares, ignore_index=True), VARIANCES: pd.concat(stored, ignore_index=True)}
    )


def forecast_rows(inputs: Inputs) -> Output:
    """Return ``portfolio_forecasts`` and ``portfolio_steering`` of one book and month."""
    month, given = inputs.month, inputs.rows[WEIGHTS]
    panel = _panel(inputs.rows[CLOSES], members_of(given))
    held = held_weights(given, panel.members, panel.dates)
    rows = inputs.rows[VARIANCES]
    rows = rows[rows["refit_month"] <= month]
    rules = Rules(LEVELS, method=inputs.settings.risk_method)
    sessions = sessions_a_year([calendar_for(m, inputs.settings.calendars).sessions_per_year for m in panel.members])
    before = _steering_before(inputs, panel, held, rows, rules)
    frames, ends = [], []
    for h, own in rows.groupby("horizon", sort=True):
        horizon = int(str(h))
        origins, variance, first = _so_far(panel, own, month)
        risks, interval = month_rows(panel, held, origins, variance, first, horizon, rules, before.get(horizon, {}))
        mine = own[own["refit_month"] == month]
        values = {name: mine[name].to_numpy(np.float64) for name in ("variance", "variance_assets", "variance_own")}
        targets = np.full(len(panel.dates), np.datetime64("NaT", "ns"))
        targets[origins[first:]] = mine["target_date"].to_numpy()
        frames.append(month_frame(panel, targets, origins[first:], horizon, risks, interval, values, sessions))
        ends += [steering_row(horizon, risk, panel.dates) for risk in risks]
    return Output({FORECASTS: pd.concat(frames, ignore_index=True), STEERING: pd.DataFrame(ends).drop(columns="tail")})


def backtest_rows(inputs: Inputs) -> Output:
    """Return ``portfolio_backtests`` of one book."""
    given = inputs.rows[WEIGHTS]
    panel = _panel(inputs.rows[CLOSES], members_of(given))
    held = held_weights(given, panel.members, panel.dates)
    rows, forecasts = inputs.rows[RESIDUALS], inputs.rows[FORECASTS]
    variances = {int(str(h)): variances_of(panel, own) for h, own in rows.groupby("horizon", sort=True)}
    residuals = residuals_of(panel, *variances[1])
    fits = {
        pd.Timestamp(row["refit_month"]): read_fit(row).of(panel.members)
        for _, row in inputs.rows[CORRELATIONS].iterrows()
    }
    one = forecasts[forecasts["horizon"] == 1]
    origins = {
        pd.Timestamp(str(month)): np.searchsorted(panel.dates, own["origin_date"].to_numpy().astype(panel.dates.dtype))
        for month, own in one.groupby("refit_month", sort=True)
    }
    by_horizon = {h: found for h, (found, _) in variances.items()}
    calibration = book_calibration(panel, fits, by_horizon, residuals, origins)
    return Output({BACKTESTS: portfolio_backtests(forecasts, panel, held, calibration)})


def _panel(closes: pd.DataFrame, members: Sequence[str]) -> Panel:
    parts = {str(name): part for name, part in closes.groupby("ticker", sort=False)}
    return panel_of({name: parts[name].set_index("date")["adj_close"] for name in members})


def _fit_row(fit: CorrelationFit, filled: np.ndarray, models: Sequence[str]) -> dict[str, Any]:
    lower = np.tril_indices(len(fit.members))
    return {
        "a": fit.a,
        "b": fit.b,
        "likelihood": fit.likelihood,
        "n": len(fit.members),
        "members": json.dumps(list(fit.members)),
        "models": json.dumps(list(models)),
        "days": json.dumps(fit.days.tolist()),
        "filled": json.dumps(filled.tolist()),
        "scale": json.dumps(fit.scale.tolist()),
        "q": json.dumps(fit.state[lower].tolist()),
        "long_run": json.dumps(fit.long_run[lower].tolist()),
        "lead_lag": json.dumps(fit.lead_lag[lower].tolist() if fit.lead_lag.any() else None),
    }


def read_fit(row: pd.Series) -> CorrelationFit:
    """Return the fit that a row of ``correlation_fits`` holds."""
    members = tuple(json.loads(row["members"]))
    n = len(members)

    def square(text: str) -> np.ndarray:
        values, found = json.loads(text), np.zeros((n, n))
        if values is not None:
            found[np.tril_indices(n)] = values
        return np.tril(found) + np.tril(found, -1).T

    return CorrelationFit(
        members,
        float(row["a"]),
        float(row["b"]),
        float(row["likelihood"]),
        np.array(json.loads(row["scale"])),
        square(row["long_run"]),
        square(row["q"]),
        square(row["lead_lag"]),
        np.array(json.loads(row["days"])),
    )


def _so_far(panel: Panel, rows: pd.DataFrame, month: pd.Timestamp) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the origins of a horizon up to the month's end, their variances, and where the month begins."""
    rows = rows[rows["refit_month"] <= month].sort_values("origin_date", kind="stable")
    origins = np.searchsorted(panel.dates, rows["origin_date"].to_numpy().astype(panel.dates.dtype))
    first = int((rows["refit_month"] < month).sum())
    return origins, rows["variance"].to_numpy(np.float64), first


def _steering_before(
    inputs: Inputs, panel: Panel, held: np.ndarray, rows: pd.DataFrame, rules: Rules
) -> dict[int, Steerings]:
    """Return the steering by horizon at the end of the month before: as computed or stored, else from the start."""
    earlier = sorted(month for month in rows["refit_month"].unique() if month < inputs.month)
    if not earlier:
        return {}
    if inputs.before is not None and inputs.before[0].month == pd.Timestamp(earlier[-1]):
        return read_steering(inputs.before[1].tables[STEERING], panel.dates)
    stored = inputs.rows.get(STEERING)
    if stored is not None and len(stored):
        return read_steering(stored, panel.dates)
    found: dict[int, Steerings] = {}
    for month in map(pd.Timestamp, earlier):
        for h, own in rows[rows["refit_month"] <= month].groupby("horizon", sort=True):
            horizon = int(str(h))
            origins, variance, first = _so_far(panel, own, month)
            if first < len(origins):
                risks, _ = month_rows(panel, held, origins, variance, first, horizon, rules, found.get(horizon, {}))
                found[horizon] = {(risk.tail, risk.level): risk.steering for risk in risks}
    return found
