"""Feature numbers computed elsewhere: by hand, by TA-Lib, by R and by statsmodels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.features import indicators, variance
from volassets.features.feature_table import build_features
from volassets.features.lag_analysis import partial_autocorrelations
from volassets.market.calendar import calendar_for


def bars_of(rows: list[tuple[float, float, float, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["open", "high", "low", "close"], dtype=float)
    frame["adj_close"], frame["volume"] = frame["close"], 0.0
    frame.index = pd.bdate_range("2020-01-01", periods=len(rows), name="date")
    return frame


ONE_BAR = bars_of([(101, 101, 101, 101), (100, 105, 98, 103)])
FIVE_BARS = bars_of(
    [
        (101, 101, 101, 101),
        (100, 105, 98, 103),
        (103.5, 104, 101, 102),
        (101, 103, 99.5, 102.5),
        (103, 106, 102, 105),
        (104, 104.5, 100, 101),
    ]
)


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (variance.parkinson, 0.0017168130),
        (variance.garman_klass, 0.0020424940),
        (variance.rogers_satchell, 0.0019436185),
        (variance.garman_klass_yang_zhang, 0.0021415031),
        (variance.close_to_close, 0.0003844922),
    ],
)
def test_the_estimators_of_one_bar(estimator, expected):
    assert estimator(ONE_BAR).iloc[-1] == pytest.approx(expected, abs=1e-10)


def test_yang_zhang_over_five_bars():
    overnight = variance.overnight_return(FIVE_BARS).iloc[1:]
    session = variance.log(FIVE_BARS["close"] / FIVE_BARS["open"]).iloc[1:]

    assert overnight.var() == pytest.approx(6.436331e-5, abs=1e-10)
    assert session.var() == pytest.approx(6.133635e-4, abs=1e-10)
    assert variance.rogers_satchell(FIVE_BARS).iloc[1:].mean() == pytest.approx(7.853167e-4, abs=1e-10)
    assert variance.yang_zhang(FIVE_BARS, 5).iloc[-1] == pytest.approx(8.290941e-4, abs=1e-10)


@pytest.mark.parametrize(("day", "expected"), [("2008-09-12", 46.498808), ("2018-12-31", 41.709268)])
def test_wilders_rsi_equals_r(sp500_bars, day, expected):
    features = build_features(sp500_bars, calendar_for("^GSPC"))
    assert features.loc[day, "rsi_14_wilder"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["sp500_bars", "nasdaq_bars"])
def test_indicators_equal_ta_lib(name, request):
    talib = pytest.importorskip("talib")
    bars = request.getfixturevalue(name)
    high, low, close = (bars[column] for column in ("high", "low", "close"))
    arrays = [column.to_numpy() for column in (high, low, close)]
    options = {"rtol": 0, "atol": 1e-8}

    np.testing.assert_allclose(indicators.rsi_wilder(close), talib.RSI(arrays[2], 14), **options)
    np.testing.assert_allclose(indicators.average_true_range(high, low, close), talib.ATR(*arrays, 14), **options)
    np.testing.assert_allclose(indicators.slope(close, 20), talib.LINEARREG_SLOPE(arrays[2], 20), **options)
    features = build_features(bars, calendar_for("^GSPC"))
    np.testing.assert_allclose(features["atr_14"] * close, talib.ATR(*arrays, 14), **options)
    np.testing.assert_allclose(features["momentum_22"], np.log1p(talib.ROCP(arrays[2], 22)), **options)
    np.testing.assert_allclose(features["price_to_ma50"], arrays[2] / talib.SMA(arrays[2], 50) - 1, **options)
    daily = talib.VAR(features["log_returns"].to_numpy()[1:], 20) * 252 * 20 / 19
    np.testing.assert_allclose(features["vol_20d"].iloc[1:], np.sqrt(daily), **options)


@pytest.mark.parametrize("name", ["sp500_bars", "nasdaq_bars"])
def test_partial_autocorrelations_equal_statsmodels(name, request):
    from statsmodels.tsa.stattools import pacf

    values = np.log(variance.garman_klass(request.getfixturevalue(name)).to_numpy())
    expected = pacf(values, nlags=30, method="ldb")[1:]
    np.testing.assert_allclose(partial_autocorrelations(values, 30), expected, rtol=0, atol=1e-12)
