"""The score target and its ratio."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.features.feature_table import build_features
from volassets.features.targets import proxy_ratio, target
from volassets.market.calendar import calendar_for


@pytest.fixture(scope="module")
def table(sp500_bars) -> pd.DataFrame:
    return build_features(sp500_bars, calendar_for("^GSPC"))


@pytest.mark.parametrize("horizon", [1, 5, 22])
def test_the_target_is_the_scaled_mean_of_the_next_sessions(table, horizon):
    proxy = table["proxy_variance"]
    label = target(proxy, horizon, 1.6)
    for row in (0, 1000, len(proxy) - horizon - 1):
        expected = 1.6 * proxy.iloc[row + 1 : row + 1 + horizon].mean()
        assert label.iloc[row] == pytest.approx(expected, rel=1e-12)
    assert label.iloc[:-horizon].notna().all()


@pytest.mark.parametrize("horizon", [1, 5, 22])
def test_exactly_the_last_labels_wait_for_later_bars(table, horizon):
    proxy = table["proxy_variance"]
    full, cut = target(proxy, horizon, 1.6), target(proxy.iloc[:3000], horizon, 1.6)
    assert cut.iloc[-horizon:].isna().all()
    assert cut.iloc[:-horizon].to_numpy().tobytes() == full.iloc[: 3000 - horizon].to_numpy().tobytes()


def test_the_ratio_sees_the_days_strictly_before_the_month(table):
    month = pd.Timestamp("2008-10-01")
    past = table.loc[:"2008-09-30"].iloc[1:]
    expected = (past["return"] ** 2).sum() / past["proxy_variance"].sum()
    ratio = proxy_ratio(table["return"], table["proxy_variance"], month)
    assert ratio == pytest.approx(expected, rel=1e-12)
    noise = table[["return", "proxy_variance"]].copy()
    noise.loc[month:] = 1.0
    assert proxy_ratio(noise["return"], noise["proxy_variance"], month) == ratio
    before = table.loc[:"2008-09-30"]
    assert proxy_ratio(before["return"], before["proxy_variance"], month) == ratio


def test_no_past_has_no_ratio(table):
    assert np.isnan(proxy_ratio(table["return"], table["proxy_variance"], table.index[0]))
