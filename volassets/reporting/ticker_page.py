"""The page of one ticker."""

from __future__ import annotations

from volassets.reporting import html
from volassets.reporting.page_data import Store, TickerData
from volassets.reporting.sections import inputs, networks, provenance, risk, scores, strategies
from volassets.settings import Settings

PARTS = (
    scores.verdicts,
    scores.leaderboard,
    scores.forecasts,
    scores.months,
    scores.coverage,
    scores.slices,
    strategies.backtest,
    risk.value_at_risk,
    inputs.prices,
    inputs.selection,
    inputs.lags,
    networks.training,
    networks.attention,
    networks.importance,
    provenance.data_quality,
    provenance.audit,
)
FOOTER = (
    "Volatilities are annualised with {sessions}. Realised means the range-based proxy, scaled to be unbiased for the "
    "squared return. Past accuracy says nothing certain about the future; this is not investment advice."
)


def ticker_page(store: Store, settings: Settings, ticker: str) -> str:
    """Return the report of `ticker` as one self-contained HTML page, from what is stored."""
    data = TickerData(store, settings, ticker)
    sections = [part(data) for part in PARTS]
    sections.append(provenance.settings_and_versions(settings, provenance.stored_versions(store, [ticker])))
    return html.page(
        f"{ticker}: volatility forecasts",
        _lead(data),
        sections,
        FOOTER.format(sessions=f"{data.sessions_per_year} sessions a year"),
    )


def _lead(data: TickerData) -> str:
    rows = data.scored if len(data.models) else None
    if rows is None or rows.empty:
        return f"{data.ticker} has no compared forecasts yet."
    targets = rows["target_date"]
    return (
        f"{len(data.models)} models, refitted every month on the bars before it and scored on "
        f"{targets.nunique():,} sessions, {targets.min():%Y-%m-%d} to {targets.max():%Y-%m-%d}."
    )
