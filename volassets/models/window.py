"""How the training window of one ticker and month is cut, for the assets and for the audit alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from volassets.errors import InputError
from volassets.features.targets import month_ratio
from volassets.models.protocol import TRADING_DAYS, FittedModel, Window
from volassets.timing import training_length

CALIBRATION_ORIGINS = 500


def training_rows(features: pd.DataFrame, month: pd.Timestamp) -> pd.DataFrame:
    """Return the rows of `features` dated before the cut-off of `month`; raise an InputError if there are none."""
    rows = features.iloc[: training_length(pd.DatetimeIndex(features.index), month)]
    if rows.empty:
        raise InputError(
            f"no bar is dated before {month:%Y-%m-%d}, the cut-off of refit month {month:%Y-%m}: "
            "choose a later month or fetch an earlier history."
        )
    return rows


def month_selection(month: pd.Timestamp, features: pd.DataFrame, threshold: float, scaling: str) -> pd.DataFrame:
    """Return `select_features` on the rows before the cut-off of `month`."""
    from volassets.features.selection import select_features

    return select_features(training_rows(features, month), threshold=threshold, scaling=scaling)


def make_window(
    ticker: str,
    month: pd.Timestamp,
    features: pd.DataFrame,
    horizons: Sequence[int],
    selection: pd.DataFrame | None = None,
    members: Mapping[str, FittedModel] | None = None,
    sessions_per_year: int = TRADING_DAYS,
    ratio: float | None = None,
) -> Window:
    """Return the training window of a month, from a feature table of any length; fields as in `Window`.

    Rows dated on or after the cut-off are dropped first, so nothing in the result depends on them. `ratio` is the
    month's proxy ratio where it is known already.
    """
    training = training_rows(features, month)
    ratio = month_ratio(training, month) if ratio is None else ratio
    return Window(ticker, month, training, tuple(horizons), ratio, selection, dict(members or {}), sessions_per_year)


def calibration_origins(
    index: pd.DatetimeIndex, month: pd.Timestamp, count: int = CALIBRATION_ORIGINS
) -> pd.DatetimeIndex:
    """Return up to `count` origins just before the month's first origin, in order.

    The month's first origin is the last bar before the cut-off, so these end one bar earlier and join the month's
    origins without a gap or an overlap. Intervals start from the model's forecasts at them, as far as their outcomes
    are known.
    """
    first_origin = max(training_length(index, month) - 1, 0)
    return index[max(first_origin - count, 0) : first_origin]
