"""Training windows cut the way the pipeline cuts them, origins, and forecasts from nothing but a fit."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from pydantic import TypeAdapter

from volassets.models.protocol import Fit, FittedModel, Window
from volassets.models.registry import MODELS
from volassets.models.window import make_window, month_selection


def window_of(
    features: pd.DataFrame,
    month: str = "2008-10",
    horizons: tuple[int, ...] = (1, 5, 22),
    members: Mapping[str, FittedModel] | None = None,
) -> Window:
    """Return the window of `month`, without the selection that only the reference network reads."""
    return make_window("^GSPC", pd.Timestamp(month), features, horizons, members=members)


def selecting_window(
    features: pd.DataFrame, month: str, horizons: tuple[int, ...] = (1, 5), scaling: str = "standardize"
) -> Window:
    """Return the window of `month` with its selection."""
    selection = month_selection(pd.Timestamp(month), features, 0.95, scaling)
    return make_window("^GSPC", pd.Timestamp(month), features, horizons, selection)


def origins_after(features: pd.DataFrame, month: str = "2008-10", count: int = 20, before: int = 0) -> pd.DatetimeIndex:
    """Return `count` origins from the last row before `month` on, and `before` rows ahead of them."""
    first = features.index.searchsorted(pd.Timestamp(month)) - 1
    return pd.DatetimeIndex(features.index[first - before : first + count])


def forecast(fit: Fit, features: pd.DataFrame, origins: pd.DatetimeIndex) -> pd.DataFrame:
    """Forecast with the model that `fit` describes."""
    return TypeAdapter(MODELS[fit.model]).validate_python(fit.spec).forecast(fit, features, origins)
