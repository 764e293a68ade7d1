"""Bars, selected features and lags."""

from __future__ import annotations

from volassets.features.lag_analysis import lag_verdict
from volassets.reporting import html
from volassets.reporting.html import Section, TableColumn
from volassets.reporting.page_data import TickerData
from volassets.reporting.plots import features as plots


def prices(data: TickerData) -> Section:
    """Return the picture of closes and volatility."""
    title = "Price and volatility"
    if len(data.bars) < 2:
        return Section("prices", title, html.missing(f"No bars of {data.ticker} are stored: run it first."))
    caption = "Closes, and the annualised volatility of the range proxy. Weekly means where there are more than 400 "
    caption += "sessions."
    return Section("prices", title, html.picture(plots.price_and_volatility(data.bars), "prices", caption))


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
    parts = [html.paragraph(text)]
    correlations = data.training_correlations()
    if len(correlations) > 1:
        caption = f"Correlations over the training rows of {month:%Y-%m}, in the order of selection; × dropped."
        figure = plots.correlation_map(correlations, list(dropped["feature"]))
        parts.append(html.picture(figure, "correlations", caption))
    if data.selected["refit_month"].nunique() > 1:
        caption = "Months in which each feature was kept, and why not in the others."
        parts.append(html.picture(plots.kept_months(data.selected), "kept", caption))
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
    return Section("selection", title, "\n".join(parts))


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
    return Section("lags", title, html.paragraph(verdict) + html.picture(plots.lag_plot(rows), "lags", caption))
