"""Contract with the real yfinance over HTTP: what comes back, what is refused, what is tried again."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError, SourceError
from volassets.market.bar_errors import check_bars
from volassets.market.bars import BAR_COLUMNS
from volassets.market.calendar import named_calendar
from volassets.market.yahoo import YahooSource
from volassets_tests.conftest import simulate_bars
from volassets_tests.market.conftest import UNKNOWN, ZONE, Reply, Yahoo, chart, stamp

START, END = date(2020, 1, 2), date(2020, 3, 31)
NOW = datetime(2020, 4, 1, 15, tzinfo=UTC)


@pytest.fixture
def bars() -> pd.DataFrame:
    """62 valid bars on New York's sessions."""
    sessions = named_calendar("XNYS").sessions(START, END)
    return simulate_bars(len(sessions), seed=1).set_axis(sessions)


@pytest.fixture
def source() -> YahooSource:
    """The source with waits of milliseconds."""
    return YahooSource(START, attempts=3, first_wait=0.001, longest_wait=0.01, timeout=2, now=lambda: NOW)


def test_normal_answer_comes_back_whole(yahoo: Yahoo, source: YahooSource, bars: pd.DataFrame) -> None:
    yahoo.replies = [Reply(chart(bars))]
    fetched = source.fetch("AAPL")
    pd.testing.assert_frame_equal(fetched, bars, check_freq=False, rtol=1e-12)
    assert tuple(fetched.columns) == BAR_COLUMNS
    _, findings = check_bars("AAPL", fetched, named_calendar("XNYS"), NOW, "gk_overnight")
    assert not [finding for finding in findings if finding.severity == "error"]
    request = yahoo.asked[0]
    assert request["interval"] == "1d"
    assert pd.Timestamp(int(request["period1"]), unit="s", tz=ZONE) == pd.Timestamp(START, tz=ZONE)


def test_the_first_date_is_asked_for(yahoo: Yahoo, bars: pd.DataFrame) -> None:
    yahoo.replies = [Reply(chart(bars))]
    YahooSource(first_date=date(2019, 12, 30)).fetch("^GSPC")
    assert pd.Timestamp(int(yahoo.asked[0]["period1"]), unit="s", tz=ZONE).date() == date(2019, 12, 30)
    assert yahoo.asked[0]["symbol"] == "^GSPC"


def test_dividend_keeps_raw_and_adjusted_closes_apart(yahoo: Yahoo, source: YahooSource, bars: pd.DataFrame) -> None:
    day = bars.index[30]
    bars.loc[bars.index < day, "adj_close"] *= 0.99
    events = {"dividends": {str(stamp(day)): {"amount": 1.0, "date": stamp(day)}}}
    yahoo.replies = [Reply(chart(bars, events))]
    fetched = source.fetch("AAPL")
    np.testing.assert_array_equal(fetched["close"], bars["close"])
    np.testing.assert_allclose(fetched["adj_close"] / fetched["close"], [0.99] * 30 + [1.0] * (len(bars) - 30))


def test_split_is_adjusted_on_both_closes(yahoo: Yahoo, source: YahooSource, bars: pd.DataFrame) -> None:
    day = bars.index[30]
    events = {"splits": {str(stamp(day)): {"date": stamp(day), "numerator": 4, "denominator": 1, "splitRatio": "4:1"}}}
    yahoo.replies = [Reply(chart(bars, events))]
    pd.testing.assert_frame_equal(source.fetch("AAPL"), bars, check_freq=False)


@pytest.mark.parametrize(
    "fault",
    [
        Reply(b"Too Many Requests", 429),
        Reply(b"<html>bad gateway</html>", 502),
        Reply(b'{"chart": {"result": [', 200),
        Reply(b"Will be right back", 200),
        Reply(b"{}", 200, delay=1),
    ],
    ids=["429", "bad gateway", "malformed JSON", "maintenance", "slow"],
)
def test_passing_fault_then_success(yahoo: Yahoo, bars: pd.DataFrame, fault: Reply) -> None:
    source = YahooSource(attempts=3, first_wait=0.001, longest_wait=0.01, timeout=0.4)
    # yfinance itself repeats a refused request once, so two refusals are one attempt of ours.
    yahoo.replies = [fault, fault, Reply(chart(bars))]
    assert len(source.fetch("AAPL")) == len(bars)
    assert len(yahoo.asked) == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Reply(b"Too Many Requests", 429), r"too many requests \(429\).*Tried 3 times"),
        (Reply(b'{"chart": {"result": [', 200), "malformed.*Tried 3 times"),
        (Reply(b"<html>bad gateway</html>", 502), "malformed.*Tried 3 times"),
        (Reply(b"{}", 200, delay=1), "cannot be reached.*Tried 3 times"),
    ],
    ids=["429", "malformed JSON", "bad gateway", "slow"],
)
def test_lasting_fault_is_a_source_error(yahoo: Yahoo, fault: Reply, message: str) -> None:
    source = YahooSource(attempts=3, first_wait=0.001, longest_wait=0.01, timeout=0.3)
    yahoo.replies = [fault]
    with pytest.raises(SourceError, match=message):
        source.fetch("AAPL")
    assert len(yahoo.asked) >= 3


def test_rate_limit_on_the_time_zone_request_is_retried_too(yahoo: Yahoo, source: YahooSource) -> None:
    yahoo.zone = Reply(b"Too Many Requests", 429)
    with pytest.raises(SourceError, match="429"):
        source.fetch("AAPL")


def test_waits_grow_and_are_jittered(yahoo: Yahoo) -> None:
    yahoo.replies = [Reply(b"Too Many Requests", 429)]
    began = time.perf_counter()
    with pytest.raises(SourceError):
        YahooSource(attempts=3, first_wait=0.2).fetch("AAPL")
    assert 0.2 + 0.4 <= time.perf_counter() - began < 5


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_typo_has_its_own_error(yahoo: Yahoo, source: YahooSource, attempt: int) -> None:
    yahoo.zone, yahoo.replies = Reply(UNKNOWN, 404), [Reply(UNKNOWN, 404)]
    with pytest.raises(InputError, match=r"does not know the symbol 'APPL'.*mistyped or delisted"):
        source.fetch("APPL")


def test_delisted_symbol_has_its_own_error(yahoo: Yahoo, source: YahooSource) -> None:
    yahoo.replies = [Reply(UNKNOWN, 404)]
    with pytest.raises(InputError, match="delisted"):
        source.fetch("GONE")


def test_holidays_only_have_their_own_error(yahoo: Yahoo) -> None:
    yahoo.replies = [Reply(chart(None))]
    with pytest.raises(InputError, match="holidays only"):
        YahooSource(date(2020, 7, 3), attempts=1, now=lambda: datetime(2020, 7, 6, 12, tzinfo=UTC)).fetch("AAPL")


def test_empty_answer_has_its_own_error(yahoo: Yahoo, source: YahooSource) -> None:
    yahoo.replies = [Reply(chart(None))]
    with pytest.raises(SourceError, match=r"without a single price.*62 sessions"):
        source.fetch("AAPL")


def test_dates_before_the_listing_have_their_own_error(yahoo: Yahoo, source: YahooSource) -> None:
    error = {"code": "Bad Request", "description": "Data doesn't exist for startDate = 1, endDate = 2"}
    yahoo.replies = [Reply({"chart": {"result": None, "error": error}}, 400)]
    with pytest.raises(InputError, match="was not traded"):
        source.fetch("AAPL")


@pytest.mark.parametrize("missing", ["low", "close", "volume"])
def test_changed_columns_have_their_own_error(
    yahoo: Yahoo, source: YahooSource, bars: pd.DataFrame, missing: str
) -> None:
    yahoo.replies = [Reply(chart(bars.drop(columns=missing)))]
    with pytest.raises(SourceError, match="unknown column layout"):
        source.fetch("AAPL")


@pytest.mark.parametrize("body", [{}, {"chart": {"result": [{}], "error": None}}, [], {"chart": None}])
def test_changed_structure_is_refused(yahoo: Yahoo, source: YahooSource, body: object) -> None:
    yahoo.replies = [Reply(body)]
    with pytest.raises(SourceError):
        source.fetch("AAPL")


def test_half_filled_row_is_refused(yahoo: Yahoo, source: YahooSource, bars: pd.DataFrame) -> None:
    bars.iloc[10, bars.columns.get_loc("low")] = np.nan
    yahoo.replies = [Reply(chart(bars))]
    with pytest.raises(SourceError, match=rf"partial.*{bars.index[10]:%Y-%m-%d}"):
        source.fetch("AAPL")


def test_many_empty_rows_are_refused_and_few_dropped(yahoo: Yahoo, source: YahooSource, bars: pd.DataFrame) -> None:
    bars.iloc[10:12] = np.nan
    yahoo.replies = [Reply(chart(bars))]
    assert len(source.fetch("AAPL")) == len(bars) - 2
    bars.iloc[10:30] = np.nan
    yahoo.replies = [Reply(chart(bars))]
    with pytest.raises(SourceError, match=r"partial.*20 rows"):
        source.fetch("AAPL")


def test_cut_answers_are_refused(yahoo: Yahoo, source: YahooSource, bars: pd.DataFrame) -> None:
    meta = {"firstTradeDate": stamp(pd.Timestamp("1999-01-04")), "regularMarketTime": stamp(pd.Timestamp(END))}
    yahoo.replies = [Reply(chart(bars.iloc[20:], meta=meta))]
    with pytest.raises(SourceError, match=r"partial: it begins.*20 sessions late"):
        source.fetch("AAPL")
    yahoo.replies = [Reply(chart(bars.iloc[:-20], meta=meta))]
    with pytest.raises(SourceError, match=r"partial: it ends.*20 sessions early"):
        source.fetch("AAPL")
    # A share that was listed late, or is traded no more, is whole.
    meta = {"firstTradeDate": stamp(bars.index[20]), "regularMarketTime": stamp(bars.index[-20], "16:00")}
    yahoo.replies = [Reply(chart(bars.iloc[20:-19], meta=meta))]
    assert len(source.fetch("AAPL")) == len(bars) - 39


def test_dividends_without_adjusted_closes_are_refused(yahoo: Yahoo, source: YahooSource, bars: pd.DataFrame) -> None:
    day = bars.index[30]
    events = {"dividends": {str(stamp(day)): {"amount": 1.0, "date": stamp(day)}}}
    yahoo.replies = [Reply(chart(bars, events))]
    with pytest.raises(SourceError, match="no adjusted closes"):
        source.fetch("AAPL")


@pytest.mark.parametrize(
    ("last", "now", "close", "kept"),
    [
        ("2024-06-12", "2024-06-12 15:00", "2024-06-12 16:00", False),
        ("2024-06-12", "2024-06-12 16:29", "2024-06-12 16:00", False),
        ("2024-06-12", "2024-06-12 16:30", "2024-06-12 16:00", True),
        ("2024-01-10", "2024-01-10 16:30", "2024-01-10 16:00", True),  # winter time
        ("2024-06-12", "2024-06-12 20:30", "2024-06-12 16:00", True),  # already the 13th in UTC
        ("2024-06-12", "2024-06-13 02:00", "2024-06-12 16:00", True),  # before the next session
        ("2024-06-12", "2024-06-13 02:00", "2024-06-13 16:00", True),  # Yahoo already names the next session
        ("2024-07-03", "2024-07-03 13:30", "2024-07-03 13:00", True),  # early close
        ("2024-06-14", "2024-06-15 12:00", "2024-06-14 16:00", True),  # Saturday
        ("2024-02-29", "2024-02-29 12:00", "2024-02-29 16:00", False),
    ],
)
def test_running_session_is_left_out(
    yahoo: Yahoo, bars: pd.DataFrame, last: str, now: str, close: str, kept: bool
) -> None:
    local, end = pd.Timestamp(now, tz=ZONE), pd.Timestamp(close, tz=ZONE)
    days = pd.date_range(end=last, periods=len(bars), name="date").as_unit("ns")
    period = {"start": int(end.timestamp()) - 23400, "end": int(end.timestamp()), "gmtoffset": 0, "timezone": "EST"}
    yahoo.replies = [Reply(chart(bars.set_axis(days), meta={"currentTradingPeriod": {"regular": period}}))]
    now = local.tz_convert("UTC").to_pydatetime()
    fetched = YahooSource(days[0].date(), attempts=1, timeout=2, now=lambda: now).fetch("BTC-USD")
    assert (fetched.index[-1] == days[-1]) is kept


def test_sessions_count_up_to_yesterday(yahoo: Yahoo) -> None:
    yahoo.replies = [Reply(chart(None))]
    for now, message in (("2024-07-04 15:00", "holidays only"), ("2024-07-06 03:00", r"XNYS had 1 sessions")):
        instant = pd.Timestamp(now, tz="UTC").to_pydatetime()
        source = YahooSource(date(2024, 7, 4), attempts=1, timeout=2, now=lambda instant=instant: instant)
        with pytest.raises((InputError, SourceError), match=message):
            source.fetch("AAPL")


def test_refused_before_any_request(yahoo: Yahoo, source: YahooSource) -> None:
    for ticker in ("../x", "US0378331005"):
        with pytest.raises(InputError):
            source.fetch(ticker)
    assert yahoo.asked == []


def test_no_answer_at_all(source: YahooSource, monkeypatch: pytest.MonkeyPatch, yahoo: Yahoo) -> None:
    import yfinance.base

    monkeypatch.setattr(yfinance.base, "_BASE_URL_", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match="cannot be reached"):
        source.fetch("AAPL")


def test_no_database_is_shared_between_processes(tmp_path: Path) -> None:
    program = (
        "from volassets.market.yahoo import YahooSource\n"
        "from volassets.errors import VolassetsError\n"
        "try: YahooSource(attempts=1, timeout=0.5).fetch('AAPL')\n"
        "except VolassetsError as error: print(type(error).__name__)\n"
    )
    environment = {
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "https_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "SourceError", done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
