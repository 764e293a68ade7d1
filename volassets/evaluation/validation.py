"""Scores of a network on its own validation rows."""

from __future__ import annotations

import pandas as pd

from volassets.evaluation.losses import scores, with_losses

SHOWN = ("n", "rmse", "mae", "r2", "qlike")


def validation_scores(forecasts: pd.DataFrame, sessions_per_year: int) -> pd.DataFrame:
    """Return the scores of each horizon on the validation rows of one fit.

    Parameters
    ----------
    forecasts : DataFrame
        As of `volassets.models.protocol.Fit.validation`.
    sessions_per_year : int
        What volatilities are annualised with.

    Returns
    -------
    DataFrame
        Columns horizon, n, rmse, mae, r2 (on annualised volatilities), qlike (on variances) and sessions_per_year; a
        score that is not defined is NaN.
    """
    rows = []
    for horizon, own in forecasts.groupby("horizon", sort=True):
        found = scores(with_losses(own.assign(sessions_per_year=sessions_per_year)))
        rows.append({"horizon": horizon, **{name: found[name] for name in SHOWN}})
    return pd.DataFrame(rows, columns=["horizon", *SHOWN]).assign(sessions_per_year=sessions_per_year)
