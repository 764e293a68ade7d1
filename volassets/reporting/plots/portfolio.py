"""A portfolio: who contributes, correlations of two months, returns with the value at risk, realised and forecast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from volassets.reporting import figures
from volassets.reporting.figures import INK
from volassets.reporting.plots import risk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOUR, HEDGE = "#0072b2", "#009e73"
# More names than this are not written: they would be unreadable.
NAMED = 40
SMOOTHED = 22


def contributions(rows: pd.DataFrame) -> Figure:
    """Draw the share of the volatility by member, largest first; columns ticker, volatility_share, weight."""
    rows = rows.sort_values("volatility_share", kind="stable")
    figure, axis = figures.new_figure(max(1.6, 0.5 + 0.24 * len(rows)))
    shares = rows["volatility_share"].to_numpy(np.float64)
    axis.barh(rows["ticker"], shares, color=np.where(shares < 0, HEDGE, COLOUR), height=0.7)
    axis.axvline(0.0, color=INK, linewidth=0.7)
    axis.set_xlabel("share of the volatility; a negative one hedges")
    figures.percent(axis.xaxis)
    return figure


def correlation_maps(matrices: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw a correlation matrix per title, side by side on one scale."""
    count = max(len(matrix) for matrix in matrices.values())
    figure, axes = figures.new_figure(max(2.8, 0.9 + 0.16 * count), columns=len(matrices), squeeze=False)
    for axis, (text, matrix) in zip(axes[0], matrices.items(), strict=True):
        image = axis.imshow(matrix.to_numpy(), cmap=figures.diverging(), vmin=-1, vmax=1, interpolation="nearest")
        axis.grid(False)
        axis.set_xticks([])
        axis.set_yticks(*((range(len(matrix)), list(matrix.index)) if len(matrix) <= NAMED else ([],)))
        figures.title(axis, text)
    figures.style_bar(figure.colorbar(image, ax=axes, pad=0.015, shrink=0.8), "correlation")
    return figure


def returns_and_limit(rows: pd.DataFrame) -> Figure:
    """Draw returns, the 1 % value at risk and violations; columns target_date, outcome, value_at_risk_01."""
    limit = rows["value_at_risk_01"]
    drawn = rows.assign(value_at_risk=limit, violation=rows["outcome"] < limit)
    return risk.returns_and_limit(drawn, {"color": COLOUR})


def smoothed(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the volatility realised in the last 22 sessions and that forecast for them, annualised.

    Columns outcome, variance and volatility; both are of the sessions of `rows` up to each, NaN before the 22nd.
    """
    scale = (rows["volatility"] / np.sqrt(rows["variance"])).median()
    realised = scale * np.sqrt((rows["outcome"] ** 2).rolling(SMOOTHED).mean())
    return realised, scale * np.sqrt(rows["variance"].rolling(SMOOTHED).mean())


def realised_and_forecast(rows: pd.DataFrame) -> Figure:
    """Draw the volatility realised in the last 22 sessions against that forecast for them, annualised."""
    figure, axis = figures.new_figure(3.0)
    realised, forecast = smoothed(rows)
    axis.plot(rows["target_date"], realised, color=INK, linewidth=0.8, alpha=0.7, label="realised")
    axis.plot(rows["target_date"], forecast, color=COLOUR, linewidth=1.1, label="forecast")
    axis.set_ylabel(f"volatility, {SMOOTHED} sessions")
    figures.percent(axis.yaxis)
    figures.legend(axis, 2)
    axis.margins(x=0.01)
    figures.dates(axis)
    return figure
