"""The feature table of a ticker: every declared column from its bars, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from volassets.errors import InputError
from volassets.features.base_series import BaseSeries
from volassets.features.catalogue import DEFAULT_LAGS, catalogue, outcomes
from volassets.features.covariates import Covariate, covariate_columns
from volassets.features.feature import ANNUAL
from volassets.features.variance import TRADING_DAYS
from volassets.market.bars import PRICE_COLUMNS
from volassets.market.calendar import SessionCalendar


def build_features(
    bars: pd.DataFrame,
    calendar: SessionCalendar,
    lags: Sequence[int] = DEFAULT_LAGS,
    proxy: str = "gk_overnight",
    covariates: Iterable[Covariate] = (),
) -> pd.DataFrame:
    """Compute every feature of a ticker's bars, and the columns that targets are made of.

    Parameters
    ----------
    bars : DataFrame
        As of `volassets.market.bars`. Close-only bars have open, high and low equal to the close.
    calendar : SessionCalendar
        Calendar of the ticker's exchange.
    lags : sequence of int
        Return lags among the features.
    proxy : {"gk_overnight", "squared_return", "realized"}
        Daily variance proxy; `squared_return` for close-only bars, `realized` for bars with `realized_variance`.

    covariates : iterable of Covariate
        Other series whose last known values are inputs.

    Returns
    -------
    DataFrame
        Shape (len(bars), features + 3), float64, index ``date``: the columns of
        `volassets.features.catalogue` in its order, then the outcomes, then those of `covariates`. Row t uses bars up
        to and including the close of t: the table of ``bars[:t]`` equals the first rows of the table of `bars` bit for
        bit. A column is NaN in its declared warm-up, the ratio in its first month, and finite from then on.

    Raises
    ------
    InputError
        If a bar has a price that is not positive and finite, or a volume that is negative or NaN.
    """
    _require_usable(bars)
    series = BaseSeries(bars, calendar, proxy)
    position = np.arange(len(bars))
    # The estimators annualise with an exchange's sessions; times 1 there, so that the bits stay.
    scale = np.sqrt(calendar.sessions_per_year / TRADING_DAYS)
    columns = {
        column.name: np.where(position < column.warm_up, np.nan, column.compute(series).to_numpy(dtype=float))
        * (scale if column.unit == ANNUAL else 1.0)
        for column in (*catalogue(lags), *outcomes())
    }
    index = pd.DatetimeIndex(bars.index, name="date")
    return pd.DataFrame(columns | covariate_columns(covariates, index, calendar), index=index)


def _require_usable(bars: pd.DataFrame) -> None:
    prices = bars[list(PRICE_COLUMNS)].to_numpy(dtype=float)
    volume = bars["volume"].to_numpy(dtype=float)
    usable = (np.isfinite(prices) & (prices > 0)).all(axis=1) & np.isfinite(volume) & (volume >= 0)
    if not usable.all():
        day = bars.index[~usable][0]
        raise InputError(
            f"the bar of {day:%Y-%m-%d} cannot be used: prices must be positive numbers and the volume 0 or more. "
            "Correct or drop that bar at its source."
        )
    if not bars.index.is_monotonic_increasing or not bars.index.is_unique:
        raise InputError("the bars' dates are not strictly increasing: sort them and drop repeated days.")
