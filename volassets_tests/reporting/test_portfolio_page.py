"""The page and the pictures of a portfolio, from rows whose numbers are known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from volassets.orchestration import pictures
from volassets.pipeline.context import Context
from volassets.reporting.panel_page import panel_page
from volassets.reporting.portfolio_page import correlation_matrices, portfolio_outcomes, portfolio_page
from volassets.reporting.report_files import portfolio_report_path, write_portfolio_report, write_report
from volassets.settings import Settings, load_settings
from volassets.warehouse.store import Replacement, Upsert, open_warehouse

NAMES = ("AAA", "BBB")
WEIGHTS = (0.75, -0.25)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, simulated_bars) -> Settings:
    home = tmp_path_factory.mktemp("page")
    settings = load_settings(home, {"tickers": NAMES, "portfolios": {"book": dict(zip(NAMES, WEIGHTS, strict=True))}})
    bars = {name: simulated_bars(80, number) for number, name in enumerate(NAMES)}
    days = bars["AAA"].index
    prices = [
        b.assign(ticker=n, source="csv", fetched_at=pd.Timestamp("2020-01-01")).reset_index(names="date")
        for n, b in bars.items()
    ]
    key = {"portfolio": "book", "refit_month": days[30].replace(day=1), "horizon": 1}
    when = {"origin_date": days[30:60], "target_date": days[31:61]}
    numbers = {
        "variance": 1e-4,
        "volatility": 0.16,
        "lower": 0.01,
        "upper": 0.3,
        "sigma_assets": 0.01,
        "sigma_own": 0.01,
    }
    limits = {
        "value_at_risk_01": -0.02,
        "expected_shortfall_01": -0.03,
        "value_at_risk_05": -0.015,
        "expected_shortfall_05": -0.02,
    }
    forecasts = pd.DataFrame({**when}).assign(**key, **numbers, **limits, method="evt_conformal", data_hash="h")
    shares = [
        pd.DataFrame({"origin_date": days[30:60]}).assign(
            **key, ticker=n, weight=w, volatility_share=s, var_share=s, data_hash="h"
        )
        for n, w, s in zip(NAMES, WEIGHTS, (1.25, -0.25), strict=True)
    ]
    fits = [
        {"refit_month": month, "a": 0.02, "b": 0.95, "n": 2, "members": json.dumps(NAMES), "models": "[]", "days": "[]"}
        | {"filled": "[]", "scale": "[1, 1]", "q": json.dumps([2.0, q, 0.5]), "long_run": "[]", "lead_lag": "null"}
        for month, q in ((pd.Timestamp("2019-03-01"), 0.5), (pd.Timestamp("2020-03-01"), -0.25))
    ]
    cell = pd.DataFrame([{"portfolio": "book", "refit_month": key["refit_month"]}])
    open_warehouse(settings).write(
        Upsert("raw_prices", pd.concat(prices)),
        Replacement("portfolio_forecasts", forecasts, cell),
        Replacement("risk_contributions", pd.concat(shares), cell),
        Replacement("correlation_fits", pd.DataFrame(fits), pd.DataFrame(fits)[["refit_month"]]),
    )
    return settings


def test_outcomes_are_the_weighted_returns_of_the_session(settings):
    store = open_warehouse(settings)
    rows = portfolio_outcomes(store, "book")
    assert len(rows) == 30
    closes = store.read("raw_prices").pivot(index="date", columns="ticker", values="adj_close")
    moves = (closes / closes.shift() - 1) @ np.array(WEIGHTS)
    np.testing.assert_allclose(rows["outcome"], moves.loc[rows["target_date"]], rtol=1e-9)


def test_correlations_of_now_and_a_year_before(settings):
    found = correlation_matrices(open_warehouse(settings), list(NAMES))
    assert list(found) == ["2019-03", "2020-03"]
    assert found["2020-03"].loc["AAA", "BBB"] == pytest.approx(-0.25)
    assert found["2019-03"].loc["BBB", "AAA"] == pytest.approx(0.5)
    assert (np.diag(found["2019-03"]) == 1).all()


def test_the_page_shows_numbers_members_and_pictures(settings):
    path = write_portfolio_report(open_warehouse(settings), settings, "book")
    assert path == portfolio_report_path(settings, "book")
    text = path.read_text("utf-8")
    limit = (
        '<dd class="number">-2.00 %</dd><dd>Share of the portfolio&#x27;s value. Expected shortfall beyond it: -3.00 %.'
    )
    for expected in ("book: portfolio risk", "125.0 %", "-25.0 %", "75.0 % long, 25.0 % short", limit, "30 sessions"):
        assert expected in text, expected
    assert text.count("<svg") == len(NAMES), "a bar per member"
    for chart in ("correlations-2019-03", "correlations-2020-03", "risk-path", "volatility"):
        assert f'data-chart="{chart}"' in text, chart
    assert 'data-chart="risk-count"' not in text, "30 sessions are too few to count violations in 250"


def test_the_page_over_all_tickers_leads_to_it(settings):
    store = open_warehouse(settings)
    own = write_portfolio_report(store, settings, "book")
    text = write_report(store, settings, None).read_text("utf-8")
    assert f'<a href="{own.name}">book</a>' in text
    two = settings.model_copy(update={"portfolios": {**settings.portfolios, "new": {"AAA": 1.0}}})
    assert "Without forecasts yet: new." in panel_page(store, two, {})
    assert '<a href="portfolio_' not in panel_page(store, two, {}), "nothing leads to a page that is not there"
    assert 'id="portfolios"' not in panel_page(store, settings.model_copy(update={"portfolios": {}}), {})


def test_a_portfolio_without_rows_says_so(settings):
    text = portfolio_page(open_warehouse(settings), settings, "other")
    assert "Nothing is stored of other yet" in text
    assert "<svg" not in text


def test_pictures_of_the_ui(settings):
    with Context(settings) as context:
        assert set(pictures.portfolio_contributions(context, "book")) == {"contributions", "correlations"}
        assert set(pictures.portfolio_record(context, "book")) == {"returns_and_value_at_risk", "realised_and_forecast"}
        assert pictures.portfolio_record(context, "other") == {}
