"""The score target and its ratio."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.features.base_series import BaseSeries
from volassets.features.feature_table import build_features
from volassets.features.targets import month_ratio, proxy_ratio, target
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


def test_a_suspect_day_is_left_out_of_the_ratio_by_earlier_days_alone(sp500_bars):
    calendar = calendar_for("^GSPC")
    wrong = sp500_bars.copy()
    day = wrong.index.get_loc(pd.Timestamp("2008-09-30"))
    wrong.iloc[day, wrong.columns.get_loc("high")] *= 3
    clean, table = build_features(sp500_bars, calendar), build_features(wrong, calendar)
    trusting = proxy_ratio(table["return"], table["proxy_variance"], pd.Timestamp("2008-10-01"))
    assert trusting < 0.9 * clean.loc["2008-10", "ratio"].iloc[0]
    for month in ("2008-10", "2008-11", "2018-12"):
        expected, ratio = clean.loc[month, "ratio"].iloc[0], table.loc[month, "ratio"].iloc[0]
        assert ratio == pytest.approx(expected, rel=0.01)
        assert month_ratio(table[table.index < month], pd.Timestamp(month)) == ratio
    # Days after a cut-off, however wild, do not acquit one before it.
    other = wrong.copy()
    other.iloc[day + 1 :, wrong.columns.get_loc("high")] *= 3
    assert build_features(other, calendar).loc["2008-10", "ratio"].equals(table.loc["2008-10", "ratio"])
    assert build_features(wrong.iloc[: day + 5], calendar)["ratio"].equals(table["ratio"].iloc[: day + 5])


def test_histories_without_a_fault_keep_the_rules_of_the_first_release(sp500_bars, nasdaq_bars):
    for bars in (sp500_bars, nasdaq_bars):
        assert BaseSeries(bars, calendar_for("^GSPC"), "gk_overnight").rows_of_first_rules == len(bars)
    wrong = sp500_bars.copy()
    wrong.iloc[1000, wrong.columns.get_loc("low")] /= 3
    assert BaseSeries(wrong, calendar_for("^GSPC"), "gk_overnight").rows_of_first_rules == 1000
    still = sp500_bars.copy()
    still.iloc[700, 1:5] = still.iloc[700, 0]
    still.iloc[700, 0] = still.iloc[699, 3]
    rows = BaseSeries(still, calendar_for("^GSPC"), "gk_overnight").rows_of_first_rules
    assert rows <= 700


def test_a_split_of_raw_prices_leaves_volumes_and_their_price_alone(sp500_bars):
    """Quoted prices with an adjusted close, as some vendors send them, give the features of adjusted prices."""
    calendar = calendar_for("^GSPC")
    raw = sp500_bars.copy()
    for day, ratio in ((1500, 2.0), (3000, 7.0), (4000, 0.1)):
        raw.iloc[day:, :4] /= ratio
        raw.iloc[day:, raw.columns.get_loc("volume")] *= ratio
    adjusted, table = build_features(sp500_bars, calendar), build_features(raw, calendar)
    pd.testing.assert_frame_equal(table, adjusted, rtol=1e-9, atol=1e-12)
    assert BaseSeries(raw, calendar, "gk_overnight").rows_of_first_rules == 1500
    cut = build_features(raw.iloc[:3500], calendar)
    assert cut.to_numpy().tobytes() == table.iloc[:3500].to_numpy().tobytes()
