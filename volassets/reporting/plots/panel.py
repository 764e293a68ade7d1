"""Pictures over all tickers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from volassets.reporting.figures import INK, new_figure, percent, title
from volassets.reporting.palette import look_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def qlike_by_ticker(board: pd.DataFrame, models: list[str]) -> Figure:
    """Draw the relative QLIKE difference to gjr per model: a point per ticker and their mean, a panel per horizon."""
    horizons = sorted(board["horizon"].unique())
    figure, axes = new_figure(0.9 + 0.24 * len(models), 1, len(horizons), squeeze=False, sharey=True)
    for axis, horizon in zip(axes.flat, horizons, strict=True):
        axis.axvline(0, color=INK, linewidth=0.8)
        for place, model in enumerate(models):
            values = board.loc[(board["horizon"] == horizon) & (board["model"] == model), "qlike_vs_gjr"]
            look = look_of(model)
            axis.plot(values, [place] * len(values), look.marker, color=look.colour, ms=5, alpha=0.75)
            if len(values) > 1:
                axis.plot(values.mean(), place, "|", color=INK, ms=13, mew=1.6)
        axis.set_yticks(range(len(models)), models)
        axis.set_ylim(len(models) - 0.5, -0.5)
        axis.xaxis.get_major_locator().set_params(nbins=4)
        percent(axis.xaxis)
        title(axis, f"h = {horizon}")
        axis.set_xlabel("QLIKE against gjr")
    return figure
