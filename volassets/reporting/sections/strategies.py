"""Volatility-target strategies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from volassets.evaluation.backtest import DIFFERENCE_COLUMNS, HOLD
from volassets.reporting import html
from volassets.reporting.charts import others as charts
from volassets.reporting.charts.chart import Chart
from volassets.reporting.html import Section, TableColumn, with_charts
from volassets.reporting.page_data import BASELINE, TickerData
from volassets.reporting.palette import look_of, model_order
from volassets.reporting.sections.scores import not_compared

# Trading only outside a band costs least, so it is the variant that somebody would run.
DRAWN_SMOOTHING = "band_15"
STRATEGIES = {
    "strategy": TableColumn("weights from", model=True),
    "smoothing": TableColumn("smoothing"),
    "sharpe": TableColumn("net Sharpe [90\u00a0%]"),
    "sharpe_mark": TableColumn("", draw=str),
    "difference": TableColumn("less buy and hold [90\u00a0%]"),
    "difference_mark": TableColumn("", draw=str),
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
    parts: list[str | Chart] = [html.paragraph(text)]
    paths, drawn = drawn_paths(data), _drawn(table)
    if paths["date"].nunique() > 1:
        known = [name for name in dict.fromkeys((BASELINE, data.drawn)) if name in set(paths["strategy"].unique())]
        shown = known or model_order(paths["strategy"].unique())[:1]
        traded = "traded outside a 15 % band" if DRAWN_SMOOTHING in set(table["smoothing"]) else "daily"
        parts += charts.equity(paths, shown, f"Net equity ({traded}) from 1.")
    if drawn["sharpe_low"].isna().all():
        parts.append(html.missing("Too few sessions for intervals of the Sharpe ratios, so they are not drawn."))
    return with_charts("backtest", title, [*parts, html.table(_with_intervals(table), STRATEGIES)])


def drawn_paths(data: TickerData) -> pd.DataFrame:
    """Return the daily paths of the one smoothing that is drawn, and of buy and hold."""
    names = ["strategy", "smoothing", "date", "weight", "equity"]
    shown = list(_drawn(data.table("backtests", names[:2]))["smoothing"].unique())
    return _drawn(data.store.read("backtest_paths", names, ticker=data.ticker, smoothing=shown))


def _drawn(table: pd.DataFrame) -> pd.DataFrame:
    smoothings = set(table["smoothing"].unique())
    chosen = DRAWN_SMOOTHING if DRAWN_SMOOTHING in smoothings else next(iter(sorted(smoothings)), "")
    return table[(table["smoothing"] == chosen) | (table["strategy"] == HOLD)]


def _with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Return the strategies by model, a ratio and its interval in one cell so that neither is read alone."""

    def cells(value: str, low: str, high: str) -> list[str]:
        return [
            f"{v:.2f} [{a:.2f}, {b:.2f}]" if v == v and a == a else "too few days"
            for v, a, b in rows[[value, low, high]].to_numpy(float)
        ]

    order = model_order(table["strategy"].unique())
    rows = table.assign(order=table["strategy"].map(order.index)).sort_values(["order", "smoothing"], ignore_index=True)
    rows["sharpe"] = cells("sharpe_net", "sharpe_low", "sharpe_high")
    differences = cells(*DIFFERENCE_COLUMNS)
    marks = {
        "sharpe_mark": _marks(rows, ["sharpe_net", "sharpe_low", "sharpe_high"]),
        "difference_mark": _marks(rows, list(DIFFERENCE_COLUMNS)),
    }
    return rows.assign(difference=pd.Series(differences).where(rows["strategy"] != HOLD, ""), **marks)


def _marks(rows: pd.DataFrame, columns: list[str]) -> list[str]:
    """Return a picture per row of a value in its interval, on one axis for all, with a line at 0."""
    numbers = rows[columns].to_numpy(float)
    known = numbers[np.isfinite(numbers).all(axis=1)]
    if not len(known):
        return [""] * len(rows)
    span = (min(float(known.min()), 0.0), max(float(known.max()), 0.0))
    return [
        html.interval_mark(low, value, high, span, 0.0, look_of(name).colour) if low == low and value == value else ""
        for name, (value, low, high) in zip(rows["strategy"], numbers, strict=True)
    ]
