"""Which lags of the log variance matter, and whether the configured lags are among them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pandas as pd

from volassets.errors import InputError

BLOCKS = 4
STABLE_BLOCKS = 3
SIGNIFICANCE = 0.05
LAG_COLUMNS = ("lag", "pacf", "bound", "lasso", "stable_blocks", "selected", "configured")


def analyse_lags(log_proxy: pd.Series, configured: Sequence[int] = (), max_lag: int = 30) -> pd.DataFrame:
    """Judge lags 1 to `max_lag` of a ticker's log variance.

    Parameters
    ----------
    log_proxy : Series
        ``log_proxy`` of the days before the refit month's cut-off, and of no other; the warm-up's
        NaN at the start is skipped.
    configured : sequence of int
        The settings' lags, flagged in the result.
    max_lag : int

    Returns
    -------
    DataFrame
        One row per lag: ``lag``; ``pacf``, partial autocorrelation; ``bound``, its two-sided 5 %
        bound for `max_lag` tests together (Bonferroni), under no autocorrelation; ``lasso``,
        coefficient of the adaptive lasso chosen by BIC on the whole history, 0 where dropped;
        ``stable_blocks``, in how many of 4 consecutive blocks of time the same procedure keeps the
        lag; ``selected``, whether that is 3 or more; ``configured``.

    Raises
    ------
    InputError
        If a block would have fewer than 2 rows per lag.

    Notes
    -----
    The target must not overlap itself. On a k-day sum of variances even independent noise has
    partial autocorrelations at 1, k + 1, 2k + 1, ...

    Sources: Zou (2006) for the adaptive lasso, with weights 1 / |least squares|; Audrino and Knaus
    (2016) for its use on log realised variance.
    """
    values = log_proxy.dropna().to_numpy(dtype=float)
    n_rows = len(values) - max_lag
    if n_rows < 2 * BLOCKS * max_lag:
        raise InputError(
            f"lag analysis has {len(values)} days of log variance, but lags 1 to {max_lag} in {BLOCKS} blocks need "
            f"{max_lag * (2 * BLOCKS + 1)}: choose a later refit month or fetch an earlier history."
        )
    values = values - values.mean()
    edges = [block * n_rows // BLOCKS for block in range(BLOCKS + 1)]
    moments = [_moments(values[first : last + max_lag], max_lag) for first, last in pairwise(edges)]
    kept = np.array([_adaptive_lasso(block) != 0 for block in moments]).sum(axis=0)
    lags = np.arange(1, max_lag + 1)
    columns = (
        lags,
        partial_autocorrelations(values, max_lag),
        np.full(max_lag, _bonferroni_bound(len(values), max_lag)),
        _adaptive_lasso(sum(moments[1:], moments[0])),
        kept,
        kept >= STABLE_BLOCKS,
        np.isin(lags, np.asarray(configured, dtype=int)),
    )
    return pd.DataFrame(dict(zip(LAG_COLUMNS, columns, strict=True)))


def lag_verdict(frame: pd.DataFrame, configured: Sequence[int]) -> str:
    """Return the verdict on the `configured` lags in one or two sentences, from the result of `analyse_lags`."""
    blocks = dict(zip(frame["lag"], frame["stable_blocks"], strict=True))
    selected = [int(lag) for lag in frame["lag"][frame["selected"].astype(bool)]]
    stable = [lag for lag in configured if lag in selected]
    unstable = [lag for lag in configured if lag in blocks and lag not in selected]
    beyond = [lag for lag in configured if lag not in blocks]
    missed = [lag for lag in selected if lag not in configured]
    found = f"Lags {_listed(selected)} of the log variance are" if selected else "No lag of the log variance is"
    parts = [f"{_listed(stable)} confirmed" if stable else "none confirmed"]
    if unstable:
        parts.append(f"{_listed(unstable)} not (kept in {_listed([int(blocks[lag]) for lag in unstable])} blocks)")
    if beyond:
        parts.append(f"{_listed(beyond)} not examined")
    if missed:
        parts.append(f"{_listed(missed)} missing from the list")
    return (
        f"{found} stable in at least {STABLE_BLOCKS} of {BLOCKS} blocks. "
        f"Configured {_listed(configured)}: {'; '.join(parts)}."
    )


def partial_autocorrelations(values: np.ndarray, max_lag: int) -> np.ndarray:
    """Return the partial autocorrelations at lags 1 to `max_lag`, by Durbin and Levinson.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Finite; the mean is removed here. The autocovariances are divided by n, which keeps every
        value inside [-1, 1].

    Returns
    -------
    ndarray, shape (max_lag,)
        All 0 for a constant series.
    """
    centred = values - values.mean()
    covariances = np.array([(centred[lag:] * centred[: len(centred) - lag]).sum() for lag in range(max_lag + 1)])
    partial = np.zeros(max_lag)
    if covariances[0] <= 0:
        return partial
    coefficients, error = np.zeros(0), covariances[0]
    for lag in range(1, max_lag + 1):
        value = (covariances[lag] - (coefficients * covariances[lag - 1 : 0 : -1]).sum()) / error
        coefficients = np.append(coefficients - value * coefficients[::-1], value)
        error *= 1 - value**2
        partial[lag - 1] = value
        if error <= 0:
            break
    return partial


def _bonferroni_bound(n: int, tests: int) -> float:
    return NormalDist().inv_cdf(1 - SIGNIFICANCE / (2 * tests)) / n**0.5


def _moments(values: np.ndarray, max_lag: int) -> np.ndarray:
    """Return sums of products of (1, x_t, x_{t-1}, ..., x_{t-max_lag}), shape (max_lag + 2, max_lag + 2)."""
    rows = np.lib.stride_tricks.sliding_window_view(values, max_lag + 1)[:, ::-1]
    design = np.ascontiguousarray(np.column_stack([np.ones(len(rows)), rows]))
    # not a matrix product: its bits would depend on the number of threads
    return np.einsum("ij,ik->jk", design, design)


def _adaptive_lasso(moments: np.ndarray) -> np.ndarray:
    """Return the coefficients, shape (max_lag,), of the adaptive lasso with the least BIC; 0 where dropped."""
    from sklearn.linear_model import lars_path_gram

    n = moments[0, 0]
    centred = moments[1:, 1:] - np.outer(moments[0, 1:], moments[0, 1:]) / n
    total, product, gram = centred[0, 0], centred[1:, 0], centred[1:, 1:]
    if total <= 1e-12 * n:
        return np.zeros(len(product))
    weights = np.abs(np.linalg.lstsq(gram, product, rcond=None)[0])
    _, _, path = lars_path_gram(
        weights * product, weights[:, None] * gram * weights, n_samples=int(n), method="lasso", copy_X=False
    )
    path = weights[:, None] * path
    residual = total - 2 * product @ path + np.einsum("jp,jk,kp->p", path, gram, path)
    criterion = n * np.log(np.maximum(residual, 1e-12 * total) / n) + np.log(n) * (path != 0).sum(axis=0)
    return path[:, int(np.argmin(criterion))]


def _listed(values: Sequence[int]) -> str:
    return ", ".join(str(value) for value in values)
