"""Value at risk from a volatility forecast by filtered historical simulation, and its tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.evaluation.accuracy_tests import too_few
from volassets.evaluation.risk_tests import UNTESTED, christoffersen, conditional_coverage, kupiec

LEVELS = (0.05, 0.01)
FEWEST_RESIDUALS = 250


def filtered_quantiles(
    returns: np.ndarray, variance: np.ndarray, level: float, fewest: int = FEWEST_RESIDUALS
) -> np.ndarray:
    """Return the value at risk of each session as a return (a negative number).

    Parameters
    ----------
    returns : ndarray, shape (n,)
        Log return of the session that each forecast is about, in order.
    variance : ndarray, shape (n,)
        Forecast daily variance of that session, known at the close before it.
    level : float
        Share of sessions meant to lie below, e.g. .01.
    fewest : int
        Residuals needed before the first value at risk; NaN until then.

    Notes
    -----
    sqrt(variance_i) times the `level` quantile of r_j / sqrt(variance_j) over the sessions j < i, closed when the
    forecast of session i is made (Barone-Adesi, Giannopoulos and Vosper 1999).
    """
    deviation = np.sqrt(np.asarray(variance, np.float64))
    residual = pd.Series(np.asarray(returns, np.float64) / deviation)
    return deviation * residual.expanding(fewest).quantile(level).shift(1).to_numpy()


def value_at_risk(
    scored: pd.DataFrame, returns: pd.Series, levels: tuple[float, ...] = LEVELS, fewest: int = FEWEST_RESIDUALS
) -> pd.DataFrame:
    """Test every model's value at risk for one ticker.

    Parameters
    ----------
    scored : DataFrame
        Forecasts of one ticker with the columns model, horizon, origin_date, variance; horizon 1 is used.
    returns : Series
        Daily log returns by date, all bars.

    Returns
    -------
    DataFrame
        One row per model and level, each on all the `n` sessions that have a value at risk; p-values of Kupiec's test,
        Christoffersen's, and both together, NaN where `n` is too small (`accuracy_tests.too_few`).
    """
    following = returns.shift(-1)
    rows = []
    for name, own in scored[scored["horizon"] == 1].groupby("model", sort=False):
        own = own.sort_values("origin_date")
        outcome = following.reindex(pd.DatetimeIndex(own["origin_date"])).to_numpy(np.float64)
        variance = own["variance"].to_numpy(np.float64)
        known = ~np.isnan(outcome) & ~np.isnan(variance)
        outcome, variance = outcome[known], variance[known]
        for level in levels:
            limit = filtered_quantiles(outcome, variance, level, fewest)
            covered = ~np.isnan(limit)
            rows.append({"model": name, **_tests(outcome[covered] < limit[covered], level)})
    return pd.DataFrame(rows)


def _tests(hits: np.ndarray, level: float) -> dict[str, float]:
    n, violations = len(hits), int(hits.sum())
    unconditional, independence = kupiec(violations, n, level), christoffersen(hits)
    if too_few(n, 1):
        unconditional = independence = UNTESTED
    joint = conditional_coverage(unconditional, independence)
    return {
        "level": level,
        "n": n,
        "violations": violations,
        "violation_rate": violations / n if n else float("nan"),
        "kupiec_p": unconditional.p_value,
        "christoffersen_p": independence.p_value,
        "conditional_coverage_p": joint.p_value,
    }
