"""The page of one ticker."""

from __future__ import annotations

import numpy as np

from volassets.reporting import html
from volassets.reporting.page_data import Store, TickerData
from volassets.reporting.sections import inputs, networks, now, provenance, risk, scores, strategies
from volassets.settings import Settings

PARTS = (
    now.now,
    scores.forecasts,
    scores.verdicts,
    now.newest,
    scores.leaderboard,
    scores.agreement,
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
    if not data.models or not data.paths:
        return f"{data.ticker} has no compared forecasts yet."
    paths = data.paths[min(data.paths)]
    days = paths.dates[np.isfinite(paths.realized)]
    if not len(days):
        return f"{data.ticker} has no compared forecasts yet."
    return (
        f"{len(data.models)} models, refitted every month on the bars before it and scored on "
        f"{len(days):,} sessions, {days[0]} to {days[-1]}."
    )
