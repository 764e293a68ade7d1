"""The volatility-target strategies: equity, weights, Sharpe ratios with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from volassets.reporting.figures import dates, legend_below, new_figure, thin, title
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
