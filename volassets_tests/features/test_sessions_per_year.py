"""Volatilities are annualised with the sessions a year of the ticker's calendar; an exchange's keep their bits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from volassets.evaluation.walk_forward import forecast_month
from volassets.features.catalogue import catalogue
from volassets.features.feature import ANNUAL
from volassets.features.feature_table import build_features
from volassets.market.calendar import calendar_for, sessions_per_year
from volassets.models.linear import LogHar
from volassets.models.window import make_window
from volassets.timing import origins_of_month
from volassets_tests.conftest import simulate_bars

SESSIONS = {"ACME": 252, "SAP.DE": 252, "7203.T": 252, "ES=F": 252, "DOGE-USD": 365, "EURSEK=X": 260}
MONTH = pd.Timestamp("2008-03-01")


@pytest.mark.parametrize("ticker", SESSIONS)
def test_a_calendar_knows_its_sessions(ticker: str) -> None:
    assert calendar_for(ticker).sessions_per_year == sessions_per_year(ticker) == SESSIONS[ticker]


def test_the_setting_decides() -> None:
    assert (
        sessions_per_year("ACME", {"ACME": "24/7"}) == calendar_for("ACME", {"ACME": "24/7"}).sessions_per_year == 365
    )
    assert sessions_per_year("BTC-USD", {"BTC-USD": "XNYS"}) == 252


def test_exactly_the_annualised_features_are_scaled() -> None:
    bars = simulate_bars(500, seed=4)
    exchange, coin = (build_features(bars, calendar_for("ACME", {"ACME": name})) for name in ("XNYS", "24/7"))
    annual = [feature.name for feature in catalogue() if feature.unit == ANNUAL]
    assert {"gk_vol", "vol_20d", "yang_zhang_20d"} <= set(annual)
    np.testing.assert_allclose(coin[annual], exchange[annual] * np.sqrt(365 / 252), rtol=1e-14)
    for name in ("proxy_variance", "log_proxy", "return", "rv"):
        pd.testing.assert_series_equal(coin[name], exchange[name])


@pytest.mark.parametrize(("name", "sessions"), [("XNYS", 252), ("24/7", 365), ("24/5", 260)])
def test_forecasts_say_what_they_are_annualised_with(name: str, sessions: int) -> None:
    calendar = calendar_for("AAA", {"AAA": name})
    features = build_features(simulate_bars(900, seed=3), calendar)
    fit = LogHar().fit(make_window("AAA", MONTH, features, (1, 5)))
    origins = origins_of_month(pd.DatetimeIndex(features.index), MONTH, calendar)
    rows = forecast_month(LogHar(), fit, features, origins, 0.9, calendar)
    assert set(rows["sessions_per_year"]) == {sessions}
    np.testing.assert_array_equal(rows["volatility"], np.sqrt(sessions * rows["variance"].to_numpy()))
    assert ((rows["lower"] < rows["volatility"]) & (rows["volatility"] < rows["upper"])).all()
