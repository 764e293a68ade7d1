"""Histories with the faults that real files have, and what becomes of them; each is generated, none is hand-picked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from exchange_calendars import get_calendar_names

from volassets.errors import InputError
from volassets.evaluation.walk_forward import target_dates
from volassets.features import variance
from volassets.features.feature_table import build_features
from volassets.market.bar_errors import check_bars, require_valid
from volassets.market.calendar import calendar_for, named_calendar
from volassets.market.findings import Finding
from volassets_tests.conftest import simulate_bars

LATER = pd.Timestamp("2026-11-25 13:30", tz="UTC")


def on(days: pd.DatetimeIndex, seed: int = 5) -> pd.DataFrame:
    """Return simulated bars on `days`."""
    return simulate_bars(len(days), seed).set_axis(pd.DatetimeIndex(days, name="date").as_unit("ns"))


def sessions(ticker: str, first: str, last: str) -> pd.DatetimeIndex:
    return calendar_for(ticker).sessions(first, last)


def checked(ticker: str, bars: pd.DataFrame, now: pd.Timestamp = LATER) -> tuple[pd.DataFrame, dict[str, Finding]]:
    bars, findings = check_bars(ticker, bars, calendar_for(ticker), now, "gk_overnight")
    return bars, {finding.check: finding for finding in findings}


def targets_of(bars: pd.DataFrame, ticker: str) -> dict[pd.Timestamp, pd.Timestamp]:
    index = pd.DatetimeIndex(bars.index)
    return target_dates(index, index, calendar_for(ticker))


@pytest.mark.parametrize("name", get_calendar_names(include_aliases=False))
def test_every_calendar_of_the_library_is_built(name: str) -> None:
    calendar = named_calendar(name)
    assert calendar.recorded[0] < pd.Timestamp("2022-01-01")
    assert calendar.recorded[1] > pd.Timestamp("2026-06-01")
    assert calendar.days.is_unique
    assert calendar.days.is_monotonic_increasing
    assert len(calendar.sessions("2023-01-01", "2023-12-31")) > 230
    assert calendar.closed(pd.Timestamp("2024-01-10"), pd.Timestamp("2024-01-11 12:00", tz="UTC"))
    assert not calendar.closed(pd.Timestamp("2024-01-10"), pd.Timestamp("2024-01-10 02:00", tz="UTC"))


@pytest.mark.parametrize(
    ("name", "day", "session"),
    [
        ("ASEX", "2024-05-03", False),  # Orthodox Good Friday
        ("ASEX", "2024-05-02", True),
        ("XBSE", "2025-04-21", False),  # Orthodox Easter Monday
        ("XTAE", "2025-11-30", True),  # a Sunday before the change of week
        ("XTAE", "2026-03-01", False),  # one after it
        ("XTAE", "2026-01-09", True),  # a Friday after it
        ("XBOM", "2024-01-20", True),  # special Saturday
        ("XKRX", "1998-03-07", True),  # Saturdays of Seoul until December 1998
        ("XKRX", "1999-03-06", False),
    ],
)
def test_sessions_that_newer_pandas_lost(name: str, day: str, session: bool) -> None:
    assert (pd.Timestamp(day) in named_calendar(name).days) is session


def test_the_next_stored_bar_is_the_next_session_outside_a_calendars_record() -> None:
    holidays = pd.DatetimeIndex(["1987-11-26", "1987-12-25"])
    bars = on(pd.bdate_range("1984-01-03", "1988-03-31").difference(holidays))
    bars, found = checked("IDX", bars)
    targets = targets_of(bars, "IDX")
    assert targets[pd.Timestamp("1987-11-25")] == pd.Timestamp("1987-11-27")
    assert targets[pd.Timestamp("1988-03-31")] == pd.Timestamp("1988-04-01")
    assert "recorded from 1990-01-01" in found["calendar_ends"].message
    riyadh = pd.bdate_range("2016-01-03", "2021-03-01", freq="C", weekmask="Sun Mon Tue Wed Thu")
    feast = pd.date_range("2019-05-31", "2019-06-08")
    bars, found = checked("1120.SR", on(riyadh.difference(feast)))
    assert targets_of(bars, "1120.SR")[pd.Timestamp("2019-05-30")] == pd.Timestamp("2019-06-09")
    assert "calendar_ends" in found
    assert not {"off_calendar", "missing_sessions"} & set(found)


def test_the_end_of_a_calendars_record_is_named_when_forecasts_reach_it() -> None:
    for last, near in (("2026-11-20", False), ("2026-12-10", True)):
        bars = on(sessions("600000.SS", "2023-01-01", last))
        _, found = checked("600000.SS", bars, pd.Timestamp(last, tz="UTC") + pd.Timedelta(hours=12))
        assert ("calendar_ends" in found) is near
    assert "to 2026-12-31" in found["calendar_ends"].message


def test_short_sunday_bars_belong_to_monday() -> None:
    weekdays = pd.bdate_range("2021-01-04", "2023-12-29")
    evenings = weekdays[weekdays.day_of_week == 0] - pd.Timedelta(days=1)
    whole = on(weekdays)
    evening = whole.loc[evenings + pd.Timedelta(days=1)].set_axis(evenings)
    evening = evening.assign(high=1.5 * evening["open"], low=evening["open"], close=evening["open"], volume=0.0)
    split = pd.concat([whole, evening]).sort_index()
    bars, found = checked("AUDUSD=X", split)
    assert bars.index.equals(whole.index)
    mondays = bars.index.day_of_week == 0
    np.testing.assert_array_equal(bars["high"][mondays], np.maximum(whole["high"], whole["open"] * 1.5)[mondays])
    np.testing.assert_array_equal(bars["close"], whole["close"])
    np.testing.assert_array_equal(bars["volume"][~mondays], whole["volume"][~mondays])
    assert f"{len(evenings)} bars of Sundays are merged" in found["off_calendar"].message
    assert "24/7" not in found["off_calendar"].message
    targets = list(targets_of(bars, "AUDUSD=X").values())
    assert len(set(targets)) == len(targets)
    # A Sunday whose Monday is not there yet waits for it.
    waiting, _ = checked("AUDUSD=X", split.loc[:"2023-12-10"], pd.Timestamp("2023-12-11 06:00", tz="UTC"))
    assert waiting.index[-1] == pd.Timestamp("2023-12-08")


def test_special_saturdays_are_sessions_where_a_bar_is() -> None:
    special = pd.DatetimeIndex(["2019-10-27", "2020-11-14", "2021-11-06", "2020-02-01", "2024-03-02"])
    bars = on(sessions("M&M.NS", "2019-01-01", "2024-06-28").union(special))
    bars, found = checked("M&M.NS", bars)
    assert special.isin(bars.index).all()
    assert not {"off_calendar", "guessed_calendar"} & set(found)
    targets = targets_of(bars, "M&M.NS")
    assert targets[pd.Timestamp("2020-01-31")] == pd.Timestamp("2020-02-01")
    assert len(set(targets.values())) == len(targets)


def test_advice_of_a_calendar_is_around_the_clock_only_with_most_weekends() -> None:
    daily = on(pd.date_range("2020-01-01", "2022-12-31"))
    assert '"24/7"' in checked("SOL", daily)[1]["off_calendar"].message
    sunday_to_thursday = pd.bdate_range("2020-01-01", "2022-12-31", freq="C", weekmask="Sun Mon Tue Wed Thu")
    message = checked("SOMETHING", on(sunday_to_thursday))[1]["off_calendar"].message
    assert '"another calendar"' in message
    assert "24/7" not in message


@pytest.mark.parametrize(
    ("ticker", "guessed"), [("ABC.QQ", True), ("BRK.B", False), ("SAP.DE", False), ("^TASI.SR", False), ("BCH", False)]
)
def test_an_unknown_suffix_is_a_finding(ticker: str, guessed: bool) -> None:
    bars = on(sessions(ticker, "2021-06-01", "2024-06-01"))
    assert ("guessed_calendar" in checked(ticker, bars)[1]) is guessed


@pytest.mark.parametrize(
    ("ticker", "now", "kept"),
    [
        ("TDAY", "2026-11-24 20:59", False),  # New York closes at 21:00 UTC
        ("TDAY", "2026-11-24 21:00", True),
        ("7203.T", "2026-11-24 06:29", False),
        ("7203.T", "2026-11-24 06:30", True),
        ("BTC-USD", "2026-11-24 23:59", False),
        ("BTC-USD", "2026-11-25 00:00", True),
        ("SAP.DE", "2026-11-24 12:00", False),
    ],
)
def test_the_bar_of_an_open_session_is_left_out(ticker: str, now: str, kept: bool) -> None:
    bars = on(sessions(ticker, "2024-01-01", "2026-11-24"))
    prepared, found = checked(ticker, bars, pd.Timestamp(now, tz="UTC"))
    assert prepared.equals(bars if kept else bars.iloc[:-1])
    assert ("unfinished_session" in found) is not kept


@pytest.mark.parametrize(("ticker", "now", "wrong"), [
    ("TDAY", "2026-11-25 13:30", True), ("TDAY", "2026-11-26 04:59", True), ("TDAY", "2026-11-26 05:00", False),
    ("7203.T", "2026-11-25 14:59", True), ("7203.T", "2026-11-25 15:00", False),
])  # fmt: skip
def test_the_bar_of_tomorrow_is_an_error(ticker: str, now: str, wrong: bool) -> None:
    days = sessions(ticker, "2024-01-01", "2026-11-25").append(pd.DatetimeIndex(["2026-11-26"]))
    _, found = checked(ticker, on(days), pd.Timestamp(now, tz="UTC"))
    assert ("future_dates" in found) is wrong


@pytest.mark.parametrize(
    ("days", "kind"),
    [
        (pd.date_range("2004-01-02", periods=1070, freq="W-FRI"), "7 days apart, weekly"),
        (pd.date_range("2004-01-05", periods=400, freq="14D"), "14 days apart, weekly"),
        (pd.date_range("1990-01-01", periods=400, freq="BMS"), "monthly"),
    ],
)
def test_bars_of_weeks_and_months_are_refused(days: pd.DatetimeIndex, kind: str) -> None:
    _, found = checked("WKLY", on(days))
    assert kind in found["irregular_spacing"].message
    with pytest.raises(InputError, match="Daily bars are needed"):
        require_valid("WKLY", list(found.values()))


@pytest.mark.parametrize("months", [1, 6, 13, 30])
def test_a_halted_history_is_daily(months: int) -> None:
    days = sessions("600999.SS", "2012-07-02", "2018-08-31")
    halt = (days >= "2015-12-21") & (days < pd.Timestamp("2015-12-21") + pd.DateOffset(months=months))
    _, found = checked("600999.SS", on(days[~halt]))
    assert "irregular_spacing" not in found
    assert "trading_halt" in found


def test_a_thinly_traded_history_is_daily() -> None:
    days = sessions("X", "2012-07-02", "2018-08-31")
    traded = np.random.default_rng(1).random(len(days)) < 0.7
    assert "irregular_spacing" not in checked("X", on(days[traded]))[1]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (lambda b: b.assign(low=b["low"].mask(b.index == DAY, b["close"] * 1.003)), False),
        (lambda b: b.assign(high=b["high"].mask(b.index == DAY, b[["open", "close"]].max(axis=1) * 0.992)), False),
        (lambda b: b.assign(low=b["low"].mask(b.index == DAY, b["close"] * 1.012)), True),
    ],
)
def test_a_range_off_by_less_than_one_percent_is_widened(
    change: Callable[[pd.DataFrame], pd.DataFrame], refused: bool
) -> None:
    clean = on(sessions("000020.KS", "2019-01-02", "2024-06-28"))
    bars, found = checked("000020.KS", change(clean))
    if refused:
        assert "2024-01-15" in found["impossible_bars"].message
        assert "start_date" in found["impossible_bars"].message
        return
    assert "impossible_bars" not in found
    assert found["widened_ranges"].rows["date"].tolist() == [DAY]
    assert bars.loc[DAY, "low"] <= bars.loc[DAY, ["open", "close"]].min()
    assert bars.loc[DAY, "high"] >= bars.loc[DAY, ["open", "close"]].max()
    assert bars.drop(DAY).equals(clean.drop(DAY))


DAY = pd.Timestamp("2024-01-15")


def test_filled_holidays_are_left_out_and_counted() -> None:
    days = sessions("GGAL.BA", "2019-01-02", "2024-06-28")
    clean = on(days)
    holidays = pd.bdate_range(days[0], days[-1]).difference(days)
    filled = clean.reindex(days.union(holidays)).ffill()
    flat = filled.index.isin(holidays)
    filled.loc[flat, ["open", "high", "low"]] = filled.loc[flat, ["close"]].to_numpy()
    filled.loc[flat, "volume"] = 0.0
    bars, found = checked("GGAL.BA", filled)
    assert bars.equals(clean)
    assert f"{len(holidays)} days without a session of XBUE" in found["filled_holidays"].message
    # A quiet day of a session stays, and so does a holiday on which something was traded.
    quiet = filled.copy()
    quiet.loc[holidays[3], "volume"] = 10.0
    assert holidays[3] in checked("GGAL.BA", quiet)[0].index


def test_missing_volumes_are_accepted_with_a_warning() -> None:
    bars = on(sessions("IDX", "2019-01-02", "2024-06-28"))
    bars.iloc[[293, 294], 5] = np.nan
    prepared, found = checked("IDX", bars)
    assert (prepared["volume"].iloc[[293, 294]] == 0).all()
    assert "2 volumes are missing" in found["no_volume"].message
    assert not [finding for finding in found.values() if finding.severity == "error"]


def test_the_floor_does_not_follow_a_devaluation() -> None:
    rng = np.random.default_rng(3)
    bars = on(sessions("ARS=X", "2019-06-03", "2024-06-28")).drop(columns="volume")
    level = np.log(bars["adj_close"])
    bars = np.exp((np.log(bars) - level.iloc[0]) / 20).mul(180)
    bars.loc["2023-12-13":] *= 2.18
    bars.loc["2023-12-13", ["open", "low"]] /= 2.18
    bars = bars.assign(adj_close=bars["close"], volume=rng.integers(0, 2, len(bars)).astype(float))
    table = build_features(bars, calendar_for("ARS=X"))
    raw = variance.garman_klass_yang_zhang(bars)
    later = table.loc["2023-12-14":"2024-04-01", "proxy_variance"]
    np.testing.assert_allclose(later, raw.loc[later.index], rtol=1e-12)
    assert raw.loc["2023-12-13"] > 100 * later.max()


def test_prices_of_few_ticks_say_how_many_returns_are_zero() -> None:
    bars = on(sessions("8300.HK", "2019-01-02", "2024-06-28"))
    ticks = (bars[["open", "high", "low", "close"]] / bars["close"].iloc[0] * 0.25 / 0.005).round() * 0.005
    coarse = bars.assign(**ticks, adj_close=ticks["close"])
    message = checked("8300.HK", coarse)[1]["tick_size"].message
    zero = int((ticks["close"].diff() == 0).sum())
    assert f"{zero} of {len(bars) - 1} returns are zero" in message
    assert "a step of the price is 0.005" in message
