"""The one rule that picks the model a ticker is shown with; which newest forecasts are old, or for an assumed day."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.market.bar_errors import check_bars
from volassets.market.calendar import calendar_for
from volassets.settings import Settings
from volassets.warehouse.store import Replacement, Warehouse
from volassets_tests.conftest import simulate_bars
from volassets_tests.warehouse.frames import cells, forecast_rows, price_rows, write_features

FAMILY = {"gjr": "garch_forecasts", "har": "linear_forecasts", "combination": "combined_forecasts"}


@pytest.fixture
def days(warehouse: Warehouse, settings: Settings, sp500_bars: pd.DataFrame) -> pd.DatetimeIndex:
    """Sessions whose outcomes are stored, of ^GSPC."""
    rows = write_features(warehouse, settings, "^GSPC", sp500_bars["2015-01":"2015-06"])  # type: ignore[misc]
    return pd.DatetimeIndex(rows["date"])


def write(warehouse: Warehouse, days: pd.DatetimeIndex, model: str, errors: dict[int, float]) -> None:
    """Store forecasts whose logarithm is off by an error, by the origin's position in `days`."""
    realized = warehouse.read("realized", ticker="^GSPC", horizon=1).set_index("origin_date")["proxy_variance"]
    origins = days[list(errors)]
    variance = realized.reindex(origins).fillna(1e-4).to_numpy() * np.exp(list(errors.values()))
    frame = pd.DataFrame(
        {
            "ticker": "^GSPC",
            "refit_month": pd.Timestamp("2015-05-01"),
            "model": model,
            "origin_date": origins,
            "target_date": [days[i + 1] for i in errors],
            "horizon": 1,
            "variance": variance,
            "volatility": np.sqrt(252 * variance),
            "data_hash": "h",
        }
    )
    warehouse.write(Replacement(FAMILY[model], frame, cells(frame)))


def test_the_lowest_loss_on_shared_days_wins(warehouse: Warehouse, days: pd.DatetimeIndex) -> None:
    write(warehouse, days, "gjr", dict.fromkeys(range(60, 90), 0.3))
    # Better on every day that both have, worse in the mean over its own days.
    write(warehouse, days, "har", {i: 2.0 if i < 65 else 0.1 for i in range(50, 90)})
    write(warehouse, days, "combination", dict.fromkeys(range(65, 90), 0.2))
    (row,) = warehouse.read("headline_models").itertuples()
    assert (row.model, row.n, row.origin_date) == ("har", 24, days[89])
    assert row.qlike == pytest.approx(np.exp(-0.1) + 0.1 - 1)
    latest = warehouse.read("latest_forecasts")
    assert latest["model"].tolist() == ["har", "combination", "gjr"]
    assert latest["headline"].tolist() == [True, False, False]


def test_outcomes_after_the_newest_origin_decide_nothing(warehouse: Warehouse, days: pd.DatetimeIndex) -> None:
    """The newest forecasts' own outcome is stored, and would turn the choice."""
    write(warehouse, days, "gjr", {**dict.fromkeys(range(60, 80), 0.2), 80: 5.0})
    write(warehouse, days, "har", {**dict.fromkeys(range(60, 80), 0.3), 80: 0.0})
    assert (
        warehouse.read("realized", ticker="^GSPC", origin_date=days[80], horizon=1)["target_date"].iloc[0] == days[81]
    )
    (row,) = warehouse.read("headline_models").itertuples()
    assert (row.model, row.n) == ("gjr", 20)


def test_a_model_with_a_few_days_does_not_decide(warehouse: Warehouse, days: pd.DatetimeIndex) -> None:
    write(warehouse, days, "gjr", dict.fromkeys(range(60, 90), 0.3))
    write(warehouse, days, "har", dict.fromkeys(range(60, 90), 0.4))
    write(warehouse, days, "combination", dict.fromkeys(range(85, 90), 0.01))
    (row,) = warehouse.read("headline_models").itertuples()
    assert (row.model, row.n) == ("gjr", 29)


def test_without_an_outcome_the_choice_says_so(warehouse: Warehouse, days: pd.DatetimeIndex) -> None:
    write(warehouse, days, "gjr", {80: 0.1})
    write(warehouse, days, "combination", {80: 0.2})
    (row,) = warehouse.read("headline_models").itertuples()
    assert (row.model, row.n) == ("combination", 0)
    assert np.isnan(row.qlike)


def test_a_forecast_is_old_once_a_later_session_is_stored(warehouse: Warehouse, days: pd.DatetimeIndex) -> None:
    write(warehouse, days, "gjr", dict.fromkeys(range(60, 80), 0.3))
    assert not warehouse.read("latest_forecasts")["old"].any()
    other = pd.DataFrame(warehouse.read("garch_forecasts")).assign(ticker="A")
    for position, old in ((80, False), (81, True)):
        moved = other.tail(1).assign(origin_date=days[position], target_date=days[position + 1])
        warehouse.write(Replacement("garch_forecasts", moved, cells(moved)))
        found = warehouse.read("latest_forecasts").set_index("ticker")["old"].to_dict()
        assert found == {"^GSPC": old, "A": False}


@pytest.mark.parametrize(
    ("last", "target", "assumed"), [("2026-12-30", "2026-12-31", False), ("2026-12-31", "2027-01-01", True)]
)
def test_a_day_beyond_the_calendars_record_is_assumed_until_its_bar_is_stored(
    warehouse: Warehouse, last: str, target: str, assumed: bool
) -> None:
    ticker = "600000.SS"
    calendar = calendar_for(ticker)
    index = calendar.sessions("2025-01-01", last)
    bars = simulate_bars(len(index), seed=1).set_axis(index)
    _, findings = check_bars(
        ticker, bars, calendar, pd.Timestamp(last, tz="UTC") + pd.Timedelta(hours=12), "gk_overnight"
    )
    (message,) = (finding.message for finding in findings if finding.check == "calendar_ends")
    found = pd.DataFrame(
        {"ticker": [ticker], "check_name": "calendar_ends", "severity": "warning", "message": message, "n_rows": 0}
    )
    warehouse.write(Replacement("data_quality", found, cells(found, "ticker")))
    rows = forecast_rows(ticker, n=1).assign(origin_date=pd.Timestamp(last), target_date=pd.Timestamp(target))
    for frame in (rows, rows.assign(ticker="A")):
        warehouse.write(Replacement("garch_forecasts", frame, cells(frame)))
    latest = warehouse.read("latest_forecasts").set_index("ticker")["target_date_assumed"]
    assert latest.to_dict() == {ticker: assumed, "A": False}
    prices = price_rows(ticker).head(2).assign(date=pd.DatetimeIndex([last, target]))
    warehouse.write(Replacement("raw_prices", prices, cells(prices, "ticker")))
    assert not warehouse.read("latest_forecasts")["target_date_assumed"].any()
