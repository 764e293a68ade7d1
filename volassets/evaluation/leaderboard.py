"""The leaderboard: every model and horizon of a ticker in one row, with the tests against the baseline."""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import (
    MCS_REPLICATIONS,
    MCS_SEED,
    diebold_mariano,
    loss_matrix,
    mincer_zarnowitz,
    model_confidence_set,
)
from volassets.evaluation.losses import on_common_sample, scored_rows, scores, with_losses

BASELINE = "gjr"
LEADERBOARD_COLUMNS = (
    "ticker",
    "model",
    "horizon",
    "n",
    "qlike",
    "qlike_vs_gjr",
    "rmse",
    "mae",
    "r2",
    "mz_intercept",
    "mz_slope",
    "dm_vs_gjr",
    "dm_p",
    "mcs_p",
    "coverage_90",
    "mz_p",
    "bias",
    "mse",
    "qlike_on_squared_returns",
    "dm_vs_gjr_on_squared_returns",
    "dm_p_on_squared_returns",
    "n_available",
    "n_common",
    "complete",
)


def leaderboard(
    scored: pd.DataFrame,
    *,
    baseline: str = BASELINE,
    replications: int = MCS_REPLICATIONS,
    seed: int = MCS_SEED,
) -> pd.DataFrame:
    """Score every model and horizon, per ticker.

    Parameters
    ----------
    scored : DataFrame
        Scored forecasts (`volassets.evaluation.losses`) of one or more tickers; rows without a
        realised outcome are left out here.
    baseline : str
        Model that the others are compared with.
    replications, seed : int
        Of the confidence set's bootstrap.

    Returns
    -------
    DataFrame
        Columns `LEADERBOARD_COLUMNS`, by ticker, horizon and QLIKE.

        - A model with at least 95 % of the reference days is ``complete`` and scored on the common
          sample (`on_common_sample`); the others on their own days. ``n`` is the days scored,
          ``n_available`` the days the model has, ``n_common`` the common sample.
        - ``qlike_vs_gjr`` is a fraction (-.10: ten per cent better), it and ``dm_vs_gjr`` (negative:
          better) on the scored days that the baseline has too. The baseline against itself is 0
          with p-value 1.
        - ``mcs_p`` is the confidence set's p-value among the complete models on the common sample;
          for another model, that of the set with this model added, on the days it has of the
          common sample.
        - Statistics of fewer than ten days are NaN, and so are the comparisons where the baseline
          was not run.
    """
    marked = on_common_sample(with_losses(scored))
    parts = [
        _of_one_horizon(group, baseline, replications, seed)
        for _, group in marked.groupby(["ticker", "horizon"], sort=True)
    ]
    if not parts:
        return pd.DataFrame(columns=list(LEADERBOARD_COLUMNS))
    board = pd.concat(parts, ignore_index=True)
    return board[list(LEADERBOARD_COLUMNS)]


def confidence_set_p_values(
    marked: pd.DataFrame, replications: int = MCS_REPLICATIONS, seed: int = MCS_SEED
) -> pd.Series:
    """Return the MCS p-value by model for the marked losses of one ticker and horizon.

    The rule for models that are not complete is `leaderboard`'s.
    """
    horizon = int(marked["horizon"].iloc[0])
    common = loss_matrix(marked[marked["common"]], "qlike")
    complete = [
        name for name in dict.fromkeys(marked["model"]) if marked.loc[marked["model"] == name, "complete"].all()
    ]
    options = {"replications": replications, "seed": seed}
    result = dict(model_confidence_set(common[complete], horizon, **options).items()) if complete else {}
    for name in dict.fromkeys(marked["model"]):
        if name not in result:
            columns = [*complete, name]
            matrix = common.reindex(columns=columns).dropna()
            result[name] = model_confidence_set(matrix, horizon, **options)[name]
    return pd.Series(result, dtype=np.float64)


def _of_one_horizon(marked: pd.DataFrame, baseline: str, replications: int, seed: int) -> pd.DataFrame:
    ticker, horizon = marked["ticker"].iloc[0], int(marked["horizon"].iloc[0])
    p_values = confidence_set_p_values(marked, replications, seed)
    against = marked[marked["model"] == baseline].set_index("origin_date")
    available = marked.groupby("model").size()
    n_common = int(marked.loc[marked["common"], "origin_date"].nunique())
    rows = []
    for name, own in scored_rows(marked).groupby("model", sort=False):
        own = own.sort_values("origin_date")
        values = scores(own)
        regression = mincer_zarnowitz(own["realized_variance"].to_numpy(), own["variance"].to_numpy(), horizon)
        rows.append(
            {
                **values,
                **_against(own.set_index("origin_date"), against, horizon, same=name == baseline),
                "ticker": ticker,
                "model": name,
                "horizon": horizon,
                "mz_intercept": regression.intercept,
                "mz_slope": regression.slope,
                "mz_p": regression.p_value,
                "mcs_p": p_values[name],
                "coverage_90": values["coverage"],
                "n_available": int(available[name]),
                "n_common": n_common,
                "complete": bool(own["complete"].all()),
            }
        )
    return pd.DataFrame(rows).sort_values("qlike", kind="stable")


def _against(own: pd.DataFrame, baseline: pd.DataFrame, horizon: int, same: bool) -> dict[str, float]:
    """Return the comparison columns of one model; zeros and p-values of 1 for the baseline itself."""
    names = ("dm_vs_gjr", "dm_p", "dm_vs_gjr_on_squared_returns", "dm_p_on_squared_returns")
    if same:
        return {"qlike_vs_gjr": 0.0, **dict(zip(names, (0.0, 1.0, 0.0, 1.0), strict=True))}
    days = own.index.intersection(baseline.index)
    if not len(days):
        return dict.fromkeys(("qlike_vs_gjr", *names), float("nan"))
    mine, theirs = own.loc[days], baseline.loc[days]
    test = diebold_mariano((mine["qlike"] - theirs["qlike"]).to_numpy(), horizon)
    on_returns = (mine["qlike_on_squared_returns"] - theirs["qlike_on_squared_returns"]).dropna().to_numpy()
    other = diebold_mariano(on_returns, horizon)
    return {
        "qlike_vs_gjr": float(mine["qlike"].mean() / theirs["qlike"].mean() - 1.0),
        **dict(zip(names, (test.statistic, test.p_value, other.statistic, other.p_value), strict=True)),
    }
