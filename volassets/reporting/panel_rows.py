"""One row per ticker: the newest numbers of its headline model, how good it has been, what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from volassets.reporting.page_data import Store
from volassets.settings import Settings

COURSE_SESSIONS = 120
_COURSE = """
    SELECT ticker, max(date) AS bar, list(volatility ORDER BY date) AS course FROM (
        SELECT ticker, date, sqrt(ratio * proxy_variance) AS volatility FROM realized_vol_features
        WHERE list_contains($tickers, ticker)
        QUALIFY row_number() OVER (PARTITION BY ticker ORDER BY date DESC) <= $sessions
    ) GROUP BY ticker
"""
_NEWEST = """
    WITH headline AS MATERIALIZED (SELECT * FROM headline_models WHERE list_contains($tickers, ticker))
    SELECT h.ticker, h.model, f.horizon, f.volatility,
        CASE WHEN f.target_date < (SELECT max(date) FROM raw_prices WHERE role IS NULL) THEN 'old' ELSE '' END AS old
    FROM headline h JOIN forecasts f ON f.ticker = h.ticker AND f.model = h.model AND f.origin_date = h.origin_date
    WHERE list_contains($tickers, f.ticker)
"""
_RISK = """
    WITH newest AS (
        SELECT ticker, max(origin_date) AS origin_date FROM risk_forecasts WHERE list_contains($tickers, ticker)
        GROUP BY ticker)
    SELECT r.ticker, r.model, r.level, r.value_at_risk, r.expected_shortfall
    FROM risk_forecasts r JOIN newest USING (ticker, origin_date)
    WHERE list_contains($tickers, r.ticker) AND r.horizon = $horizon AND r.tail = $tail
"""


def ticker_rows(store: Store, settings: Settings, tickers: Sequence[str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return a row per ticker in their order, and the headings of the columns of value at risk that it has."""
    asked, first = {"tickers": list(tickers)}, min(settings.horizons)
    rows = pd.DataFrame({"ticker": list(tickers)})
    rows = rows.merge(store.query(_COURSE, {**asked, "sessions": COURSE_SESSIONS}), "left", "ticker")
    rows["course"] = [list(course) if hasattr(course, "__len__") else [] for course in rows["course"]]
    newest = store.query(_NEWEST, asked)
    rows = rows.merge(newest[["ticker", "model", "old"]].drop_duplicates("ticker"), "left", "ticker")
    for horizon in settings.horizons:
        own = newest.loc[newest["horizon"] == horizon, ["ticker", "volatility"]]
        rows = rows.merge(own.rename(columns={"volatility": f"volatility_{horizon}"}), "left", "ticker")
    rows, headings = _with_risk(store, settings, rows, asked, first)
    # QLIKE over the days that the models share, as in the ticker's own leaderboard.
    board = store.read("leaderboard", ["ticker", "model", "n", "qlike", "qlike_vs_gjr", "coverage_90"], horizon=first)
    rows = rows.merge(board, "left", ["ticker", "model"])
    lights = store.read(
        "risk_backtests", ["ticker", "model", "traffic_light"], level=0.01, horizon=1, tail=settings.risk_tails[0]
    )
    rows = rows.merge(lights, "left", ["ticker", "model"])
    audits = store.query("SELECT ticker, bool_and(passed) AS passed FROM audit_results GROUP BY ticker")
    audited = {row.ticker: "passed" if row.passed else "FAILED" for row in audits.itertuples()}
    findings = store.read("data_quality", ["ticker"])["ticker"].value_counts().to_dict()
    rows["findings"] = [findings.get(ticker, 0) for ticker in rows["ticker"]]
    rows["audit"] = [audited.get(ticker, "not audited") for ticker in rows["ticker"]]
    return rows, headings


def _with_risk(
    store: Store, settings: Settings, rows: pd.DataFrame, asked: dict[str, list[str]], horizon: int
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return `rows` with value at risk and shortfall of their models at the least level, and the new headings."""
    risk = store.query(_RISK, {**asked, "horizon": horizon, "tail": settings.risk_tails[0]})
    if risk.empty:
        return rows, {}
    level = risk["level"].min()
    own = risk[risk["level"] == level].drop(columns="level")
    return rows.merge(own, "left", ["ticker", "model"]), {
        "value_at_risk": f"VaR {100 * level:g} %",
        "expected_shortfall": f"ES {100 * level:g} %",
    }
