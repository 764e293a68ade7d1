"""Forecast intervals by adaptive conformal inference.

Sources: Vovk, Gammerman and Shafer (2005) for the quantiles, Gibbs and Candes (2021) for the adaptation.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort

import numpy as np
import pandas as pd

from volassets.errors import InputError

MINIMUM_OUTCOMES = 50
_BOUNDS = pd.Index(["lower", "upper"])


def adaptive_intervals(
    variances: pd.Series,
    target: pd.Series,
    horizon: int,
    level: float = 0.90,
    step: float = 0.01,
    window: int = 500,
) -> pd.DataFrame:
    """Return f exp(q) for two quantiles q of the realised e = ln(y/f), their level steered by past misses.

    At origin t the quantiles alpha/2 and 1 - alpha/2 are taken over the last `window` outcomes known at t. When the
    outcome of an earlier origin becomes known, alpha moves by step (1 - level - miss), miss being 1 where it fell
    outside that origin's own interval, else 0.

    Parameters
    ----------
    variances : Series
        Forecasts by origin, increasing: the calibration origins, then the month's. NaN is skipped.
    target : Series
        Labels y_{s,h} of every bar from the first origin to the last, NaN where unrealised: the outcome of origin s
        is used at t only where s + h <= t in these rows.
    horizon : int
        h in sessions.
    level : float
        Nominal coverage.
    step : float
        Speed of the adaptation; 0 leaves plain conformal quantiles.
    window : int
        Outcomes behind the quantiles.

    Returns
    -------
    DataFrame
        Columns lower and upper by origin, in the unit of `variances`; NaN where there is no forecast or fewer than
        50 outcomes are known, and at most the outcomes' extremes.

    Raises
    ------
    InputError
        If an origin is not in the index of `target`.
    """
    forecasts = variances.to_numpy(dtype=np.float64)
    rows = target.index.get_indexer(variances.index)
    if (rows < 0).any():
        raise InputError(f"origin {variances.index[rows < 0][0]} is not in the target's index: pass every bar's label.")
    labels = target.to_numpy(dtype=np.float64)[rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.log(labels / forecasts)
    # First position whose row is at least `horizon` rows later: there the outcome becomes known.
    known_at = np.searchsorted(rows, rows + horizon)
    lower, upper = _steered_quantiles(errors.tolist(), known_at.tolist(), 1.0 - level, step, window)
    bounds = forecasts[:, None] * np.exp(np.column_stack([lower, upper]))
    return pd.DataFrame(bounds, index=variances.index, columns=_BOUNDS)


def _steered_quantiles(
    errors: list[float], known_at: list[int], miss_rate: float, step: float, window: int
) -> tuple[list[float], list[float]]:
    """Return the lower and upper quantile of e per position; plain lists, because most steps touch one number."""
    ordered: list[float] = []
    arrivals: list[float] = []
    lower, upper = [math.nan] * len(errors), [math.nan] * len(errors)
    finite = [math.isfinite(error) for error in errors]
    enough = min(MINIMUM_OUTCOMES, window)
    alpha, nxt, n = miss_rate, 0, 0
    for now in range(len(errors)):
        while nxt < now and known_at[nxt] <= now:
            if finite[nxt]:
                error = errors[nxt]
                if lower[nxt] == lower[nxt]:
                    alpha += step * (miss_rate - (not lower[nxt] <= error <= upper[nxt]))
                insort(ordered, error)
                arrivals.append(error)
                if n < window:
                    n += 1
                else:
                    del ordered[bisect_left(ordered, arrivals[-window - 1])]
            nxt += 1
        if n >= enough:
            lower[now] = _quantile(ordered, n, alpha / 2)
            upper[now] = _quantile(ordered, n, 1.0 - alpha / 2)
    return lower, upper


def _quantile(ordered: list[float], n: int, probability: float) -> float:
    """Return the value that a further draw of n stays below with `probability`: rank (n + 1) p, interpolated."""
    # Comparisons instead of min and max, whose calls cost more than the rest of a day.
    rank = (n + 1) * probability - 1.0
    if rank <= 0.0:
        return ordered[0]
    if rank >= n - 1.0:
        return ordered[-1]
    below = int(rank)
    low = ordered[below]
    return low + (rank - below) * (ordered[below + 1] - low)
