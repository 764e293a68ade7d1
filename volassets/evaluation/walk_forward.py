"""One month's forecasts of one fit with their intervals, as they are stored."""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.evaluation.intervals import adaptive_intervals
from volassets.evaluation.losses import annualised_volatility
from volassets.features.targets import target
from volassets.models.protocol import Fit, Model
from volassets.models.window import calibration_origins
from volassets.timing import NextSession


def forecast_month(
    model: Model,
    fit: Fit,
    features: pd.DataFrame,
    origins: pd.DatetimeIndex,
    level: float,
    calendar: NextSession,
) -> pd.DataFrame:
    """Forecast the origins of the fit's month, with intervals.

    Parameters
    ----------
    model, fit : Model, Fit
        Filtered forward, never refitted.
    features : DataFrame
        Feature table up to at least the last origin; an interval at origin t uses outcomes realised by the close of t.
    origins : DatetimeIndex
        Origins of the fit's month (`volassets.timing.origins_of_month`), consecutive bars.
    level : float
        Nominal coverage of the intervals.
    calendar : NextSession
        Gives the target date of an origin whose next bar is not there yet, and the sessions a year.

    Returns
    -------
    DataFrame
        Columns of a table of forecasts, by horizon and origin; `variance` daily decimal, the others annualised decimal,
        bounds NaN while too few outcomes are known. A horizon that the model does not forecast has no rows.
    """
    before = calibration_origins(pd.DatetimeIndex(features.index), fit.month)
    variances = model.forecast(fit, features, pd.DatetimeIndex(before.append(origins)))
    targets = target_dates(pd.DatetimeIndex(features.index), origins, calendar)
    parts = []
    for horizon in fit.horizons:
        usable = variances[horizon].dropna()
        outcome = target(features["proxy_variance"], horizon, fit.ratio)
        bounds = adaptive_intervals(usable, outcome, horizon, level=level)
        # By position: finding the month's few rows by their dates cost as much as their intervals.
        own = usable.index.isin(origins)
        rows = usable.index[own]
        variance, lower, upper = (
            column.to_numpy(np.float64)[own] for column in (usable, bounds["lower"], bounds["upper"])
        )
        parts.append(
            pd.DataFrame(
                {
                    "origin_date": rows,
                    "target_date": [targets[day] for day in rows],
                    "horizon": horizon,
                    "variance": variance,
                    "volatility": annualised_volatility(variance, calendar.sessions_per_year),
                    "lower": annualised_volatility(lower, calendar.sessions_per_year),
                    "upper": annualised_volatility(upper, calendar.sessions_per_year),
                    "sessions_per_year": calendar.sessions_per_year,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def target_dates(
    index: pd.DatetimeIndex, origins: pd.DatetimeIndex, calendar: NextSession
) -> dict[pd.Timestamp, pd.Timestamp]:
    """Return the first session after each origin: the next bar in `index`, the calendar's where there is none yet."""
    following = index.searchsorted(origins, side="right").tolist()
    return {
        day: index[position].as_unit("ns") if position < len(index) else calendar.next_session(day)
        for day, position in zip(origins, following, strict=True)
    }
