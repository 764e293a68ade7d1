"""The section of the panel's page on portfolios: the newest numbers of each, with the way to its own page."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import pandas as pd

from volassets.reporting import html
from volassets.reporting.html import Section, TableColumn
from volassets.reporting.page_data import Store
from volassets.settings import Settings

_NEWEST = """
    SELECT portfolio, horizon, origin_date, volatility, value_at_risk_01, expected_shortfall_01, value_at_risk_05
    FROM latest_portfolio_risk WHERE portfolio IN (SELECT unnest($names)) ORDER BY portfolio, horizon
"""


def portfolio_section(store: Store, settings: Settings, links: Mapping[str, str]) -> list[Section]:
    """Return the section over the home's portfolios, none in a home without; `links` by stem of a page's file."""
    if not settings.portfolios:
        return []
    rows = store.query(_NEWEST, {"names": list(settings.portfolios)})
    missing = [name for name in settings.portfolios if name not in set(rows["portfolio"])]
    columns = {
        "portfolio": TableColumn("portfolio", link=lambda name: quote(links.get(f"portfolio_{name}", ""))),
        "horizon": TableColumn("sessions"),
        "origin_date": TableColumn("made at the close of", html.number),
        "volatility": TableColumn("volatility", html.percent),
        "value_at_risk_01": TableColumn("VaR 1 %", html.percent),
        "expected_shortfall_01": TableColumn("ES 1 %", html.percent),
        "value_at_risk_05": TableColumn("VaR 5 %", html.percent),
    }
    shown = rows.assign(origin_date=pd.to_datetime(rows["origin_date"]))
    parts = [html.table(shown, columns)] if len(rows) else []
    if missing:
        parts.append(html.missing(f"Without forecasts yet: {', '.join(missing)}."))
    return [Section("portfolios", "Portfolios", "\n".join(parts))]
