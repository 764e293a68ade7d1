"""How the window of one ticker and month is cut, for the assets and for the audit alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from volassets.errors import InputError
from volassets.features.targets import proxy_ratio
from volassets.models.protocol import FittedModel, Window
from volassets.timing import training_length

CALIBRATION_ORIGINS = 500


def training_rows(features: pd.DataFrame, month: pd.Timestamp) -> pd.DataFrame:
    """Return the rows of `features` dated before the cut-off of `month`.

    Raises
    ------
    InputError
        If there are none.
    """
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
) -> Window:
    """Cut the window that every model of one ticker and month is fitted on.

    Parameters
    ----------
    ticker : str
    month : Timestamp
        First day of the refit month: the cut-off. Rows dated on or after it are dropped first, so
        nothing in the result depends on them.
    features : DataFrame
        Feature table of the ticker, index ``date``, of any length.
    horizons : sequence of int
        Forecast horizons in sessions.
    selection : DataFrame, optional
        The month's selection, indexed by feature; None for models that use none.
    members : mapping of str to FittedModel, optional
        What a combination averages.

    Raises
    ------
    InputError
        If no bar is dated before the cut-off.
    """
    training = training_rows(features, month)
    return Window(
        ticker=ticker,
        month=month,
        features=training,
        horizons=tuple(horizons),
        ratio=proxy_ratio(training["return"], training["proxy_variance"], month),
        selection=selection,
        members=dict(members or {}),
    )


def calibration_origins(
    index: pd.DatetimeIndex, month: pd.Timestamp, count: int = CALIBRATION_ORIGINS
) -> pd.DatetimeIndex:
    """Return up to `count` origins just before the month's first origin, in order.

    The month's first origin is the last bar before the cut-off, so these end one bar earlier and
    join the month's origins without a gap or an overlap. A month's intervals start from the
    model's own forecasts at them; which of their outcomes are known at an origin is decided
    where the intervals are computed.
    """
    first_origin = max(training_length(index, month) - 1, 0)
    return index[max(first_origin - count, 0) : first_origin]
