"""The one shape of price data in this project: daily bars.

Bars are a DataFrame with the columns `BAR_COLUMNS`, float64, and a DatetimeIndex named ``date``: session
dates at midnight without time zone, strictly increasing. `volume` is 0.0 where there is none, and `adj_close`
equals `close` where there is none. A seventh column `REALIZED` is there where the source measures variance itself.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

BAR_COLUMNS = ("open", "high", "low", "close", "adj_close", "volume")
PRICE_COLUMNS = ("open", "high", "low", "close", "adj_close")
REALIZED = "realized_variance"
"""Daily variance that the source has measured from intraday returns, overnight included; decimal, NaN where unknown."""
# Prices with more returns of zero than this share move in few ticks.
COARSE_SHARE = 0.2


def as_bars(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with the columns, types and index of bars; values and row order stay.

    Parameters
    ----------
    frame : DataFrame
        At least open, high, low and close; index convertible to dates without time zone.
    """
    bars = frame.copy()
    if "adj_close" not in bars:
        bars["adj_close"] = bars["close"]
    if "volume" not in bars:
        bars["volume"] = 0.0
    bars = bars[[*BAR_COLUMNS, *optional_columns(bars)]].astype("float64")
    # One resolution, because hashes of the bars look at the index's integers.
    bars.index = pd.DatetimeIndex(bars.index).as_unit("ns").rename("date")
    bars.columns.name = None
    return bars


def optional_columns(bars: pd.DataFrame) -> list[str]:
    """Return the columns of `bars` beyond `BAR_COLUMNS` that this project knows: `REALIZED`, or none."""
    return [REALIZED] if REALIZED in bars else []


def total_return_factor(bars: pd.DataFrame) -> pd.Series:
    """Return adj_close / close per day: what turns that day's raw prices into total-return prices.

    Always divide it out within one day or between two days of one answer, never store adjusted levels:
    vendors rescale their whole history at every dividend.
    """
    return (bars["adj_close"] / bars["close"]).rename("total_return_factor")


# A step of the adjustment factor below this is a dividend's.
SPLIT_STEP = np.log(1.2)


def factor_step(bars: pd.DataFrame) -> pd.Series:
    """Return the day's step of adj_close / close, by which its dividend or split scales earlier prices."""
    factor = total_return_factor(bars)
    return factor / factor.shift()


def split_factor(bars: pd.DataFrame) -> pd.Series:
    """Return how many of the first day's shares a share has become by each day, 1 where prices are split-adjusted.

    A split is a step of the adjustment factor that the quoted close follows. Known at the day's close: no later bar
    changes a value.
    """
    step = factor_step(bars)
    size = np.log(step)
    unexplained = (np.log(bars["close"] / bars["close"].shift()) + size).abs()
    split = (size.abs() > SPLIT_STEP) & (unexplained < size.abs() / 2)
    return step.where(split, 1.0).cumprod()
