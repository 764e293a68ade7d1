"""The score target: the proxy's mean over the next h sessions, made unbiased for squared returns.

Source: Garman and Klass (1980) for the range, Martens (2002) and Hansen and Lunde (2005) for the
scaling to close-to-close variance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.market.suspect_ranges import SuspectRanges


def suspect_days(features: pd.DataFrame) -> SuspectRanges:
    """Return the days of a feature table whose open, high or low is probably wrong."""
    returns = features["return"].to_numpy()
    gaps = returns - np.log1p(features["close_open_chg"].to_numpy())
    return SuspectRanges(features["high_low_range"].to_numpy(), gaps, returns)


def proxy_ratio(returns: pd.Series, proxy: pd.Series, before: pd.Timestamp, suspect: np.ndarray | None = None) -> float:
    """Return c_m = sum r^2 / sum p over the days strictly before `before`.

    Parameters
    ----------
    returns : Series
        Daily log returns, index date; NaN on the first bar.
    proxy : Series
        Daily proxy variance on the same dates; NaN on the first bar.
    before : Timestamp
        First day of the month: no day from it on is used.
    suspect : ndarray of int, optional
        Positions of days to leave out, as `suspect_days` gives them by the days before `before`.

    Returns
    -------
    float
        NaN where no day or no variance lies before.
    """
    past = (returns.index < before) & returns.notna().to_numpy() & proxy.notna().to_numpy()
    if suspect is not None:
        past[suspect] = False
    total = float(proxy.to_numpy()[past].sum())
    return float((returns.to_numpy()[past] ** 2).sum() / total) if total > 0 else float("nan")


def month_ratio(training: pd.DataFrame, month: pd.Timestamp) -> float:
    """Return c_m from the rows of a feature table dated before `month`, suspect days left out."""
    suspect = suspect_days(training).before(len(training))
    return proxy_ratio(training["return"], training["proxy_variance"], month, suspect)


def target(proxy: pd.Series, horizon: int, ratio: float) -> pd.Series:
    """Return y_{t,h} = ratio * mean(p_{t+1} .. p_{t+h}), daily variance in decimal, dated by origin t.

    The last `horizon` origins are NaN: their label is not realised inside the data given.
    """
    ahead = proxy.rolling(horizon).mean().shift(-horizon) if horizon > 1 else proxy.shift(-1)
    return ratio * ahead.astype(np.float64)
