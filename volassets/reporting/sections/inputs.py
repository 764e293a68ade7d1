"""Bars, selected features and lags."""

from __future__ import annotations

from volassets.features.lag_analysis import lag_verdict
from volassets.reporting import html
from volassets.reporting.charts import others as charts
from volassets.reporting.charts.chart import Chart
from volassets.reporting.html import Section, TableColumn, with_charts
from volassets.reporting.page_data import TickerData


def prices(data: TickerData) -> Section:
    """Return the picture of closes and volatility."""
    title = "Price and volatility"
    if len(data.bars) < 2:
        return Section("prices", title, html.missing(f"No bars of {data.ticker} are stored: run it first."))
    return with_charts("prices", title, list(charts.prices(data.bars)))


def selection(data: TickerData) -> Section:
    """Return the correlations of the newest month and the months in which each feature was kept."""
    title = "Feature selection"
    rows = data.latest_selection
    if rows.empty:
        return Section("selection", title, html.missing("No features have been selected yet: run a refit month."))
    month, dropped = rows["refit_month"].iloc[0], rows[~rows["selected"].astype(bool)]
    text = (
        f"{month:%Y-%m}: {int(rows['selected'].sum())} of {len(rows)} features kept. Of two whose absolute correlation "
        f"exceeds {data.settings.correlation_threshold:g} in the training rows, the later one in this order is dropped."
    )
    parts: list[str | Chart] = [html.paragraph(text)]
    correlations = data.training_correlations()
    if len(correlations) > 1:
        caption = f"Correlations over the training rows of {month:%Y-%m}, in the order of selection; × dropped."
        parts.append(charts.correlation_map(correlations, list(dropped["feature"]), caption))
    if data.selected["refit_month"].nunique() > 1:
        caption = "Months in which each feature was kept, and why not in the others."
        parts.append(charts.kept_months(data.selected, caption))
    else:
        parts.append(html.missing("One refit month only: there is no history of the selection yet."))
    if len(dropped):
        columns = {
            "feature": TableColumn("dropped"),
            "reason": TableColumn("reason"),
            "correlated_with": TableColumn("with"),
            "abs_correlation": TableColumn("|correlation|", html.decimals(3)),
        }
        parts += [f"<h3>Dropped in {month:%Y-%m}</h3>", html.table(dropped, columns)]
    return with_charts("selection", title, parts)


def lags(data: TickerData) -> Section:
    """Return the partial autocorrelations with the verdict on the configured lags."""
    title = "Lag analysis"
    rows = data.lags
    if rows.empty:
        return Section("lags", title, html.missing("No lags have been analysed yet: run a refit month."))
    caption = (
        f"Log variance up to {rows['refit_month'].iloc[0]:%Y-%m}: partial autocorrelations with the 5 % bound for all "
        "lags together. A lag is stable where the adaptive lasso keeps it in 3 of 4 blocks of time."
    )
    verdict = lag_verdict(rows, data.settings.lags)
    return with_charts("lags", title, [html.paragraph(verdict), charts.lag_bars(rows, caption)])
