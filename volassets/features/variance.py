"""Daily variance estimators from open, high, low and close.

Every function takes bars (columns ``open, high, low, close, adj_close``, index date) and returns a
Series on the same dates: daily variance in decimal (1e-4 is 1 % a day). The value of row t uses bars
up to and including the close of t. Ranges are of one day, and moves from one close to the next are
total returns, so no later split or dividend changes a value.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.market.bars import REALIZED, total_return_factor

CLOSE_WEIGHT = 2 * np.log(2) - 1
TRADING_DAYS = 252


def annualised(variance: pd.Series) -> pd.Series:
    """Return sqrt(252 variance), annualised volatility in decimal, from daily variance."""
    return pd.Series(np.sqrt(TRADING_DAYS * variance.to_numpy()), index=variance.index)


def log(values: pd.Series) -> pd.Series:
    """Return the natural logarithm."""
    return pd.Series(np.log(values.to_numpy()), index=values.index)


def log_return(bars: pd.DataFrame) -> pd.Series:
    """Return r_t = ln(A_t / A_{t-1}) of the total-return close A; NaN on the first row."""
    adjusted = bars["adj_close"]
    return log(adjusted / adjusted.shift())


def overnight_return(bars: pd.DataFrame) -> pd.Series:
    """Return o_t = ln(O_t / C_{t-1}), both scaled to total return; NaN on the first row.

    The open takes its own day's factor adj_close/close, so a dividend paid overnight is no loss and a
    later one changes nothing.
    """
    return log(bars["open"] * total_return_factor(bars) / bars["adj_close"].shift())


def close_to_close(bars: pd.DataFrame) -> pd.Series:
    """Return r_t^2; NaN on the first row."""
    return log_return(bars) ** 2


def realized(bars: pd.DataFrame) -> pd.Series:
    """Return the realized variance that the source has measured, overnight included; NaN on the first row.

    The first row is left out because the other proxies have none there either.

    Raises
    ------
    InputError
        If the bars have no such column.
    """
    if REALIZED not in bars:
        raise InputError(
            f'proxy = "realized" needs bars with the column {REALIZED}: add it to the file, or set proxy = '
            '"gk_overnight".'
        )
    return bars[REALIZED].where(np.arange(len(bars)) > 0)


def parkinson(bars: pd.DataFrame) -> pd.Series:
    """Return ln(H/L)^2 / (4 ln 2), Parkinson (1980)."""
    return log(bars["high"] / bars["low"]) ** 2 / (4 * np.log(2))


def garman_klass(bars: pd.DataFrame) -> pd.Series:
    """Return 0.5 ln(H/L)^2 - (2 ln 2 - 1) ln(C/O)^2, Garman and Klass (1980); not negative for valid bars."""
    trading = 0.5 * log(bars["high"] / bars["low"]) ** 2 - CLOSE_WEIGHT * log(bars["close"] / bars["open"]) ** 2
    return trading.clip(lower=0.0)


def rogers_satchell(bars: pd.DataFrame) -> pd.Series:
    """Return ln(H/C) ln(H/O) + ln(L/C) ln(L/O), Rogers and Satchell (1991); whatever the drift."""
    up = log(bars["high"] / bars["close"]) * log(bars["high"] / bars["open"])
    down = log(bars["low"] / bars["close"]) * log(bars["low"] / bars["open"])
    return (up + down).clip(lower=0.0)


def garman_klass_yang_zhang(bars: pd.DataFrame) -> pd.Series:
    """Return Garman-Klass + o_t^2: the range of the session plus the overnight jump; NaN on the first row.

    The extension of Garman and Klass (1980) for opening jumps due to Yang and Zhang (2000). It is the
    variance proxy of the score target.
    """
    return garman_klass(bars) + overnight_return(bars) ** 2


def yang_zhang(bars: pd.DataFrame, window: int) -> pd.Series:
    """Return the Yang and Zhang (2000) variance over `window` days; NaN on the first `window` rows.

    Notes
    -----
    ``var(o) + k var(c) + (1 - k) mean(RS)`` with o the overnight and c the open-to-close return,
    sample variances, and ``k = 0.34 / (1.34 + (n + 1) / (n - 1))``. The first bar has no overnight
    return, so a value needs `window` + 1 bars.
    """
    k = 0.34 / (1.34 + (window + 1) / (window - 1))
    overnight = overnight_return(bars)
    session = log(bars["close"] / bars["open"])
    return (
        overnight.rolling(window).var()
        + k * session.rolling(window).var()
        + (1 - k) * rogers_satchell(bars).rolling(window).mean()
    )
