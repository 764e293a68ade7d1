"""The page of one portfolio: the newest numbers, who contributes, correlations, the record."""

from __future__ import annotations

import pandas as pd

from volassets.evaluation.risk_tests import TRAFFIC_LIGHT_SESSIONS
from volassets.evaluation.verdict import p_cell
from volassets.reporting import html
from volassets.reporting.charts import others
from volassets.reporting.charts import portfolio as charts
from volassets.reporting.charts.chart import Chart
from volassets.reporting.html import Section, TableColumn, percent
from volassets.reporting.page_data import Store
from volassets.reporting.plots.portfolio import COLOUR, HEDGE
from volassets.reporting.sections import provenance
from volassets.settings import Settings

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
TESTS = {
    "horizon": TableColumn("sessions"),
    "level": TableColumn("level", html.percent),
    "n": TableColumn("origins", html.count),
    "violations": TableColumn("violations", html.count),
    "violation_rate": TableColumn("share", html.percent),
    "kupiec_p": TableColumn("p Kupiec", p_cell),
    "christoffersen_p": TableColumn("p Christoffersen", p_cell),
    "es_p": TableColumn("p shortfall", p_cell),
}
VARIANCE = {
    "horizon": TableColumn("sessions"),
    "qlike_vs_riskmetrics": TableColumn("QLIKE less RiskMetrics'", html.decimals(3)),
    "dm_riskmetrics_p": TableColumn("p", p_cell),
    "qlike_vs_own": TableColumn("less own series'", html.decimals(3)),
    "dm_own_p": TableColumn("p", p_cell),
    "bias": TableColumn("bias", html.decimals(2)),
    "mahalanobis_ratio": TableColumn("Mahalanobis", html.decimals(2)),
    "diagonal_ratio": TableColumn("diagonal", html.decimals(2)),
}
NO_SHORTFALL = "The expected shortfall does not exist: the tail is too heavy."
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
        _now(newest, shares, settings),
        _newest(newest),
        _contributions(newest, shares),
        _correlations(store, members),
        _outcomes(rows, name),
        _record(store, name),
        provenance.settings_and_versions(settings, provenance.stored_versions(store, members)),
    ]
    lead = f"{len(members)} members." if members else f"Nothing is stored of {name} yet: `volassets run` first."
    if len(rows):
        lead += f" Forecast on {len(rows):,} sessions, {rows['target_date'].min():%Y-%m-%d} to "
        lead += f"{rows['target_date'].max():%Y-%m-%d}."
    return html.page(f"{name}: portfolio risk", lead, sections, FOOTER)


def _now(newest: pd.DataFrame, shares: pd.DataFrame, settings: Settings) -> Section:
    """Return what is asked first: the next session's volatility, value at risk and shortfall, and from whom."""
    first = newest[newest["horizon"] == 1]
    if first.empty:
        return Section("now", "Now", html.missing("No forecast is stored."))
    row = first.iloc[0]
    band = ""
    if row["lower"] == row["lower"]:
        level = html.whole_percent(settings.interval_level)
        band = f"{level} band {percent(row['lower'])} to {percent(row['upper'])}. "
    made = f"Made at the close of {row['origin_date']:%Y-%m-%d}."
    listed = [html.answer(f"Volatility of {row['target_date']:%Y-%m-%d}", percent(row["volatility"]), band + made)]
    for suffix, name in (("01", "1 %"), ("05", "5 %")):
        limit, beyond = row[f"value_at_risk_{suffix}"], row[f"expected_shortfall_{suffix}"]
        if limit == limit:
            text = "Share of the portfolio's value. "
            text += f"Expected shortfall beyond it: {percent(beyond, '.2%')}." if beyond == beyond else NO_SHORTFALL
            listed.append(html.answer(f"Value at risk, {name}", percent(limit, ".2%"), text))
    return Section("now", "Now", html.answers([*listed, *_most(shares)]))


def _most(shares: pd.DataFrame) -> list[str]:
    """Return who contributes most, and what is held long and short."""
    if shares.empty:
        return []
    most = shares.sort_values("volatility_share", ascending=False).iloc[0]
    long = shares["weight"].clip(lower=0).sum()
    short = -shares["weight"].clip(upper=0).sum()
    text = f"{percent(most['volatility_share'])} of the volatility, with {percent(most['weight'])} of the value. "
    text += f"{len(shares)} members: {percent(long)} long, {percent(short)} short."
    return [html.answer("Contributes most", str(most["ticker"]), text)]


def _newest(newest: pd.DataFrame) -> Section:
    body = html.table(newest, NEWEST) if len(newest) else html.missing("No forecast is stored.")
    return Section("newest", "Newest forecasts", body)


def _contributions(newest: pd.DataFrame, shares: pd.DataFrame) -> Section:
    title = "Who contributes"
    if shares.empty or newest.empty:
        return Section("contributions", title, html.missing("No contributions are stored."))
    limit = float(newest.loc[newest["horizon"] == 1, "value_at_risk_01"].iloc[0])
    rows = shares.assign(value_at_risk=limit * shares["var_share"], bar=shares["volatility_share"])
    span = (min(float(rows["bar"].min()), 0.0), max(float(rows["bar"].max()), 0.0))
    columns = {
        "ticker": TableColumn("ticker"),
        "bar": TableColumn("", draw=lambda share: html.share_bar(share, span, HEDGE if share < 0 else COLOUR)),
        "volatility_share": TableColumn("share of volatility", html.percent),
        "weight": TableColumn("weight", html.percent),
        "value_at_risk": TableColumn("of the 1 % value at risk", lambda value: percent(value, ".2%")),
    }
    note = (
        "Shares of the next session's volatility (Euler); they sum to 100 %, and a negative one hedges. The shares of "
        "value at risk and expected shortfall are the same."
    )
    table = html.table(rows.sort_values("volatility_share", ascending=False), columns)
    return Section("contributions", title, html.paragraph(note, "note") + table)


def _correlations(store: Store, members: list[str]) -> Section:
    title, matrices = "Correlations", correlation_matrices(store, members) if len(members) > 1 else {}
    if not matrices:
        return Section("correlations", title, html.missing("No pair of members has a correlation."))
    newest = max(matrices)
    captions = {
        month: f"Conditional correlations at the cut-off of {month}, the newest refit month."
        if month == newest
        else f"A year before, at the cut-off of {month}."
        for month in matrices
    }
    maps = charts.correlation_maps(matrices, captions)
    return Section("correlations", title, f'<div class="pair">{"".join(map(html.figure, maps))}</div>', maps)


def _outcomes(rows: pd.DataFrame, name: str) -> Section:
    title = "Forecast and outcome"
    if rows.empty:
        return Section("outcomes", title, html.missing("No session that was forecast has passed yet."))
    own = rows.assign(value_at_risk=rows["value_at_risk_01"], violation=rows["outcome"] < rows["value_at_risk_01"])
    broken = int(own["violation"].sum())
    caption = (
        f"Returns of the portfolio and its 1 % value at risk, known at the close before; a dot is a violation, "
        f"{broken:,} of {len(own):,} sessions."
    )
    parts: list[str | Chart] = [others.returns_and_limit(own, name, caption)]
    if len(own) > TRAFFIC_LIGHT_SESSIONS:
        caption = f"Violations in the last {TRAFFIC_LIGHT_SESSIONS} sessions, with Basel's bands."
        parts.append(others.violation_count(own, caption))
    caption = "Volatility realised in the last 22 sessions and the mean of what was forecast for them."
    return html.with_charts("outcomes", title, [*parts, charts.volatility(rows, caption)])


def _record(store: Store, name: str) -> Section:
    rows = store.read("portfolio_backtests", portfolio=name)
    if rows.empty:
        return Section("record", "Record", html.missing("Nothing has been tested yet."))
    tests = (
        "A small p rejects: Kupiec the share of violations, Christoffersen their independence, the third that losses "
        "beyond are no larger than forecast. Origins whose residuals were filled up are not among the violations."
    )
    variance = (
        "QLIKE is compared with an exponentially weighted variance (RiskMetrics, .94) and with a GJR-GARCH on the "
        "portfolio's own series; less is better. Bias is the standard deviation of the return over its forecast "
        "volatility: 1 where the level is right. Mahalanobis and diagonal are the calibration ratios of the members' "
        "covariance matrix and of their variances alone: above 1 risk was forecast too low."
    )
    parts = ["<h3>Value at risk and expected shortfall</h3>", html.paragraph(tests, "note"), html.table(rows, TESTS)]
    parts += ["<h3>Variance</h3>", html.paragraph(variance, "note")]
    # The same on every level's row of a horizon.
    parts.append(html.table(rows.drop_duplicates("horizon"), VARIANCE))
    return Section("record", "Record", "\n".join(parts))
