"""Indicators on series that do not move, and against the plain way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.features import indicators


def test_rsi_is_50_without_a_change_and_100_without_a_loss():
    still, rising = pd.Series(np.full(40, 7.0)), pd.Series(np.arange(1.0, 41))
    for rsi in (indicators.rsi_wilder, indicators.rsi_simple):
        assert rsi(still).iloc[:14].isna().all()
        assert (rsi(still).iloc[14:] == 50).all()
        assert (rsi(rising).iloc[14:] == 100).all()
        assert (rsi(-rising).iloc[14:] == 0).all()


def test_the_simple_rsi_is_the_share_of_gains(simulated_bars):
    close = simulated_bars(60, 1)["close"]
    change = np.diff(close.to_numpy())[-14:]
    expected = 100 * change[change > 0].sum() / np.abs(change).sum()
    assert indicators.rsi_simple(close).iloc[-1] == pytest.approx(expected, abs=1e-9)


def test_short_series_are_all_warm_up():
    assert indicators.rsi_wilder(pd.Series([1.0, 2.0, 3.0])).isna().all()
    assert indicators.wilder(pd.Series([np.nan]), 14).isna().all()


def test_the_slope_is_that_of_a_line():
    assert indicators.slope(pd.Series(3.0 + 0.25 * np.arange(30)), 20).iloc[19:].to_numpy() == pytest.approx(0.25)


def test_vwap_is_the_mean_price_where_nothing_was_traded():
    price = pd.Series([1.0, 2.0, 3.0, 4.0])
    volume = pd.Series([0.0, 0.0, 0.0, 5.0])
    np.testing.assert_allclose(indicators.volume_weighted_price(price, volume, 3), [np.nan, np.nan, 2.0, 4.0])
