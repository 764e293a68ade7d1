"""Covariates: a row holds the last close known at its own close, by the exchanges' hours, and nothing later."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from volassets.features.covariates import Covariate, columns_of, covariate_columns, is_early, lead
from volassets.features.feature_table import build_features
from volassets.market.bundled import BundledSource
from volassets.market.calendar import calendar_for, covariate_calendar, named_calendar

HOURS = {
    "XNYS": ("America/New_York", timedelta(hours=16)),
    "XTKS": ("Asia/Tokyo", timedelta(hours=15, minutes=30)),
    "XETR": ("Europe/Berlin", timedelta(hours=17, minutes=30)),
    "XCBF": ("America/Chicago", timedelta(hours=15, minutes=15)),
    "24/7": ("UTC", timedelta(hours=24)),
}


@pytest.fixture(scope="module")
def vix() -> pd.DataFrame:
    return BundledSource().fetch("^VIX")


def series(days: pd.DatetimeIndex, seed: int = 1) -> pd.DataFrame:
    """Return closes of a random walk."""
    close = 20 * np.exp(np.cumsum(0.05 * np.random.default_rng(seed).standard_normal(len(days))))
    return pd.DataFrame({"adj_close": close}, index=days)


def closing(day: pd.Timestamp, calendar: str) -> datetime:
    zone, hours = HOURS[calendar]
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    # Wall clock: the day of a change of time has 23 or 25 hours.
    return (midnight.replace(tzinfo=None) + hours).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("own", "other", "days_behind"),
    [("XNYS", "XTKS", 0), ("XTKS", "XNYS", 1), ("XNYS", "XCBF", 1), ("XNYS", "XNYS", 0), ("XETR", "24/7", 1)],
)
def test_a_row_holds_the_last_close_not_after_its_own(own: str, other: str, days_behind: int) -> None:
    """Against a plain loop over clocks, across both changes of time of 2018."""
    index = named_calendar(own).sessions("2018-02-20", "2018-11-20")
    bars = series(named_calendar(other).sessions("2018-02-01", "2018-11-20"))
    found = covariate_columns([Covariate("^X", bars, other)], index, named_calendar(own))["cov_x_change"]
    changes = np.log(bars["adj_close"]).diff()
    behind = []
    for day, value in zip(index, found, strict=True):
        known = [then for then in bars.index if closing(then, other) <= closing(day, own)]
        assert value == changes[known[-1]]
        behind.append((day - known[-1]).days)
    assert int(np.median(behind)) == days_behind


def test_nothing_later_enters(vix: pd.DataFrame, sp500_bars: pd.DataFrame) -> None:
    bars, calendar = sp500_bars["2014-06":], calendar_for("^GSPC")
    covariate = Covariate("^VIX", vix, "XNYS")
    whole = build_features(bars, calendar, covariates=[covariate])
    names = [feature.name for feature in columns_of(["^VIX"])]
    assert list(whole.columns[-3:]) == names
    assert np.isfinite(whole[names]).all(axis=None)
    assert (whole[names] != 0).mean().min() > 0.9
    plain = build_features(bars, calendar)
    assert plain.equals(whole[plain.columns])
    for cut in (50, 51, 700):
        day = bars.index[cut - 1]
        known = Covariate("^VIX", vix[:day], "XNYS")
        part = build_features(bars.iloc[:cut], calendar, covariates=[known])
        assert part[names].equals(whole[names].iloc[:cut])


def test_what_is_unknown_or_old_is_neutral(vix: pd.DataFrame) -> None:
    calendar = named_calendar("XNYS")
    index = calendar.sessions("2013-12-20", "2019-02-01")
    found = pd.DataFrame(covariate_columns([Covariate("^VIX", vix, "XNYS")], index, calendar), index)
    assert (found[:"2014-01-02"] == 0).all(axis=None)
    assert found.loc["2014-01-03", "cov_vix_change"] == 0
    # It ends on 2019-01-03.
    assert (found.loc["2019-01-03":"2019-01-11", "cov_vix_change"] == found.loc["2019-01-03", "cov_vix_change"]).all()
    assert (found["2019-01-14":] == 0).all(axis=None)
    empty = covariate_columns([Covariate("^VIX", vix.iloc[:0], "XNYS")], index, calendar)
    assert not np.any(list(empty.values()))


def test_the_level_is_the_deviation_from_all_values_so_far(vix: pd.DataFrame) -> None:
    found = covariate_columns([Covariate("^VIX", vix, "XNYS")], pd.DatetimeIndex(vix.index), named_calendar("XNYS"))
    logs = np.log(vix["adj_close"].to_numpy())
    assert found["cov_vix_level"][700] == pytest.approx(logs[700] - logs[:701].mean(), abs=1e-12)
    assert found["cov_vix_change_5"][700] == pytest.approx(logs[700] - logs[695], abs=1e-12)


def test_cboe_s_indices_close_after_the_stocks_unless_the_setting_says_otherwise() -> None:
    assert covariate_calendar("^VIX").name == "XCBF"
    assert covariate_calendar("^VIX", {"^VIX": "XNYS"}).name == "XNYS"
    assert covariate_calendar("^N225").name == "XTKS"


def test_a_series_dated_a_day_early_is_known_by_the_returns_that_follow_it(
    vix: pd.DataFrame, sp500_bars: pd.DataFrame
) -> None:
    calendar = calendar_for("^GSPC")

    def judged(bars: pd.DataFrame) -> bool:
        return is_early(*lead(Covariate("^VIX", bars, "XNYS"), sp500_bars, calendar))

    assert not judged(vix)
    assert judged(dated(vix, -1))
    assert not judged(dated(vix, 1))
    assert not is_early(*lead(Covariate("^VIX", vix[:200], "XNYS"), sp500_bars, calendar))


def dated(bars: pd.DataFrame, sessions: int) -> pd.DataFrame:
    """Return bars whose dates are so many of their own rows later; earlier where negative."""
    if sessions < 0:
        return bars.iloc[-sessions:].set_axis(bars.index[:sessions])
    return bars.iloc[:-sessions].set_axis(bars.index[sessions:])
