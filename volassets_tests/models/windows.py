"""A training window cut the way the graph cuts it, without the selection that only networks read."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from volassets.models.protocol import Fit, Window
from volassets.models.window import make_window


def window_of(
    features: pd.DataFrame,
    month: str = "2008-10",
    horizons: tuple[int, ...] = (1, 5, 22),
    members: Mapping[str, Fit] | None = None,
) -> Window:
    """Return the window of `month`."""
    return make_window(
        "^GSPC", pd.Timestamp(month), features, horizons, 0.95, "standardize", pd.DataFrame(), members=members
    )


def origins_after(features: pd.DataFrame, month: str = "2008-10", count: int = 20, before: int = 0) -> pd.DatetimeIndex:
    """Return `count` origins from the last row before `month` on, and `before` rows ahead of them."""
    first = features.index.searchsorted(pd.Timestamp(month)) - 1
    return pd.DatetimeIndex(features.index[first - before : first + count])
