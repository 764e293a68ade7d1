"""Series that several features share, computed once per ticker from its bars."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.features import variance
from volassets.features.targets import suspect_days
from volassets.market.bars import split_factor
from volassets.market.calendar import SessionCalendar
from volassets.market.suspect_ranges import SuspectRanges

PROXIES = {
    "gk_overnight": variance.garman_klass_yang_zhang,
    "squared_return": variance.close_to_close,
    "realized": variance.realized,
}
EWMA_WEIGHT = 0.06
# sqrt(mean r^2 / mean p) of the S&P 500; only places the clips of standardised returns
RETURN_PER_PROXY = 1.27
RELATIVE_FLOOR = 0.02
ABSOLUTE_FLOOR = 1e-10
FLOOR_WINDOW = 66


def floored(values: pd.Series) -> pd.Series:
    """Return `values` raised to 2 % of the median of the last 66 rows that are not zero, and to 1e-10 at least.

    A day without a range or a move has variance zero, whose logarithm does not exist; a floor that follows the
    ticker's own level keeps it from being an outlier, and a median keeps one jump from raising the days after it. NaN
    stays NaN.
    """
    usual = values.where(values > 0).rolling(FLOOR_WINDOW, min_periods=1).median()
    return _raised(values, usual)


def _raised(values: pd.Series, usual: pd.Series) -> pd.Series:
    floor = np.maximum((RELATIVE_FLOOR * usual).fillna(0.0), ABSOLUTE_FLOOR)
    return values.where(values.isna(), np.maximum(values, floor))


class BaseSeries:
    """Bars of one ticker and the series derived from them, each computed on first use.

    Parameters
    ----------
    bars : DataFrame
        As of `volassets.market.bars`.
    calendar : SessionCalendar
        Calendar of the ticker's exchange.
    proxy : {"gk_overnight", "squared_return", "realized"}
        Variance proxy: Garman-Klass plus squared overnight return, the squared close-to-close return, or the bars' own
        realized variance.
    """

    def __init__(self, bars: pd.DataFrame, calendar: SessionCalendar, proxy: str) -> None:
        self.bars = bars
        self.calendar = calendar
        self.proxy_name = proxy

    @property
    def price(self) -> pd.Series:
        """Total-return close; used in ratios only."""
        return self.bars["adj_close"]

    @cached_property
    def volume(self) -> pd.Series:
        """Shares traded, in shares of the first day; 0 where none is known."""
        return self.bars["volume"] / self.splits

    @cached_property
    def quoted(self) -> pd.Series:
        """Close as quoted, per share of the first day."""
        return self.bars["close"] * self.splits

    @cached_property
    def splits(self) -> pd.Series:
        """Shares of each day per share of the first."""
        return split_factor(self.bars)

    @cached_property
    def suspects(self) -> SuspectRanges:
        """Days whose open, high or low is probably wrong."""
        bars = self.bars
        columns = {
            "return": self.log_return,
            "close_open_chg": bars["close"] / bars["open"] - 1,
            "high_low_range": (bars["high"] - bars["low"]) / bars["close"],
        }
        return suspect_days(pd.DataFrame(columns))

    @property
    def rows_of_first_rules(self) -> int:
        """Rows at the start whose table is the same under the rules of 0.1.0.

        These had no suspect days, no splits in volumes, and a floor at 1 % of the mean.
        """
        raw = PROXIES[self.proxy_name](self.bars)
        differs = self.splits != 1
        for values in (raw, self.garman_klass):
            before = _raised(values, values.rolling(FLOOR_WINDOW, min_periods=1).mean())
            differs |= (floored(values) != before) & values.notna()
        first = int(differs.to_numpy().argmax()) if differs.any() else len(differs)
        return int(min(first, self.suspects.first_cut - 1))

    @cached_property
    def log_return(self) -> pd.Series:
        """Daily log total return r."""
        return variance.log_return(self.bars)

    @cached_property
    def overnight(self) -> pd.Series:
        """Overnight log total return o."""
        return variance.overnight_return(self.bars)

    @cached_property
    def squared_return(self) -> pd.Series:
        """r^2."""
        return self.log_return**2

    @cached_property
    def garman_klass(self) -> pd.Series:
        """Garman-Klass variance as the formula gives it, 0 on a zero range."""
        return variance.garman_klass(self.bars)

    @cached_property
    def proxy(self) -> pd.Series:
        """Daily variance proxy p, decimal, floored; NaN on the first row."""
        if self.proxy_name not in PROXIES:
            raise InputError(f"proxy {self.proxy_name!r} is unknown: choose from {', '.join(PROXIES)}.")
        return floored(PROXIES[self.proxy_name](self.bars))

    @cached_property
    def range_variance(self) -> pd.Series:
        """Garman-Klass floored; the proxy where the last 66 bars have no range at all (close-only bars)."""
        recent = self.garman_klass.rolling(FLOOR_WINDOW, min_periods=1).mean()
        return floored(self.garman_klass).where(recent > 0, self.proxy)

    @cached_property
    def log_proxy(self) -> pd.Series:
        """lp = ln p."""
        return variance.log(self.proxy)

    def mean_proxy(self, window: int) -> pd.Series:
        """Return the mean of p over `window` rows."""
        return self.proxy.rolling(window).mean()

    def log_mean_proxy(self, window: int) -> pd.Series:
        """Return ln of the mean of p over `window` rows."""
        return variance.log(self.mean_proxy(window))

    @cached_property
    def expected_deviation(self) -> pd.Series:
        """1.27 sqrt(EWMA_.06(p)_{t-1}): the standard deviation that day t's return is measured in."""
        return RETURN_PER_PROXY * np.sqrt(self.proxy.ewm(alpha=EWMA_WEIGHT).mean().shift())

    @cached_property
    def return_z(self) -> pd.Series:
        """Standardised return, clipped to +-8."""
        return (self.log_return / self.expected_deviation).clip(-8, 8)

    def return_z_over(self, days: int) -> pd.Series:
        """Return the standardised `days`-day return, clipped to +-6."""
        total = self.log_return.rolling(days).sum()
        return (total / (np.sqrt(days) * self.expected_deviation)).clip(-6, 6)

    @cached_property
    def log_volume(self) -> pd.Series:
        """ln V, missing where nothing was traded."""
        return variance.log(self.volume.where(self.volume > 0))

    def mean_log_volume(self, window: int) -> pd.Series:
        """Return the mean of ln V over the traded days among the last `window`; NaN where there is none."""
        return self.log_volume.rolling(window, min_periods=1).mean()

    @cached_property
    def next_sessions(self) -> pd.DatetimeIndex:
        """The session after each row's date."""
        return self.calendar.next_sessions(pd.DatetimeIndex(self.bars.index))

    def daily(self, values: object) -> pd.Series:
        """Return `values` as a float column on the table's dates."""
        return pd.Series(values, index=self.bars.index, dtype=float)
