"""The volatility-target strategies: equity, weights, Sharpe ratios with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from volassets.evaluation.backtest import DIFFERENCE_COLUMNS
from volassets.reporting.figures import INK, dates, legend_below, new_figure, thin, title
from volassets.reporting.palette import look_of, model_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def equity_and_weights(paths: pd.DataFrame, weights_of: list[str]) -> Figure:
    """Draw net equity (from 1) of every strategy, and the weights of a few; one smoothing per strategy in `paths`."""
    figure, (upper, lower) = new_figure(4.6, 2, 1, sharex=True, height_ratios=[3, 2])
    for strategy in model_order(paths["strategy"]):
        own, line = thin(paths[paths["strategy"] == strategy].sort_values("date")), look_of(strategy).line
        when, width = pd.to_datetime(own["date"]), 1.8 if strategy == "buy_and_hold" else 1.2
        upper.plot(when, own["equity"], **line, linewidth=width, label=strategy)
        if strategy in weights_of:
            lower.plot(when, own["weight"], **line, linewidth=1.1)
    low, high = upper.get_ylim()
    if high > 3 * low > 0:
        upper.set_yscale("log")
        upper.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    upper.set_ylabel("net equity, start = 1")
    lower.set_ylabel("weight in the asset")
    title(lower, f"weights of {' and '.join(weights_of)}")
    lower.margins(x=0.01)
    dates(lower)
    legend_below(figure, upper)
    return figure


def sharpe_intervals(table: pd.DataFrame, baseline: str = "buy_and_hold") -> Figure:
    """Draw net Sharpe ratios and their differences to buy and hold, each with its 90 % interval.

    The order is the registry's, not that of the ratios: their intervals overlap.
    """
    names = model_order(table["strategy"])
    rows = table.set_index("strategy").loc[names]
    figure, axes = new_figure(0.9 + 0.23 * len(rows), 1, 2, sharey=True)
    sides = (
        (axes[0], rows, ["sharpe_net", "sharpe_low", "sharpe_high"], "net Sharpe ratio, annualised"),
        (axes[1], rows.drop(baseline, errors="ignore"), list(DIFFERENCE_COLUMNS), f"less that of {baseline}"),
    )
    for axis, shown, columns, label in sides:
        for name, value, low, high in shown[columns].dropna().itertuples(name=None):
            look, place = look_of(name), names.index(name)
            axis.hlines(place, low, high, color=look.colour, linewidth=1.6)
            axis.plot(value, place, look.marker, color=look.colour, ms=5.5)
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set_xlabel(f"{label}, 90 % interval")
        axis.set_yticks(range(len(rows)), names)
        axis.set_ylim(len(rows) - 0.5, -0.5)
    return figure
