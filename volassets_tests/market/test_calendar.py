"""Sessions: holidays, guesses, overrides, coverage."""

from __future__ import annotations

import time

import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.market.calendar import calendar_for, guess_calendar, named_calendar


@pytest.mark.parametrize(
    ("ticker", "day", "following"),
    [
        ("^GSPC", "2018-03-29", "2018-04-02"),  # Thursday before Good Friday
        ("^GSPC", "2016-07-01", "2016-07-05"),  # Friday before Independence Day
        ("^GSPC", "2001-09-10", "2001-09-17"),  # closed after the attacks
        ("^GSPC", "2012-10-26", "2012-10-31"),  # hurricane
        ("^GSPC", "2018-12-04", "2018-12-06"),  # day of mourning
        ("^GSPC", "2018-12-31", "2019-01-02"),
        ("^GSPC", "2018-03-31", "2018-04-02"),  # from a Saturday
        ("SAP.DE", "2018-04-30", "2018-05-02"),
        ("7203.T", "2019-04-26", "2019-05-07"),  # ten days of holiday
        ("BTC-USD", "2018-03-30", "2018-03-31"),
        ("EURUSD=X", "2018-03-29", "2018-03-30"),
        ("EURUSD=X", "2018-03-30", "2018-04-02"),
        ("^GSPC", "1985-01-04", "1985-01-07"),  # before the record: the working week
    ],
)
def test_next_session(ticker: str, day: str, following: str) -> None:
    calendar = calendar_for(ticker, {})
    assert calendar.next_session(pd.Timestamp(day)) == pd.Timestamp(following)
    assert calendar.next_sessions(pd.DatetimeIndex([day]))[0] == pd.Timestamp(following)


@pytest.mark.parametrize(
    ("ticker", "name"),
    [
        ("AAPL", "XNYS"), ("BRK-B", "XNYS"), ("^VIX", "XNYS"), ("^FTSE", "XLON"), ("^N225", "XTKS"), ("VOD.L", "XLON"),
        ("NESN.SW", "XSWX"), ("0700.HK", "XHKG"), ("RELIANCE.NS", "XBOM"), ("ETH-EUR", "24/7"), ("BTCUSD", "24/7"),
        ("DOGE-USDT", "24/7"), ("EURUSD", "24/5"), ("JPY=X", "24/5"), ("ES=F", "CMES"), ("WHAT.UNKNOWN", "XNYS"),
        ("BCH", "XNYS"), ("SOL", "XNYS"), ("BCH-USD", "24/7"), ("^TASI.SR", "XSAU"),
        ("^SET.BK", "XBKK"), ("^JN0U.JO", "XJSE"), ("^NSEBANK", "XBOM"), ("^KS200", "XKRX"), ("^HSCE", "XHKG"),
        ("^OMXC25", "XCSE"), ("^FTAS", "XLON"), ("^DJI", "XNYS"), ("2222.SR", "XSAU"), ("BRK.B", "XNYS"),
        ("M&M.NS", "XBOM"),
        ("aapl", "XNYS"), ("btc-usd", "24/7"),
    ],
)  # fmt: skip
def test_guess(ticker: str, name: str) -> None:
    assert guess_calendar(ticker) == name


def test_override_wins_and_a_wrong_one_is_refused() -> None:
    assert calendar_for("AAPL", {"AAPL": "24/7"}).next_session(pd.Timestamp("2018-03-30")) == pd.Timestamp("2018-03-31")
    assert calendar_for("AAPL", {"MSFT": "24/7"}).name == "XNYS"
    with pytest.raises(InputError, match=r"calendars\.AAPL = 'NYSEX'"):
        calendar_for("AAPL", {"AAPL": "NYSEX"})


@pytest.mark.parametrize("name", ["XNYS", "24/7", "XTKS", "XSES", "ASEX", "XSAU"])
def test_coverage_is_1990_to_2049_whenever_it_is_built(name: str) -> None:
    days = named_calendar(name).days
    assert days.is_monotonic_increasing
    assert days.is_unique
    assert days[0] <= pd.Timestamp("1990-01-03")
    assert pd.Timestamp("2049-12-28") <= days[-1] <= pd.Timestamp("2049-12-31")


def test_the_bundled_history_has_exactly_the_calendars_sessions(sp500_bars: pd.DataFrame) -> None:
    calendar = named_calendar("XNYS")
    index = sp500_bars.index
    assert calendar.sessions(index[0], index[-1]).equals(pd.DatetimeIndex(index, freq=None).as_unit("ns"))
    following = calendar.next_sessions(index)
    assert list(following[:-1]) == list(index[1:])
    assert list(following) == [calendar.next_session(day) for day in index]


def test_next_session_is_fast() -> None:
    calendar, day = named_calendar("XNYS"), pd.Timestamp("2018-03-29")
    calendar.next_session(day)
    began = time.perf_counter()
    for _ in range(10_000):
        calendar.next_session(day)
    assert time.perf_counter() - began < 1
