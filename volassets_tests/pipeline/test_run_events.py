"""Violations of value at risk on the newest day, and prices that are old."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from volassets.pipeline.context import Context
from volassets.pipeline.run_events import stale_prices, violations
from volassets.settings import load_settings
from volassets.warehouse.store import Replacement, Upsert, open_warehouse
from volassets_tests.warehouse.frames import cells, forecast_rows

DAYS = pd.DatetimeIndex(["2016-01-07", "2016-01-08", "2016-01-11"], name="date")


@pytest.fixture
def settings(tmp_path: Path):
    return load_settings(tmp_path / "home", {"tickers": ("AAA", "BBB"), "source": "yfinance"}, environment={})


def fill(settings, returns: dict[str, float], limit: float = -0.02, tail: str = "lower") -> None:
    store, month = open_warehouse(settings), pd.Timestamp("2016-01-01")
    for ticker, outcome in returns.items():
        bars = pd.DataFrame(dict.fromkeys(["open", "high", "low", "close", "adj_close"], 100.0), index=DAYS)
        bars = bars.assign(volume=1.0, ticker=ticker, source="yfinance", fetched_at=pd.Timestamp("2016-01-12"))
        features = pd.DataFrame({"ticker": ticker, "return": [0.0, -0.09, outcome], "data_hash": "h"}, index=DAYS)
        forecasts = forecast_rows(ticker=ticker, n=6).assign(target_date=lambda rows: rows["target_date"])
        risk = pd.DataFrame(
            {
                "ticker": ticker, "refit_month": month, "model": "gjr", "horizon": 1, "level": [0.01, 0.05],
                "tail": tail, "origin_date": DAYS[1], "target_date": DAYS[2], "value_at_risk": [1.5 * limit, limit],
                "expected_shortfall": 2 * limit, "method": "historical", "data_hash": "h",
            }
        )  # fmt: skip
        store.write(
            Upsert("raw_prices", bars.reset_index()),
            Replacement("realized_vol_features", features.reset_index(), pd.DataFrame({"ticker": [ticker]})),
            Replacement("garch_forecasts", forecasts, cells(forecasts)),
            Replacement("risk_forecasts", risk, cells(risk)),
        )


def test_a_return_beyond_the_newest_value_at_risk_is_reported_by_level(settings):
    fill(settings, {"AAA": -0.025, "BBB": -0.01})
    with Context(settings) as context:
        (line,) = violations(context, ["AAA", "BBB"])
        assert line == "AAA 2016-01-11: return -2.50% beyond the 5.0% value at risk -2.00% of gjr"
        assert not violations(context, ["BBB"])


def test_a_rise_violates_the_upper_tail(settings):
    fill(settings, {"AAA": 0.05}, limit=0.02, tail="upper")
    with Context(settings) as context:
        assert len(violations(context, ["AAA"])) == 2


def test_downloaded_prices_are_old_after_five_closed_sessions_and_files_never(settings):
    fill(settings, {"AAA": 0.0})
    for day, reported in ((20, False), (21, True)):
        with Context(settings, now=datetime(2016, 1, day, 3, tzinfo=UTC)) as context:
            lines = stale_prices(context, ["AAA", "BBB"])
            assert bool(lines) is reported
    assert lines == ["AAA: the newest bar is of 2016-01-11, 6 sessions old: `volassets run --ticker 'AAA'`"]
    local = load_settings(settings.home, {"source": "bundled", "tickers": ("AAA",)}, environment={})
    with Context(local, now=datetime(2020, 1, 1, tzinfo=UTC)) as context:
        assert not stale_prices(context, ["AAA"])
