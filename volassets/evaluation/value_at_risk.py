"""Value at risk from a volatility forecast by filtered historical simulation, and its tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

LEVELS = (0.05, 0.01)
FEWEST_RESIDUALS = 250


@dataclass(frozen=True)
class CoverageTest:
    """Likelihood ratio and its p-value."""

    statistic: float
    p_value: float


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


def kupiec(violations: int, n: int, level: float) -> CoverageTest:
    """Test that violations happen with probability `level` (Kupiec 1995, one degree of freedom)."""
    if n == 0:
        return CoverageTest(float("nan"), float("nan"))
    free, fixed = (_log_likelihood(n - violations, violations, p) for p in (violations / n, level))
    return _likelihood_ratio(free - fixed, 1)


def christoffersen(hits: np.ndarray) -> CoverageTest:
    """Test that a violation does not make the next session's likelier (Christoffersen 1998, independence).

    `hits` holds the violations by session in order; 0 and 1 without a violation that has a session after it.
    """
    hits = np.asarray(hits, bool)
    if len(hits) < 2:
        return CoverageTest(float("nan"), float("nan"))
    before, after = hits[:-1], hits[1:]
    calm_calm, calm_hit = int((~before & ~after).sum()), int((~before & after).sum())
    hit_calm, hit_hit = int((before & ~after).sum()), int((before & after).sum())
    if hit_calm + hit_hit == 0 or calm_calm + calm_hit == 0:
        return CoverageTest(0.0, 1.0)
    free = _log_likelihood(calm_calm, calm_hit, calm_hit / (calm_calm + calm_hit))
    free += _log_likelihood(hit_calm, hit_hit, hit_hit / (hit_calm + hit_hit))
    n_hits = calm_hit + hit_hit
    same = _log_likelihood(calm_calm + hit_calm, n_hits, n_hits / len(after))
    return _likelihood_ratio(free - same, 1)


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
        Christoffersen's, and both together, NaN where n is 0.
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
    joint = _likelihood_ratio((unconditional.statistic + independence.statistic) / 2, 2)
    return {
        "level": level,
        "n": n,
        "violations": violations,
        "violation_rate": violations / n if n else float("nan"),
        "kupiec_p": unconditional.p_value,
        "christoffersen_p": independence.p_value,
        "conditional_coverage_p": joint.p_value,
    }


def _log_likelihood(failures: int, successes: int, probability: float) -> float:
    """Return the Bernoulli log-likelihood, with 0 ln 0 = 0."""
    total = failures * np.log1p(-probability) if failures else 0.0
    return float(total + (successes * np.log(probability) if successes else 0.0))


def _likelihood_ratio(gain: float, degrees: int) -> CoverageTest:
    from scipy.stats import chi2

    statistic = 2.0 * max(gain, 0.0) if gain == gain else float("nan")
    return CoverageTest(statistic, float(chi2.sf(statistic, degrees)))
