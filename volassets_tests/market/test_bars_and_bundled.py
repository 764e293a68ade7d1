"""The bundled source and the shape of bars."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from volassets.errors import InputError
from volassets.market.bar_errors import check_bars
from volassets.market.bars import BAR_COLUMNS, as_bars, split_factor, total_return_factor
from volassets.market.bundled import BundledSource
from volassets.market.calendar import calendar_for
from volassets.market.price_source import make_source


def test_bundled_bars_are_those_of_arch(sp500_bars: pd.DataFrame, nasdaq_bars: pd.DataFrame) -> None:
    source = BundledSource()
    for ticker, expected in {"^GSPC": sp500_bars, "^IXIC": nasdaq_bars}.items():
        bars = source.fetch(ticker)
        assert tuple(bars.columns) == BAR_COLUMNS
        assert (bars.dtypes == "float64").all()
        assert bars.index.name == "date"
        assert bars.index.dtype == "datetime64[ns]"
        assert len(bars) == 5031
        np.testing.assert_array_equal(bars.to_numpy(), expected.to_numpy())


@pytest.mark.parametrize(
    ("ticker", "rows", "last", "splits"),
    [("AAPL", 3270, 430.47, 4.0), ("FB", 196, 27.78, 1.0), ("GOOG", 2148, 806.19, 1.0), ("IBM", 3270, 202.91, 1.0),
     ("MSFT", 3270, 27.95, 2.0)],
)  # fmt: skip
def test_bundled_stocks_are_quoted_prices_with_their_splits(ticker: str, rows: int, last: float, splits: float) -> None:
    bars = BundledSource().fetch(ticker)
    assert tuple(bars.columns) == BAR_COLUMNS
    assert (len(bars), bars.index[-1], bars["close"].iloc[-1]) == (rows, pd.Timestamp("2013-03-01"), last)
    assert split_factor(bars).iloc[-1] == pytest.approx(splits, rel=1e-3)
    returns = np.log(bars["adj_close"]).diff()
    assert returns.abs().nlargest(2).iloc[1] < 0.25


def test_findings_of_the_bundled_histories() -> None:
    """Each is true: opens of the S&P 500 and of early IBM bars repeat the close; range proxies of indices are small."""
    found = {}
    for ticker in ("^GSPC", "^IXIC", "AAPL", "FB", "GOOG", "IBM", "MSFT"):
        bars = BundledSource().fetch(ticker)
        now = bars.index[-1].tz_localize("UTC") + pd.Timedelta(days=1)
        kept, findings = check_bars(ticker, bars, calendar_for(ticker), now, "gk_overnight")
        assert kept.equals(bars)
        found[ticker] = [finding.check for finding in findings]
    assert found.pop("^GSPC") == ["stale_opens", "proxy_ratio"]
    assert found.pop("^IXIC") == ["proxy_ratio"]
    assert found.pop("IBM") == ["stale_opens"]
    assert not any(found.values())


def test_other_tickers_are_refused() -> None:
    with pytest.raises(InputError, match="'SPY' is not bundled"):
        BundledSource().fetch("SPY")


def test_known() -> None:
    assert BundledSource().known("^IXIC")
    assert not BundledSource().known("^ixic")


def test_missing_adjusted_close_and_volume_are_filled() -> None:
    index = pd.DatetimeIndex(["2020-01-02", "2020-01-03"])
    bars = as_bars(pd.DataFrame({"close": [1, 2], "open": [1, 2], "low": [1, 2], "high": [1, 2]}, index=index))
    assert (total_return_factor(bars) == 1).all()
    assert (bars["volume"] == 0).all()


def test_source_follows_the_settings(tmp_path) -> None:
    settings = SimpleNamespace(
        source="csv", csv_dir=str(tmp_path), proxy="gk_overnight", calendars={}, start_date=date(1999, 1, 1)
    )
    assert make_source(settings).name == "csv"
    for name in ("bundled", "yfinance"):
        settings.source = name
        assert make_source(settings).name == name
    settings.source, settings.csv_dir = "csv", ""
    with pytest.raises(InputError, match="--csv-dir"):
        make_source(settings)
    settings.source = "bloomberg"
    with pytest.raises(InputError, match="choose bundled, csv or yfinance"):
        make_source(settings)
