"""Volatility-target strategies."""

from __future__ import annotations

import pandas as pd

from volassets.evaluation.backtest import DIFFERENCE_COLUMNS, HOLD
from volassets.reporting import html
from volassets.reporting.html import Section, TableColumn
from volassets.reporting.page_data import BASELINE, TickerData
from volassets.reporting.palette import model_order
from volassets.reporting.plots import backtest as plots
from volassets.reporting.sections.scores import not_compared

# Trading only outside a band costs least, so it is the variant that somebody would run.
DRAWN_SMOOTHING = "band_15"
STRATEGIES = {
    "strategy": TableColumn("weights from", model=True),
    "smoothing": TableColumn("smoothing"),
    "sharpe": TableColumn("net Sharpe [90 %]"),
    "difference": TableColumn("less buy and hold [90 %]"),
    "annual_return": TableColumn("return p.a.", html.percent),
    "annual_volatility": TableColumn("volatility p.a.", html.percent),
    "tracking_error": TableColumn("off target", html.percent),
    "max_drawdown": TableColumn("max drawdown", html.percent),
    "turnover": TableColumn("turnover p.a.", html.decimals(1)),
    "utility": TableColumn("utility p.a.", html.signed_percent),
}


def backtest(data: TickerData) -> Section:
    """Return equity, weights and Sharpe ratios with their intervals; the order is not a ranking."""
    title, table = "Backtest", data.table("backtests")
    if table.empty:
        return Section("backtest", title, html.missing(not_compared(data)))
    settings = data.settings
    cost = settings.transaction_cost_bps + settings.slippage_bps
    text = (
        f"Weight = {html.whole_percent(settings.target_volatility)} target over the forecast volatility known at the "
        f"close before, at most {settings.max_leverage:g}; {cost:g} basis points per unit of turnover; cash earns "
        "nothing. Rows are in the order of the models: the intervals overlap, so there is no ranking."
    )
    parts = [html.paragraph(text)]
    paths, drawn = drawn_paths(data), _drawn(table)
    if paths["date"].nunique() > 1:
        known = [name for name in dict.fromkeys((BASELINE, data.drawn)) if name in set(paths["strategy"])]
        shown = known or model_order(paths["strategy"])[:1]
        traded = "traded outside a 15 % band" if DRAWN_SMOOTHING in set(table["smoothing"]) else "daily"
        caption = f"Net equity ({traded}) from 1, and the weights of {' and '.join(shown)}."
        parts.append(html.picture(plots.equity_and_weights(paths, shown), "equity", caption))
    if drawn["sharpe_low"].notna().any():
        caption = "Bootstrap intervals of the net Sharpe ratios and of their differences to buy and hold."
        parts.append(html.picture(plots.sharpe_intervals(drawn), "sharpe", caption))
    else:
        parts.append(html.missing("Too few sessions for intervals of the Sharpe ratios, so they are not drawn."))
    return Section("backtest", title, "\n".join([*parts, html.table(_with_intervals(table), STRATEGIES)]))


def drawn_paths(data: TickerData) -> pd.DataFrame:
    """Return the daily paths of the one smoothing that is drawn, and of buy and hold."""
    return _drawn(data.table("backtest_paths", ["strategy", "smoothing", "date", "weight", "equity"]))


def _drawn(table: pd.DataFrame) -> pd.DataFrame:
    smoothings = set(table["smoothing"])
    chosen = DRAWN_SMOOTHING if DRAWN_SMOOTHING in smoothings else next(iter(sorted(smoothings)), "")
    return table[(table["smoothing"] == chosen) | (table["strategy"] == HOLD)]


def _with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Return the strategies by model, a ratio and its interval in one cell so that neither is read alone."""

    def cell(row: pd.Series, value: str, low: str, high: str) -> str:
        if row[value] != row[value] or row[low] != row[low]:
            return "too few days"
        return f"{row[value]:.2f} [{row[low]:.2f}, {row[high]:.2f}]"

    order = model_order(table["strategy"])
    rows = table.assign(order=table["strategy"].map(order.index)).sort_values(["order", "smoothing"], ignore_index=True)
    rows["sharpe"] = [cell(row, "sharpe_net", "sharpe_low", "sharpe_high") for _, row in rows.iterrows()]
    differences = [cell(row, *DIFFERENCE_COLUMNS) for _, row in rows.iterrows()]
    return rows.assign(difference=pd.Series(differences).where(rows["strategy"] != HOLD, ""))
