"""Indicators from closes, ranges and volume. Row t uses rows up to and including t."""

from __future__ import annotations

import numpy as np
import pandas as pd


def _relative_strength(gain: pd.Series, loss: pd.Series) -> pd.Series:
    """Return 100 gain / (gain + loss), and 50 where nothing moved."""
    moved = gain + loss
    return (100 * (gain / moved.where(moved > 0))).where((moved > 0) | moved.isna(), 50.0)


def wilder(values: pd.Series, window: int) -> pd.Series:
    """Return Wilder's average: the mean of the first `window` values, then s + (x - s) / window.

    Parameters
    ----------
    values : Series
        NaN on the first row, finite afterwards.
    window : int

    Returns
    -------
    Series
        NaN on the first `window` rows.
    """
    seeded = values.copy()
    if len(values) > window:
        seeded.iloc[window] = values.iloc[1 : window + 1].mean()
    seeded.iloc[:window] = np.nan
    return seeded.ewm(alpha=1 / window, adjust=False).mean()


def rsi_wilder(close: pd.Series, window: int = 14) -> pd.Series:
    """Return the relative strength index, 0 to 100, with Wilder's (1978) averages; NaN on the first `window` rows."""
    change = close.diff()
    return _relative_strength(wilder(change.clip(lower=0), window), wilder(-change.clip(upper=0), window))


def rsi_simple(close: pd.Series, window: int = 14) -> pd.Series:
    """Return the relative strength index, 0 to 100, with simple means; NaN on the first `window` rows."""
    change = close.diff()
    gain, loss = change.clip(lower=0), -change.clip(upper=0)
    return _relative_strength(gain.rolling(window).mean(), loss.rolling(window).mean())


def average_true_range(high: pd.Series, low: pd.Series, close: pd.Series, window: int = 14) -> pd.Series:
    """Return Wilder's (1978) average true range in units of price; NaN on the first `window` rows."""
    before = close.shift()
    true_range = high.where(high > before, before) - low.where(low < before, before)
    return wilder(true_range, window)


def slope(values: pd.Series, window: int) -> pd.Series:
    """Return the least-squares slope per row over the last `window` rows; NaN on the first `window` - 1."""
    time = np.arange(window) - (window - 1) / 2
    weights = time / (time**2).sum()
    # one addition per lag: every row is the same sum in the same order, whatever the length of the data
    total = pd.Series(0.0, index=values.index)
    for lag in range(window):
        total = total + weights[window - 1 - lag] * values.shift(lag)
    return total


def volume_weighted_price(price: pd.Series, volume: pd.Series, window: int) -> pd.Series:
    """Return sum(price volume) / sum(volume) over `window` rows, the plain mean where nothing was traded."""
    traded = volume.rolling(window).sum()
    weighted = (price * volume).rolling(window).sum() / traded.where(traded > 0)
    return weighted.where(traded > 0, price.rolling(window).mean())
