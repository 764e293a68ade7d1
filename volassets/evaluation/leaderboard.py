"""The leaderboard: every model and horizon of a ticker in one row, with the tests against the baseline."""

from __future__ import annotations

import pandas as pd

from volassets.evaluation.accuracy_tests import (
    equal_accuracy,
    loss_matrix,
    mincer_zarnowitz,
    model_confidence_set,
    too_few,
)
from volassets.evaluation.losses import (
    on_common_sample,
    relative_qlike,
    scored_rows,
    scores,
    sessions_per_year,
    with_losses,
)

BASELINE = "gjr"


def leaderboard(scored: pd.DataFrame, baseline: str = BASELINE) -> pd.DataFrame:
    """Score every model and horizon, per ticker.

    Parameters
    ----------
    scored : DataFrame
        Scored forecasts (`volassets.evaluation.losses`) of one or more tickers.
    baseline : str
        Model that the others are compared with.

    Returns
    -------
    DataFrame
        Rows of the table ``leaderboard``, by ticker, horizon and QLIKE.

        - A model with at least 95 % of the reference days is ``complete`` and scored on the common sample
          (`on_common_sample`); the others on their own days. ``n`` is the days scored, ``n_available`` the days the
          model has, ``n_common`` the common sample.
        - ``qlike_vs_gjr`` (-.10: ten per cent better) and ``dm_vs_gjr`` (negative: better) are on the scored days that
          the baseline has too; 0 with p-value 1 for the baseline itself.
        - ``mcs_p`` is the confidence set's p-value among the complete models on the common sample; for another model,
          that of the set with this model added, on the days it has of the common sample.
        - Tests of too few windows (`accuracy_tests.too_few`) are NaN, and so are the comparisons where the baseline was
          not run.
    """
    marked = on_common_sample(with_losses(scored))
    groups = marked.groupby(["ticker", "horizon"], sort=True)
    parts = [_of_one_horizon(group, baseline) for _, group in groups]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _of_one_horizon(marked: pd.DataFrame, baseline: str) -> pd.DataFrame:
    ticker, horizon = marked["ticker"].iloc[0], int(marked["horizon"].iloc[0])
    p_values = _confidence_set_p_values(marked, horizon)
    against = marked[marked["model"] == baseline].set_index("origin_date")
    available = marked.groupby("model").size()
    n_common = int(marked.loc[marked["common"], "origin_date"].nunique())
    rows = []
    for name, own in scored_rows(marked).groupby("model", sort=False):
        own = own.sort_values("origin_date")
        values = scores(own)
        y, f = own["realized_variance"].to_numpy(), own["variance"].to_numpy()
        regression = mincer_zarnowitz(y, f, horizon, sessions_per_year(marked))
        rows.append(
            {
                "ticker": ticker,
                "model": name,
                "horizon": horizon,
                "coverage_90": values.pop("coverage"),
                **values,
                **_against(own.set_index("origin_date"), against, horizon, same=name == baseline),
                "mz_intercept": regression.intercept,
                "mz_slope": regression.slope,
                "mz_p": regression.p_value,
                "mcs_p": p_values[name],
                "n_available": int(available[name]),
                "n_common": n_common,
                "complete": bool(own["complete"].all()),
            }
        )
    return pd.DataFrame(rows).sort_values("qlike", kind="stable")


def _confidence_set_p_values(marked: pd.DataFrame, horizon: int) -> pd.Series:
    common = loss_matrix(marked[marked["common"]], "qlike")
    complete = list(dict.fromkeys(marked.loc[marked["complete"], "model"]))
    result = dict(model_confidence_set(common[complete].dropna(), horizon).items()) if complete else {}
    for name in dict.fromkeys(marked["model"]):
        if name not in result:
            matrix = common.reindex(columns=[*complete, name]).dropna()
            result[name] = model_confidence_set(matrix, horizon)[name]
    return pd.Series(result)


def _against(own: pd.DataFrame, baseline: pd.DataFrame, horizon: int, same: bool) -> dict[str, float]:
    """Return the comparison columns of one model; zeros and p-values of 1 for the baseline itself."""
    names = ("qlike_vs_gjr", "dm_vs_gjr", "dm_p", "dm_vs_gjr_on_squared_returns", "dm_p_on_squared_returns")
    days = own.index.intersection(baseline.index)
    if same and not too_few(len(own), horizon):
        return dict(zip(names, (0.0, 0.0, 1.0, 0.0, 1.0), strict=True))
    tests = (
        equal_accuracy((own.loc[days, loss] - baseline.loc[days, loss]).dropna().to_numpy(), horizon)
        for loss in ("qlike", "qlike_on_squared_returns")
    )
    values = (x for test in tests for x in (test.statistic, test.p_value))
    return dict(zip(names, (relative_qlike(own, baseline), *values), strict=True))
