"""The reference recipe's features, in its order: the first in line when correlated features are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from volassets.features import indicators, variance
from volassets.features.base_series import Ingredients
from volassets.features.feature import Feature
from volassets.features.variance import annualised, log

RECIPE_SOURCE = "reference recipe"
ANNUAL = "annualised volatility, decimal"
PRICE = "price"
SHARES = "shares"
RATIO = "ratio"
RETURN = "decimal return"

_recipe = partial(Feature, source=RECIPE_SOURCE, group="Reference recipe")


def recipe(lags: Sequence[int]) -> tuple[Feature, ...]:
    """Return the recipe's features, with one lagged return per entry of `lags`."""
    return (
        _recipe(
            name="returns",
            formula="A_t / A_{t-1} - 1, A the total-return close",
            unit=RETURN,
            window=2,
            warm_up=1,
            compute=lambda x: x.price / x.price.shift() - 1,
        ),
        _recipe(
            name="log_returns",
            formula="r_t = ln(A_t / A_{t-1}), A the total-return close",
            unit=RETURN,
            window=2,
            warm_up=1,
            compute=lambda x: x.log_return,
        ),
        *(_lagged_return(lag) for lag in lags),
        _recipe(
            name="returns_sq",
            formula="r_t^2",
            unit="daily variance, decimal",
            window=2,
            warm_up=1,
            compute=lambda x: x.squared_return,
        ),
        _recipe(
            name="returns_abs",
            formula="|r_t|",
            unit=RETURN,
            window=2,
            warm_up=1,
            compute=lambda x: x.log_return.abs(),
        ),
        *(_close_volatility(days) for days in (5, 10, 20, 60)),
        _recipe(
            name="gk_vol",
            formula="sqrt(252 GK_t), GK = 0.5 ln(H/L)^2 - (2 ln 2 - 1) ln(C/O)^2",
            unit=ANNUAL,
            window=1,
            warm_up=0,
            compute=lambda x: annualised(x.garman_klass),
        ),
        *(_range_volatility(days) for days in (5, 10, 20)),
        _recipe(
            name="parkinson",
            formula="sqrt(252 ln(H/L)^2 / (4 ln 2))",
            unit=ANNUAL,
            window=1,
            warm_up=0,
            compute=lambda x: annualised(variance.parkinson(x.bars)),
        ),
        *_volume_and_price(),
        _recipe(
            name="rsi_14",
            formula="relative strength index of 14 changes of A with simple means; 50 without a change",
            unit="0 to 100",
            window=15,
            warm_up=14,
            compute=lambda x: indicators.rsi_simple(x.price, 14),
        ),
        *(_price_to_average(days) for days in (10, 20, 50)),
        _recipe(
            name="trend_20",
            formula="least-squares slope of ln A on time over 20 closes",
            unit="log return per day",
            window=20,
            warm_up=19,
            compute=lambda x: indicators.slope(log(x.price), 20),
        ),
        *(_ewma_volatility(span) for span in (5, 10, 20)),
        _recipe(
            name="rv",
            formula="sqrt(252 sum of GK over 5 rows); a sum, not a mean, so sqrt(5) above gk_vol_5d",
            unit="recipe's own scale",
            window=5,
            warm_up=4,
            compute=lambda x: annualised(x.garman_klass.rolling(5).sum()),
        ),
    )


def _volume_and_price() -> tuple[Feature, ...]:
    return (
        _recipe(
            name="volume",
            formula="V_t",
            unit=SHARES,
            window=1,
            warm_up=0,
            compute=lambda x: x.volume,
        ),
        _recipe(
            name="volume_chg",
            formula="V_t / V_{t-1} - 1; 0 where nothing was traded on t-1",
            unit=RATIO,
            window=2,
            warm_up=1,
            compute=_volume_change,
        ),
        _recipe(
            name="vwap",
            formula="sum(C V) / sum(V) over 20 rows, C as quoted; mean of C where nothing was traded",
            unit=PRICE,
            window=20,
            warm_up=19,
            compute=_vwap,
        ),
        _recipe(
            name="price_to_vwap",
            formula="C_t / vwap_t - 1",
            unit=RATIO,
            window=20,
            warm_up=19,
            compute=lambda x: x.bars["close"] / _vwap(x) - 1,
        ),
        _recipe(
            name="volume_norm",
            formula="V_t / mean of V over 60 rows; 1 where nothing was traded",
            unit=RATIO,
            window=60,
            warm_up=59,
            compute=_volume_to_mean,
        ),
        _recipe(
            name="high_low_range",
            formula="(H - L) / C",
            unit=RATIO,
            window=1,
            warm_up=0,
            compute=lambda x: (x.bars["high"] - x.bars["low"]) / x.bars["close"],
        ),
        _recipe(
            name="close_open_chg",
            formula="C / O - 1",
            unit=RETURN,
            window=1,
            warm_up=0,
            compute=lambda x: x.bars["close"] / x.bars["open"] - 1,
        ),
    )


def _lagged_return(lag: int) -> Feature:
    return _recipe(
        name=f"ret_lag_{lag}",
        formula=f"r_{{t-{lag}}}",
        unit=RETURN,
        window=lag + 2,
        warm_up=lag + 1,
        compute=lambda x: x.log_return.shift(lag),
    )


def _close_volatility(days: int) -> Feature:
    return _recipe(
        name=f"vol_{days}d",
        formula=f"sqrt(252) x sample standard deviation of r over {days} rows",
        unit=ANNUAL,
        window=days + 1,
        warm_up=days,
        compute=lambda x: annualised(x.log_return.rolling(days).var()),
    )


def _range_volatility(days: int) -> Feature:
    return _recipe(
        name=f"gk_vol_{days}d",
        formula=f"sqrt(252 mean of GK over {days} rows)",
        unit=ANNUAL,
        window=days,
        warm_up=days - 1,
        compute=lambda x: annualised(x.garman_klass.rolling(days).mean()),
    )


def _price_to_average(days: int) -> Feature:
    return _recipe(
        name=f"price_to_ma{days}",
        formula=f"A_t / mean of A over {days} rows - 1",
        unit=RATIO,
        window=days,
        warm_up=days - 1,
        compute=lambda x: x.price / x.price.rolling(days).mean() - 1,
    )


def _ewma_volatility(span: int) -> Feature:
    return _recipe(
        name=f"ewma_vol_{span}",
        formula=f"sqrt(252 EWMA of r^2), weights (1 - 2/{span + 1})^k",
        unit=ANNUAL,
        window=0,
        warm_up=span,
        compute=lambda x: annualised(x.squared_return.ewm(span=span).mean()),
    )


def _volume_change(x: Ingredients) -> pd.Series:
    before = x.volume.shift()
    return (x.volume / before.where(before > 0) - 1).where(before != 0, 0.0)


def _vwap(x: Ingredients) -> pd.Series:
    return indicators.volume_weighted_price(x.bars["close"], x.volume, 20)


def _volume_to_mean(x: Ingredients) -> pd.Series:
    mean = x.volume.rolling(60).mean()
    return (x.volume / mean.where(mean > 0)).where(mean != 0, 1.0)
