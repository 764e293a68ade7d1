"""Forecasts of every model with their bands and what came of them, and the charts that follow from the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from volassets.reporting.charts.chart import Chart, as_days, look
from volassets.reporting.palette import look_of, model_order

if TYPE_CHECKING:
    from volassets.reporting.page_data import TickerData

# Numbers of two bytes, in base64: what a page may hold of forecasts and bands and stay below two megabytes.
MOST_NUMBERS = 560_000
_PATHS = """
    SELECT model, horizon, list(target_date) AS dates, list(volatility) AS volatility, list(lower) AS lower,
        list(upper) AS upper, max(sessions_per_year) AS sessions_per_year
    FROM forecasts WHERE ticker = $ticker GROUP BY model, horizon
"""
_REALIZED = """
    SELECT horizon, list(target_date) AS dates, list(proxy_variance) AS variance
    FROM realized WHERE ticker = $ticker AND target_date >= $start GROUP BY horizon
"""


@dataclass(frozen=True)
class Paths:
    """The forecasts of one horizon on common dates.

    Attributes
    ----------
    dates : array of datetime64[D]
        Target dates of any model's forecasts, increasing; the last may lie in the future.
    realized : array of float
        Annualised volatility of the outcome; NaN where it is not known.
    models : dict of str to dict of str to array
        volatility, lower and upper by model, annualised; NaN where a model has none.
    """

    dates: np.ndarray
    realized: np.ndarray
    models: dict[str, dict[str, np.ndarray]]

    def qlike(self, model: str) -> np.ndarray:
        """Return the QLIKE of each forecast with an outcome above zero, else NaN; annualising cancels."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (self.realized / self.models[model]["volatility"]) ** 2
            return np.where(ratio > 0, ratio - np.log(ratio) - 1, np.nan)

    def last(self, count: int) -> Paths:
        """Return the newest `count` dates."""
        models = {name: {key: v[-count:] for key, v in own.items()} for name, own in self.models.items()}
        return Paths(self.dates[-count:], self.realized[-count:], models)


def read_paths(data: TickerData) -> dict[int, Paths]:
    """Return the paths of a ticker by horizon, increasing."""
    rows = data.store.query(_PATHS, {"ticker": data.ticker})
    if rows.empty:
        return {}
    start = pd.Timestamp(min(_days(dates).min() for dates in rows["dates"])).to_pydatetime()
    outcomes = data.store.query(_REALIZED, {"ticker": data.ticker, "start": start})
    found = {int(str(row.horizon)): row for row in outcomes.itertuples()}
    paths = {}
    for horizon, own in rows.groupby("horizon", sort=True):
        listed = {str(row.model): (_days(row.dates), row) for row in own.itertuples()}
        grid = np.unique(np.concatenate([days for days, _ in listed.values()]))
        realized = np.full(len(grid), np.nan)
        if int(str(horizon)) in found:
            outcome = found[int(str(horizon))]
            known, variance = _days(outcome.dates), _floats(outcome.variance)
            inside = np.isin(known, grid)
            factor = float(own["sessions_per_year"].max())
            realized[np.searchsorted(grid, known[inside])] = np.sqrt(factor * variance[inside])
        models: dict[str, dict[str, np.ndarray]] = {}
        for model in model_order(listed):
            days, row = listed[model]
            places = np.searchsorted(grid, days)
            models[model] = {}
            for name in ("volatility", "lower", "upper"):
                models[model][name] = np.full(len(grid), np.nan)
                models[model][name][places] = _floats(getattr(row, name))
        paths[int(str(horizon))] = Paths(grid, realized, models)
    return paths


def forecast_paths(paths: dict[int, Paths], drawn: str, caption: str) -> Chart:
    """Return the chart of all models' forecasts at every horizon, with the outcomes; `drawn` is shown first."""
    numbers = sum(len(own.dates) * (3 * len(own.models) + 2) for own in paths.values())
    if numbers > MOST_NUMBERS:
        count = int(MOST_NUMBERS / numbers * max(len(own.dates) for own in paths.values()))
        paths = {horizon: own.last(count) for horizon, own in paths.items()}
        caption += f" The newest {count:,} sessions, because the page would be too large with all."
    models = model_order(model for own in paths.values() for model in own.models)
    spec: dict[str, Any] = {
        "kind": "forecast",
        "drawn": drawn,
        "horizons": list(paths),
        "models": [{**look(model), "name": model} for model in models],
        "paths": {
            h: {"x": as_days(own.dates), "realized": own.realized, "models": own.models} for h, own in paths.items()
        },
    }
    return Chart("forecast", caption, spec)


def scatter(models: list[str], horizon: int, caption: str) -> Chart:
    """Return the chart of outcomes over forecasts, one of `models` at a time, from the numbers of `forecast_paths`."""
    return Chart("scatter", caption, {"kind": "scatter", "horizon": horizon, "models": models})


def running_sum(models: list[str], baseline: str, horizon: int, caption: str) -> Chart:
    """Return the chart of summed QLIKE differences to `baseline`, from the numbers of `forecast_paths`."""
    spec = {"kind": "sum", "horizon": horizon, "models": models, "baseline": baseline}
    return Chart("qlike-sum", caption, {**spec, "colour": look_of(baseline).colour})


def month_map(paths: Paths, baseline: str, caption: str) -> Chart:
    """Return the map of monthly mean QLIKE less the baseline's: a row per model, a column per month."""
    means = monthly_qlike(paths)
    difference = means.drop(columns=baseline).sub(means[baseline], axis=0).T
    values = difference.to_numpy(float)
    bound = max(float(np.nanquantile(np.abs(values), 0.95)), 1e-6) if np.isfinite(values).any() else 1.0
    spec = {
        "kind": "map",
        "rows": list(difference.index),
        "columns": list(difference.columns),
        "values": values.ravel(),
        "bound": bound,
        "format": "signed",
    }
    return Chart("qlike-months", caption, spec)


def monthly_qlike(paths: Paths) -> pd.DataFrame:
    """Return mean QLIKE, a row per month (YYYY-MM) with an outcome and a column per model."""
    months, places = np.unique(paths.dates.astype("datetime64[M]"), return_inverse=True)
    means = {}
    for model in paths.models:
        loss = paths.qlike(model)
        known = np.isfinite(loss)
        counts = np.bincount(places[known], minlength=len(months))
        sums = np.bincount(places[known], loss[known], minlength=len(months))
        with np.errstate(invalid="ignore"):
            means[model] = sums / np.where(counts > 0, counts, np.nan)
    return pd.DataFrame(means, index=[str(month) for month in months]).dropna(how="all").dropna(axis=1, how="all")


def shared_models(paths: Paths, baseline: str) -> tuple[list[str], int]:
    """Return the models with at least 80 % of the baseline's outcomes, and how many days all of them share."""
    known = {model: np.isfinite(paths.qlike(model)) for model in paths.models}
    enough = [model for model, days in known.items() if days.sum() >= 0.8 * known[baseline].sum()]
    together = np.logical_and.reduce([known[model] for model in enough])
    return [model for model in enough if model != baseline], int(together.sum())


def _days(dates: Any) -> np.ndarray:
    return np.asarray(dates, "datetime64[D]")


def _floats(values: Any) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(values, float), np.nan) if len(values) else np.empty(0)
