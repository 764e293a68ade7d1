"""Two sets of forecasts of one ticker side by side, as two homes made them: losses on the days that both have."""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import equal_accuracy
from volassets.evaluation.losses import qlike

KEY = ["model", "horizon", "origin_date"]
COLUMNS = ("model", "horizon", "n", "same", "qlike_a", "qlike_b", "b_vs_a", "rmse_b_vs_a", "dm", "dm_p")


def compare_homes(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of each model and horizon that both have, on their common origins.

    Both are scored on the outcomes of `first`, so that another proxy or revised bars of the other home do not count as
    an error of its forecasts.

    Parameters
    ----------
    first : DataFrame
        ``model, horizon, origin_date, variance, realized_variance`` of one ticker: daily variances, decimal; the
        forecast is known at the close of `origin_date`, the outcome is realised.
    second : DataFrame
        ``model, horizon, origin_date, variance`` of the same ticker.

    Returns
    -------
    DataFrame
        `n` common origins, `same` of them with the same forecast bit for bit; mean QLIKE of both, `b_vs_a` and
        `rmse_b_vs_a` the second's QLIKE and root mean squared error over the first's, less 1; Diebold and Mariano's
        statistic on QLIKE, negative where the second is better, with its p-value: both NaN where the origins are too
        few, 0 and 1 where all forecasts are the same.
    """
    both = first.merge(second[[*KEY, "variance"]], on=KEY, suffixes=("_a", "_b"))
    both = both[both["realized_variance"] > 0].sort_values(KEY)
    found = []
    for (model, steps), rows in both.groupby(["model", "horizon"], sort=True):
        horizon = int(str(steps))
        outcome = rows["realized_variance"].to_numpy(np.float64)
        a, b = (rows[name].to_numpy(np.float64) for name in ("variance_a", "variance_b"))
        losses = qlike(outcome, a), qlike(outcome, b)
        test = equal_accuracy(losses[1] - losses[0], horizon)
        means = [float(loss.mean()) for loss in losses]
        errors = [float(np.sqrt(np.mean((forecast - outcome) ** 2))) for forecast in (a, b)]
        change = [second / first - 1 if first else float("nan") for first, second in (means, errors)]
        row = (model, horizon, len(rows), int((a == b).sum()), *means, *change, test.statistic, test.p_value)
        found.append(row)
    return pd.DataFrame(found, columns=list(COLUMNS))
