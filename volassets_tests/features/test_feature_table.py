"""The feature table: timing, warm-up, and values on bars that hold nothing."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.features.base_series import RELATIVE_FLOOR, floored
from volassets.features.catalogue import catalogue, longest_warm_up, outcomes
from volassets.features.feature_table import build_features
from volassets.features.targets import proxy_ratio
from volassets.market.calendar import calendar_for

CALENDAR = calendar_for("^GSPC")


def assert_same_bits(left: pd.DataFrame, right: pd.DataFrame) -> None:
    assert left.index.equals(right.index)
    differing = [name for name in right if left[name].to_numpy().tobytes() != right[name].to_numpy().tobytes()]
    assert not differing


@pytest.mark.parametrize(
    ("name", "proxy"),
    [("sp500_bars", "gk_overnight"), ("nasdaq_bars", "gk_overnight"), ("nasdaq_bars", "squared_return")],
)
def test_truncated_bars_give_the_same_rows_bit_for_bit(name, proxy, request):
    bars = request.getfixturevalue(name)
    full = build_features(bars, CALENDAR, proxy=proxy)
    cuts = np.random.default_rng(len(name) + len(proxy)).integers(1, len(bars), 50)
    for cut in (1, 2, 67, *cuts):
        assert_same_bits(build_features(bars.iloc[:cut], CALENDAR, proxy=proxy), full.iloc[:cut])


@pytest.mark.parametrize("replacement", ["noise", "constant"])
def test_other_bars_after_t_change_nothing_up_to_t(nasdaq_bars, simulated_bars, replacement):
    full = build_features(nasdaq_bars, CALENDAR)
    for cut in (300, 2500, 4999):
        other = nasdaq_bars.copy()
        n = len(other) - cut
        other.iloc[cut:] = simulated_bars(n, cut).to_numpy() if replacement == "noise" else other.iloc[cut].to_numpy()
        table = build_features(other, CALENDAR)
        assert_same_bits(table.iloc[:cut], full.iloc[:cut])
        assert not table.iloc[cut:].equals(full.iloc[cut:])


@pytest.mark.parametrize("name", ["sp500_bars", "nasdaq_bars"])
@pytest.mark.parametrize("proxy", ["gk_overnight", "squared_return"])
def test_columns_are_empty_in_their_declared_warm_up_and_nowhere_else(name, proxy, request):
    bars = request.getfixturevalue(name)
    table = build_features(bars, CALENDAR, proxy=proxy)
    declared = (*catalogue(), *outcomes())
    assert list(table) == [feature.name for feature in declared]
    assert len(catalogue()) >= 40
    assert (table.dtypes == np.float64).all()
    position = np.arange(len(bars))
    for feature in declared:
        # the ratio's warm-up is a month, not a number of rows
        warm_up = 19 if feature.name == "ratio" else feature.warm_up
        np.testing.assert_array_equal(np.isfinite(table[feature.name]), position >= warm_up, err_msg=feature.name)


def test_twenty_years_take_well_under_a_second(sp500_bars):
    build_features(sp500_bars, CALENDAR)
    start = time.process_time()
    build_features(sp500_bars, CALENDAR)
    assert time.process_time() - start < 0.5


def test_close_only_bars_work_with_the_squared_return(sp500_bars):
    close = sp500_bars["adj_close"]
    bars = pd.DataFrame(dict.fromkeys(["open", "high", "low", "close", "adj_close"], close)).assign(volume=0.0)
    table = build_features(bars, CALENDAR, proxy="squared_return")
    assert np.isfinite(table.iloc[longest_warm_up() :].to_numpy()).all()
    squared = table["return"] ** 2
    moved = squared > RELATIVE_FLOOR * squared.where(squared > 0).rolling(66, min_periods=1).median()
    assert moved.mean() > 0.9
    np.testing.assert_array_equal(table["proxy_variance"][moved], squared[moved])
    np.testing.assert_array_equal(table["log_gk"], table["log_proxy"])


def test_the_floor_leaves_real_ranges_alone(sp500_bars, nasdaq_bars):
    from volassets.features.variance import garman_klass_yang_zhang

    for bars in (sp500_bars, nasdaq_bars):
        np.testing.assert_array_equal(
            build_features(bars, CALENDAR)["proxy_variance"], garman_klass_yang_zhang(bars).to_numpy()
        )


def test_the_floor_follows_the_level_and_no_jump():
    values = pd.Series([np.nan, 0.0, 2e-4, 0.0])
    expected = [np.nan, 1e-10, 2e-4, RELATIVE_FLOOR * 2e-4]
    np.testing.assert_allclose(floored(values), expected, rtol=1e-12)
    quiet = pd.Series(1e-6 * np.random.default_rng(2).chisquare(3, 300))
    jump = quiet.where(quiet.index != 150, 0.6)
    np.testing.assert_allclose(floored(jump).drop(150), floored(quiet).drop(150), rtol=0.1)
    assert (floored(jump) == jump).mean() > 0.98


def test_the_ratio_is_the_months_own(sp500_bars):
    table = build_features(sp500_bars, CALENDAR)
    for month in ("1999-02", "2008-09", "2018-12"):
        expected = proxy_ratio(table["return"], table["proxy_variance"], pd.Timestamp(month))
        assert (table.loc[month, "ratio"] == expected).all()
    assert 1 / table["ratio"].iloc[-1] == pytest.approx(0.62, abs=0.005)


def test_dividends_and_later_adjustments_change_no_feature(simulated_bars):
    bars = simulated_bars(300, 5)
    paid = bars.copy()
    paid.loc[paid.index[150] :, ["open", "high", "low", "close"]] *= 0.97
    rescaled = paid.assign(adj_close=bars["adj_close"] * 0.25)
    expected = build_features(bars, CALENDAR).drop(columns=["vwap", "price_to_vwap"])
    table = build_features(rescaled, CALENDAR).drop(columns=["vwap", "price_to_vwap"])
    pd.testing.assert_frame_equal(table, expected, rtol=1e-9, atol=1e-12)


def test_the_calendar_columns_speak_of_the_next_session(sp500_bars):
    table = build_features(sp500_bars, CALENDAR)
    friday = table.loc["2018-12-28"]
    assert (friday["next_monday"], friday["next_friday"], friday["next_gap"], friday["next_month"]) == (1, 0, 3, 0)
    # New Year's Day is a holiday, so the last bar looks past the end of the data
    last = table.loc["2018-12-31"]
    assert (last["next_monday"], last["next_friday"], last["next_gap"], last["next_month"]) == (0, 0, 2, 1)


def test_lagged_returns_follow_the_setting(simulated_bars):
    table = build_features(simulated_bars(120, 3), CALENDAR, lags=(4,))
    assert [name for name in table if name.startswith("ret_lag_")] == ["ret_lag_4"]
    np.testing.assert_array_equal(table["ret_lag_4"].iloc[5:], table["return"].iloc[1:-4])


@pytest.mark.parametrize(("column", "value"), [("open", 0.0), ("close", np.nan), ("volume", -1.0), ("high", np.inf)])
def test_unusable_bars_are_refused_with_their_date(simulated_bars, column, value):
    bars = simulated_bars(100, 4)
    bars.loc[bars.index[7], column] = value
    with pytest.raises(InputError, match=f"{bars.index[7]:%Y-%m-%d}"):
        build_features(bars, CALENDAR)


def test_disordered_bars_and_unknown_proxies_are_refused(simulated_bars):
    bars = simulated_bars(100, 4)
    with pytest.raises(InputError, match="increasing"):
        build_features(bars.iloc[::-1], CALENDAR)
    with pytest.raises(InputError, match="'realised' is unknown"):
        build_features(bars, CALENDAR, proxy="realised")
