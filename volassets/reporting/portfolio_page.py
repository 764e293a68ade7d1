"""The page of one portfolio: the newest numbers, who contributes, correlations, the record."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from volassets.evaluation.verdict import p_cell
from volassets.reporting import html
from volassets.reporting.figures import to_svg
from volassets.reporting.html import Section, TableColumn
from volassets.reporting.page_data import Store
from volassets.reporting.plots import portfolio as plots
from volassets.reporting.sections import provenance
from volassets.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEWEST = {
    "horizon": TableColumn("sessions"),
    "origin_date": TableColumn("made at the close of", html.number),
    "volatility": TableColumn("volatility", html.percent),
    "value_at_risk_01": TableColumn("value at risk 1 %", html.percent),
    "expected_shortfall_01": TableColumn("expected shortfall 1 %", html.percent),
    "value_at_risk_05": TableColumn("value at risk 5 %", html.percent),
    "expected_shortfall_05": TableColumn("expected shortfall 5 %", html.percent),
    "method": TableColumn("method"),
}
MEMBERS = {
    "ticker": TableColumn("ticker"),
    "weight": TableColumn("weight", html.decimals(3)),
    "volatility_share": TableColumn("share of volatility", html.percent),
    "value_at_risk": TableColumn("of the 1 % value at risk", html.percent),
}
RECORD = {
    "horizon": TableColumn("sessions"),
    "level": TableColumn("level", html.percent),
    "n": TableColumn("origins", html.count),
    "violations": TableColumn("violations", html.count),
    "violation_rate": TableColumn("share", html.percent),
    "kupiec_p": TableColumn("p Kupiec", p_cell),
    "christoffersen_p": TableColumn("p Christoffersen", p_cell),
    "es_p": TableColumn("p shortfall", p_cell),
    "qlike_vs_riskmetrics": TableColumn("QLIKE less RiskMetrics'", html.decimals(3)),
    "dm_riskmetrics_p": TableColumn("p", p_cell),
    "qlike_vs_own": TableColumn("less own series'", html.decimals(3)),
    "dm_own_p": TableColumn("p", p_cell),
    "bias": TableColumn("bias", html.decimals(2)),
    "mahalanobis_ratio": TableColumn("Mahalanobis", html.decimals(2)),
    "diagonal_ratio": TableColumn("diagonal", html.decimals(2)),
}
FOOTER = (
    "Returns are simple and shares of the portfolio's value; volatilities are annualised. Currencies are not "
    "converted. Past accuracy says nothing certain about the future; this is not investment advice."
)
_OUTCOMES = """
    WITH moves AS (
        SELECT ticker, date, adj_close / lag(adj_close) OVER (PARTITION BY ticker ORDER BY date) - 1 AS move
        FROM raw_prices)
    SELECT f.target_date, f.variance, f.volatility, f.value_at_risk_01, sum(c.weight * m.move) AS outcome
    FROM portfolio_forecasts f
        JOIN risk_contributions c
            ON c.portfolio = f.portfolio AND c.horizon = f.horizon AND c.origin_date = f.origin_date
        JOIN moves m ON m.ticker = c.ticker AND m.date = f.target_date
    WHERE f.portfolio = $name AND f.horizon = 1 GROUP BY ALL ORDER BY f.target_date
"""


def portfolio_outcomes(store: Store, name: str) -> pd.DataFrame:
    """Return the one-session forecasts of a portfolio whose session has passed, with its return."""
    rows = store.query(_OUTCOMES, {"name": name})
    return rows.assign(target_date=pd.to_datetime(rows["target_date"]))


def newest_contributions(store: Store, name: str) -> pd.DataFrame:
    """Return who contributes at the newest origin, one session ahead."""
    rows = store.read("risk_contributions", portfolio=name, horizon=1)
    return rows[rows["origin_date"] == rows["origin_date"].max()] if len(rows) else rows


def correlation_matrices(store: Store, members: list[str]) -> dict[str, pd.DataFrame]:
    """Return the members' correlations at the newest cut-off and a year before, by text of the month."""
    pairs = store.query(
        "SELECT * FROM correlations WHERE list_contains($names, ticker_a) AND list_contains($names, ticker_b)",
        {"names": members},
    )
    if pairs.empty:
        return {}
    months = pd.to_datetime(pairs["month"])
    newest = months.max()
    found = {}
    for month in (newest - pd.DateOffset(years=1), newest):
        own = pairs[months == month]
        if len(own):
            both = pd.concat([own, own.rename(columns={"ticker_a": "ticker_b", "ticker_b": "ticker_a"})])
            matrix = both.pivot(index="ticker_a", columns="ticker_b", values="correlation")
            found[f"{month:%Y-%m}"] = matrix.reindex(index=members, columns=members).fillna(1.0)
    return found


def portfolio_page(store: Store, settings: Settings, name: str) -> str:
    """Return the report of a portfolio as one self-contained HTML page, from what is stored."""
    newest = store.query("SELECT * FROM latest_portfolio_risk WHERE portfolio = $name", {"name": name})
    shares = newest_contributions(store, name)
    members = sorted(shares["ticker"]) if len(shares) else []
    rows = portfolio_outcomes(store, name)
    sections = [
        _newest(newest),
        _contributions(newest, shares),
        _correlations(store, members),
        _outcomes(rows),
        _record(store, name),
        provenance.settings_and_versions(settings, provenance.stored_versions(store, members)),
    ]
    lead = f"{len(members)} members." if members else f"Nothing is stored of {name} yet: `volassets run` first."
    if len(rows):
        lead += f" Forecast on {len(rows):,} sessions, {rows['target_date'].min():%Y-%m-%d} to "
        lead += f"{rows['target_date'].max():%Y-%m-%d}."
    return html.page(f"{name}: portfolio risk", lead, sections, FOOTER)


def _picture(figure: Figure, name: str, caption: str) -> str:
    """Return a figure as an inline picture with its caption, which is also what a screen reader says."""
    text = escape(caption)
    drawn = f'<div class="wide">{to_svg(figure, name)}</div>'
    return (
        f'<figure id="figure-{name}" role="group" aria-label="{text}">{drawn}<figcaption>{text}</figcaption></figure>'
    )


def _newest(newest: pd.DataFrame) -> Section:
    body = html.table(newest, NEWEST) if len(newest) else html.missing("No forecast is stored.")
    return Section("newest", "Newest forecasts", body)


def _contributions(newest: pd.DataFrame, shares: pd.DataFrame) -> Section:
    title = "Who contributes"
    if shares.empty or newest.empty:
        return Section("contributions", title, html.missing("No contributions are stored."))
    limit = float(newest.loc[newest["horizon"] == 1, "value_at_risk_01"].iloc[0])
    table = shares.assign(value_at_risk=limit * shares["var_share"]).sort_values("volatility_share", ascending=False)
    caption = "Share of the next session's volatility by member (Euler); the shares sum to 100 %."
    body = _picture(plots.contributions(shares), "contributions", caption) + html.table(table, MEMBERS)
    return Section("contributions", title, body)


def _correlations(store: Store, members: list[str]) -> Section:
    matrices = correlation_matrices(store, members)
    if not matrices:
        return Section("correlations", "Correlations", html.missing("No pair of members has a correlation."))
    caption = "Conditional correlations at the cut-off of the newest refit month and a year before."
    return Section("correlations", "Correlations", _picture(plots.correlation_maps(matrices), "correlations", caption))


def _outcomes(rows: pd.DataFrame) -> Section:
    title = "Forecast and outcome"
    if rows.empty:
        return Section("outcomes", title, html.missing("No session that was forecast has passed yet."))
    one = "Returns of the portfolio, its 1 % value at risk, and the sessions beyond it."
    two = "Volatility realised in 22 sessions and the mean of what was forecast for them."
    body = _picture(plots.returns_and_limit(rows), "value-at-risk", one)
    return Section("outcomes", title, body + _picture(plots.realised_and_forecast(rows), "volatility", two))


def _record(store: Store, name: str) -> Section:
    rows = store.read("portfolio_backtests", portfolio=name)
    if rows.empty:
        return Section("record", "Record", html.missing("Nothing has been tested yet."))
    note = (
        "A small p rejects: Kupiec the share of violations, Christoffersen their independence, the third that losses "
        "beyond are no larger than forecast. QLIKE is compared with an exponentially weighted variance (RiskMetrics, "
        ".94) and with a GJR-GARCH on the portfolio's own series; less is better. Bias is the standard deviation "
        "of the return over its forecast volatility: 1 where the level is right. Mahalanobis and diagonal are the "
        "calibration ratios of the members' covariance matrix and of their variances alone: above 1 risk was forecast "
        "too low. Origins whose residuals were filled up are not among the violations."
    )
    return Section("record", "Record", html.paragraph(note, "note") + html.table(rows, RECORD))
