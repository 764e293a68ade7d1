"""The columns of the feature table, declared once, in selection order."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from volassets.features.base_series import FLOOR_WINDOW, BaseSeries
from volassets.features.extended_features import extended
from volassets.features.feature import DAILY, RATIO, RETURN, Feature
from volassets.features.reference_features import recipe
from volassets.features.targets import proxy_ratio
from volassets.timing import refit_month

DEFAULT_LAGS = (1, 2, 6, 11, 16)
RECIPE = tuple(feature.name for feature in recipe(DEFAULT_LAGS))


def catalogue(lags: Sequence[int] = DEFAULT_LAGS) -> tuple[Feature, ...]:
    """Return every feature in selection order: the reference recipe first, then the rest.

    Of two correlated features the earlier one is kept, so the order is part of the declaration. Each entry of `lags`
    gives a column ``ret_lag_<lag>``.
    """
    return (*recipe(lags), *extended())


def longest_warm_up(lags: Sequence[int] = DEFAULT_LAGS) -> int:
    """Return how many rows at the start of a table lack at least one feature."""
    return max(feature.warm_up for feature in catalogue(lags))


def outcomes() -> tuple[Feature, ...]:
    """Return the columns beside the features: what targets and scores are made of."""
    proxy = "p_t = GK_t + o_t^2, or r_t^2 where the setting says so; floored at 2 % of its 66-row median"
    ratio = "c_m = sum r^2 / sum p over the days before the first of t's month, those of a suspect range left out"
    return (
        Feature(
            "proxy_variance",
            proxy,
            DAILY,
            FLOOR_WINDOW + 1,
            lambda x: x.proxy,
            warm_up=1,
            source="Garman and Klass (1980)",
            group="Outcomes",
        ),
        Feature(
            "return",
            "r_t = ln(A_t / A_{t-1}), A the total-return close",
            RETURN,
            2,
            lambda x: x.log_return,
            group="Outcomes",
        ),
        Feature(
            "ratio",
            ratio,
            RATIO,
            0,
            _monthly_ratio,
            warm_up=0,
            source="Martens (2002), Hansen and Lunde (2005)",
            group="Outcomes",
            timing="rows before the month of t; empty in the first month",
        ),
    )


def _monthly_ratio(x: BaseSeries) -> pd.Series:
    index = pd.DatetimeIndex(x.bars.index)
    months = index.to_period("M").to_timestamp()
    ratios = {
        month: proxy_ratio(x.log_return, x.proxy, refit_month(month), x.suspects.before(int(index.searchsorted(month))))
        for month in months.unique()
    }
    return x.daily([ratios[month] for month in months])


OUTCOMES = tuple(column.name for column in outcomes())
