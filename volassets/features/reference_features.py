"""The reference recipe's features, in its order: the first in line when correlated features are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from volassets.features import indicators, variance
from volassets.features.base_series import BaseSeries
from volassets.features.feature import ANNUAL, DAILY, RATIO, RETURN, Feature
from volassets.features.variance import annualised, log

_recipe = partial(Feature, source="reference recipe", group="Reference recipe")


def recipe(lags: Sequence[int]) -> tuple[Feature, ...]:
    """Return the recipe's features, with one lagged return per entry of `lags`."""
    return (
        _recipe("returns", "A_t / A_{t-1} - 1, A the total-return close", RETURN, 2, _simple_return),
        _recipe("log_returns", "r_t = ln(A_t / A_{t-1}), A the total-return close", RETURN, 2, lambda x: x.log_return),
        *(_lagged_return(lag) for lag in lags),
        _recipe("returns_sq", "r_t^2", DAILY, 2, lambda x: x.squared_return),
        _recipe("returns_abs", "|r_t|", RETURN, 2, lambda x: x.log_return.abs()),
        *(_close_volatility(days) for days in (5, 10, 20, 60)),
        _recipe(
            "gk_vol",
            "sqrt(S GK_t), GK = 0.5 ln(H/L)^2 - (2 ln 2 - 1) ln(C/O)^2",
            ANNUAL,
            1,
            lambda x: annualised(x.garman_klass),
        ),
        *(_range_volatility(days) for days in (5, 10, 20)),
        _recipe(
            "parkinson", "sqrt(S ln(H/L)^2 / (4 ln 2))", ANNUAL, 1, lambda x: annualised(variance.parkinson(x.bars))
        ),
        *_volume_and_price(),
        _recipe(
            "rsi_14",
            "relative strength index of 14 changes of A with simple means; 50 without a change",
            "0 to 100",
            15,
            lambda x: indicators.rsi_simple(x.price, 14),
        ),
        *(_price_to_average(days) for days in (10, 20, 50)),
        _recipe(
            "trend_20",
            "least-squares slope of ln A on time over 20 closes",
            "log return per day",
            20,
            lambda x: indicators.slope(log(x.price), 20),
        ),
        *(_ewma_volatility(span) for span in (5, 10, 20)),
        _recipe(
            "rv",
            "sqrt(252 sum of GK over 5 rows); a sum, not a mean, so sqrt(5) above gk_vol_5d",
            "recipe's own scale",
            5,
            lambda x: annualised(x.garman_klass.rolling(5).sum()),
        ),
    )


def _volume_and_price() -> tuple[Feature, ...]:
    vwap = "sum(C V) / sum(V) over 20 rows, C as quoted; mean of C where nothing was traded"
    return (
        _recipe("volume", "V_t", "shares", 1, lambda x: x.volume),
        _recipe("volume_chg", "V_t / V_{t-1} - 1; 0 where nothing was traded on t-1", RATIO, 2, _volume_change),
        _recipe("vwap", vwap, "price", 20, _vwap),
        _recipe("price_to_vwap", "C_t / vwap_t - 1", RATIO, 20, lambda x: x.quoted / _vwap(x) - 1),
        _recipe("volume_norm", "V_t / mean of V over 60 rows; 1 where nothing was traded", RATIO, 60, _volume_to_mean),
        _recipe("high_low_range", "(H - L) / C", RATIO, 1, _relative_range),
        _recipe("close_open_chg", "C / O - 1", RETURN, 1, lambda x: x.bars["close"] / x.bars["open"] - 1),
    )


def _lagged_return(lag: int) -> Feature:
    return _recipe(f"ret_lag_{lag}", f"r_{{t-{lag}}}", RETURN, lag + 2, lambda x: x.log_return.shift(lag))


def _close_volatility(days: int) -> Feature:
    formula = f"sqrt(S) x sample standard deviation of r over {days} rows"
    return _recipe(f"vol_{days}d", formula, ANNUAL, days + 1, lambda x: annualised(x.log_return.rolling(days).var()))


def _range_volatility(days: int) -> Feature:
    formula = f"sqrt(S mean of GK over {days} rows)"
    return _recipe(f"gk_vol_{days}d", formula, ANNUAL, days, lambda x: annualised(x.garman_klass.rolling(days).mean()))


def _price_to_average(days: int) -> Feature:
    formula = f"A_t / mean of A over {days} rows - 1"
    return _recipe(f"price_to_ma{days}", formula, RATIO, days, lambda x: x.price / x.price.rolling(days).mean() - 1)


def _ewma_volatility(span: int) -> Feature:
    formula = f"sqrt(S EWMA of r^2), weights (1 - 2/{span + 1})^k"
    volatility = partial(_ewma, span=span)
    return _recipe(f"ewma_vol_{span}", formula, ANNUAL, 0, volatility, warm_up=span)


def _ewma(x: BaseSeries, span: int) -> pd.Series:
    return annualised(x.squared_return.ewm(span=span).mean())


def _simple_return(x: BaseSeries) -> pd.Series:
    return x.price / x.price.shift() - 1


def _relative_range(x: BaseSeries) -> pd.Series:
    return (x.bars["high"] - x.bars["low"]) / x.bars["close"]


def _volume_change(x: BaseSeries) -> pd.Series:
    before = x.volume.shift()
    return (x.volume / before.where(before > 0) - 1).where(before != 0, 0.0)


def _vwap(x: BaseSeries) -> pd.Series:
    return indicators.volume_weighted_price(x.quoted, x.volume, 20)


def _volume_to_mean(x: BaseSeries) -> pd.Series:
    mean = x.volume.rolling(60).mean()
    return (x.volume / mean.where(mean > 0)).where(mean != 0, 1.0)
