"""Tests of equal accuracy: Mincer-Zarnowitz, Diebold-Mariano, the model confidence set.

A forecast of h sessions shares h-1 of them with its neighbour's: every origin is used and the covariances are made
robust to the overlap (`hac_lag`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from volassets.models.protocol import TRADING_DAYS

# Fewer give no statistic, and fewer windows that share no session no test.
FEWEST_DAYS = 10
FEWEST_WINDOWS = 20
COMPARED_LOSSES = ("qlike", "squared_error", "qlike_on_squared_returns")
MCS_SIZE = 0.10
MCS_REPLICATIONS = 1000
MCS_SEED = 20040102
COMPARISON_COLUMNS = ("ticker", "horizon", "loss", "model_a", "model_b", "dm", "p_value", "n")


@dataclass(frozen=True)
class EqualAccuracyTest:
    """A statistic with its two-sided p-value, from `n` days; NaN where they are too few or it is undefined."""

    statistic: float
    p_value: float
    n: int


@dataclass(frozen=True)
class MincerZarnowitz:
    """The regression y = a + b f + e in annualised variances, and the p-value of a = 0 and b = 1 together."""

    intercept: float
    slope: float
    p_value: float
    n: int


def too_few(n: int, horizon: int) -> bool:
    """Return whether `n` origins hold fewer than `FEWEST_WINDOWS` windows of `horizon` sessions without overlap."""
    return n < FEWEST_WINDOWS * horizon


def hac_lag(n: int, horizon: int) -> int:
    """Return the Bartlett lag for `n` origins of `horizon` sessions: max(2 (h-1), floor(4 (n/100)^(2/9))).

    Bartlett weights that end at h-1 give only two thirds of the variance of an overlap of h sessions, so twice that;
    the second term is Newey and West's (1994).
    """
    return min(max(2 * (horizon - 1), int(4 * (n / 100) ** (2 / 9))), max(n - 1, 0))


def long_run_variance(values: np.ndarray, lag: int) -> float:
    """Return the Bartlett (Newey-West 1987) long-run variance of a series, with divisor n."""
    centred = np.asarray(values, np.float64) - np.mean(values)
    n = len(centred)
    total = float(centred @ centred)
    for k in range(1, min(lag, n - 1) + 1):
        total += 2.0 * (1.0 - k / (lag + 1.0)) * float(centred[k:] @ centred[:-k])
    return total / n


def equal_accuracy(differential: np.ndarray, horizon: int) -> EqualAccuracyTest:
    """Return `diebold_mariano`, or NaN where the windows are `too_few`."""
    n = len(differential)
    if too_few(n, horizon):
        return EqualAccuracyTest(float("nan"), float("nan"), n)
    return diebold_mariano(differential, horizon)


def diebold_mariano(differential: np.ndarray, horizon: int, lag: int | None = None) -> EqualAccuracyTest:
    """Test that two forecasts have the same expected loss (Diebold and Mariano 1995).

    Student t with n-1 degrees of freedom after the correction of Harvey, Leybourne and Newbold (1997).

    Parameters
    ----------
    differential : ndarray, shape (n,)
        Loss of model A less that of model B by origin: the statistic is negative where A is better, 0 for equal losses.
    horizon : int
        Sessions per forecast.
    lag : int, optional
        Bartlett lag, at least ``horizon - 1``; `hac_lag` by default.
    """
    from scipy.stats import t as student

    d = np.asarray(differential, np.float64)
    n = len(d)
    if n < FEWEST_DAYS:
        return EqualAccuracyTest(float("nan"), float("nan"), n)
    variance = long_run_variance(d, hac_lag(n, horizon) if lag is None else lag)
    if variance <= 0.0:
        same = d.mean() == 0.0
        return EqualAccuracyTest(0.0, 1.0, n) if same else EqualAccuracyTest(float("nan"), float("nan"), n)
    small_sample = max((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n, 0.0)
    statistic = float(d.mean() / np.sqrt(variance / n) * np.sqrt(small_sample))
    return EqualAccuracyTest(statistic, float(2 * student.sf(abs(statistic), n - 1)), n)


def mincer_zarnowitz(
    realized: np.ndarray, forecast: np.ndarray, horizon: int, sessions_per_year: int = TRADING_DAYS
) -> MincerZarnowitz:
    """Regress realised on forecast daily variance with HAC covariances (Mincer and Zarnowitz 1969).

    NaN with fewer than `FEWEST_DAYS` rows or a constant forecast; the p-value also with `too_few` windows.
    """
    from scipy.stats import chi2
    from statsmodels.regression.linear_model import OLS

    y, f = (sessions_per_year * np.asarray(values, np.float64) for values in (realized, forecast))
    n = len(y)
    if n < FEWEST_DAYS or np.ptp(f) == 0.0:
        return MincerZarnowitz(float("nan"), float("nan"), float("nan"), n)
    design = np.column_stack([np.ones(n), f])
    result = OLS(y, design).fit(cov_type="HAC", cov_kwds={"maxlags": hac_lag(n, horizon)})
    gap = result.params - np.array([0.0, 1.0])
    wald = float(gap @ np.linalg.pinv(result.cov_params()) @ gap)
    p_value = float("nan") if too_few(n, horizon) else float(chi2.sf(wald, 2))
    return MincerZarnowitz(float(result.params[0]), float(result.params[1]), p_value, n)


def mcs_block(n: int, horizon: int) -> int:
    """Return the mean block of the stationary bootstrap: max(n^(1/3), 2 h) rounded, at most n/2."""
    return max(1, min(max(round(n ** (1 / 3)), 2 * horizon), n // 2))


def model_confidence_set(
    losses: pd.DataFrame,
    horizon: int,
    *,
    block: int | None = None,
    replications: int = MCS_REPLICATIONS,
    seed: int = MCS_SEED,
) -> pd.Series:
    """Return the p-value per model in the model confidence set; the 90 % set is those of at least .10.

    Hansen, Lunde and Nason (2011) with the range statistic, from `arch.bootstrap`.

    Parameters
    ----------
    losses : DataFrame
        One row per origin in order, one column per model, nothing missing. The order of the columns changes nothing;
        a model alone has 1, and `too_few` windows give NaN.
    horizon : int
        Sessions per forecast.
    block : int, optional
        Mean block of the stationary bootstrap; `mcs_block` by default.
    replications, seed : int
        Of the bootstrap.
    """
    n = len(losses)
    if too_few(n, horizon):
        return pd.Series(np.nan, index=losses.columns)
    distinct = losses.loc[:, ~losses.T.duplicated()].sort_index(axis=1)
    if distinct.shape[1] <= 1:
        return pd.Series(1.0, index=losses.columns)
    from arch.bootstrap import MCS

    test = MCS(
        distinct.to_numpy(np.float64),
        MCS_SIZE,
        reps=replications,
        block_size=block or mcs_block(n, horizon),
        method="R",
        bootstrap="stationary",
        seed=seed,
    )
    test.compute()
    values = test.pvalues["Pvalue"]
    p_values = pd.Series([float(values.loc[i]) for i in range(distinct.shape[1])], index=distinct.columns)
    # Two equal columns have no variance between them, which the test divides by: the twin shares its p-value.
    twins = [next(c for c in distinct.columns if losses[c].equals(losses[name])) for name in losses.columns]
    return pd.Series(p_values.loc[twins].to_numpy(), index=losses.columns)


def loss_matrix(losses: pd.DataFrame, loss: str) -> pd.DataFrame:
    """Return the losses of one ticker and horizon, origins by models, NaN where a model has no day."""
    return losses.pivot(index="origin_date", columns="model", values=loss).sort_index()


def compare_pairs(losses: pd.DataFrame, names: Sequence[str] = COMPARED_LOSSES) -> pd.DataFrame:
    """Compare every pair of models by Diebold-Mariano, each on the days that both have.

    Parameters
    ----------
    losses : DataFrame
        From `volassets.evaluation.losses.with_losses`; one or more tickers and horizons.
    names : sequence of str
        Losses to compare on; one that is NaN throughout is left out.

    Returns
    -------
    DataFrame
        Columns `COMPARISON_COLUMNS`, each pair in both orders; ``dm`` is negative where `model_a` is better.
    """
    rows: list[tuple[object, ...]] = []
    for _, group in losses.groupby(["ticker", "horizon"], sort=False):
        ticker, horizon = str(group["ticker"].iloc[0]), int(group["horizon"].iloc[0])
        for loss in names:
            matrix = loss_matrix(group, loss)
            for a, b in combinations(dict.fromkeys(group["model"]), 2):
                differential = (matrix[a] - matrix[b]).dropna().to_numpy()
                if not len(differential):
                    continue
                test = equal_accuracy(differential, horizon)
                rows.append((ticker, horizon, loss, a, b, test.statistic, test.p_value, test.n))
                rows.append((ticker, horizon, loss, b, a, -test.statistic, test.p_value, test.n))
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))
