"""The volatility-target strategies: equity, weights, Sharpe ratios with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from volassets.reporting.figures import INK, dates, legend_below, new_figure, title
from volassets.reporting.palette import look_of, model_order
from volassets.reporting.plots.helpers import thin

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def equity_and_weights(paths: pd.DataFrame, weights_of: list[str]) -> Figure:
    """Draw net equity of every strategy, and the weights of a few.

    Parameters
    ----------
    paths : DataFrame
        strategy, date, equity (starting at 1), weight; one smoothing per strategy.
    weights_of : list of str
        Strategies whose weights are drawn.
    """
    figure, (upper, lower) = new_figure(4.6, 2, 1, sharex=True, height_ratios=[3, 2])
    for strategy in model_order(paths["strategy"]):
        own, look = paths[paths["strategy"] == strategy].sort_values("date"), look_of(strategy)
        own = thin(own)
        when = pd.to_datetime(own["date"])
        upper.plot(
            when,
            own["equity"],
            color=look.colour,
            linestyle=look.dash,
            linewidth=1.8 if strategy == "buy_and_hold" else 1.2,
            label=strategy,
        )
        if strategy in weights_of:
            lower.plot(when, own["weight"], color=look.colour, linestyle=look.dash, linewidth=1.1)
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
        (axes[0], "sharpe_net", "sharpe_low", "sharpe_high", "net Sharpe ratio, annualised"),
        (axes[1], "sharpe_difference", "sharpe_difference_low", "sharpe_difference_high", f"less that of {baseline}"),
    )
    for axis, value, low, high, label in sides:
        for place, (name, row) in enumerate(rows.iterrows()):
            if row[low] != row[low] or (axis is axes[1] and name == baseline):
                continue
            look = look_of(str(name))
            axis.hlines(place, row[low], row[high], color=look.colour, linewidth=1.6)
            axis.plot(row[value], place, look.marker, color=look.colour, ms=5.5)
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set_xlabel(f"{label}, 90 % interval")
        axis.set_yticks(range(len(rows)), names)
        axis.set_ylim(len(rows) - 0.5, -0.5)
    return figure
