"""Bars and features: price and volatility, correlations, what was kept, lags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from volassets.reporting import figures
from volassets.reporting.figures import INK
from volassets.reporting.palette import BAD, GOOD

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REASONS = ("kept", "correlated", "constant", "missing")
REASON_COLOURS = ("#2a86c1", "#e0a458", "#8d8d8d", "#b8609a")


def price_and_volatility(bars: pd.DataFrame) -> Figure:
    """Draw `close` by `date` and the annualised `volatility` of the proxy, weekly means where they are many."""
    frame = bars.set_index(pd.to_datetime(bars["date"]))[["close", "volatility"]].astype(float)
    weekly = frame.resample("W-FRI").mean().dropna(how="all") if len(frame) > 400 else frame
    figure, (upper, lower) = figures.new_figure(3.6, 2, 1, sharex=True, height_ratios=[3, 2])
    upper.plot(weekly.index, weekly["close"], color=GOOD, linewidth=1.1)
    upper.set_yscale("log")
    upper.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    upper.yaxis.set_minor_formatter(lambda value, _: f"{value:,.6g}" if str(f"{value:e}")[0] in "235" else "")
    upper.tick_params(axis="y", which="minor", labelsize=7, colors=INK)
    upper.set_ylabel("close, log scale")
    lower.plot(weekly.index, weekly["volatility"], color=BAD, linewidth=0.8)
    lower.set_yscale("log")
    figures.volatility_ticks(lower.yaxis, weekly[["volatility"]])
    lower.set_ylabel("ann. volatility")
    lower.margins(x=0.01)
    figures.dates(lower)
    return figure


def correlation_map(correlations: pd.DataFrame, dropped: list[str]) -> Figure:
    """Draw the correlations of the training rows in selection order; a dropped feature is marked with a cross."""
    count = len(correlations)
    figure, axis = figures.new_figure(max(3.2, 0.6 + 0.094 * count), width=max(4.4, 1.7 + 0.094 * count))
    image = axis.imshow(correlations.to_numpy(), cmap=figures.diverging(), vmin=-1, vmax=1, interpolation="nearest")
    axis.grid(False)
    names = [f"{name} ×" if name in dropped else name for name in correlations.columns]
    axis.set_yticks(range(count), names)
    size = 6 if count > 40 else 7
    axis.tick_params(axis="y", labelsize=size, length=0)
    axis.set_xticks([])
    figures.style_bar(figure.colorbar(image, ax=axis, pad=0.015, shrink=0.6), "correlation")
    return figure


def kept_months(selected: pd.DataFrame) -> Figure:
    """Draw in which months each feature was kept, and why not in the others."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    codes = selected.assign(code=selected["reason"].map({name: i for i, name in enumerate(REASONS)}))
    grid = codes.pivot(index="feature", columns="refit_month", values="code")
    grid = grid.loc[list(dict.fromkeys(selected["feature"]))]
    figure, axis = figures.new_figure(1.0 + 0.105 * len(grid))
    # Floats, so that a month without a row for a feature stays blank.
    colours = {"cmap": ListedColormap(REASON_COLOURS), "vmin": -0.5, "vmax": 3.5}
    axis.imshow(grid.to_numpy(float), **colours, aspect="auto", interpolation="nearest")
    axis.grid(False)
    axis.set_yticks(range(len(grid)), grid.index)
    axis.tick_params(axis="y", labelsize=6 if len(grid) > 40 else 7, length=0)
    figures.month_ticks(axis, grid.columns)
    axis.set_xlabel("refit month")
    present = [i for i in range(len(REASONS)) if (grid == i).to_numpy().any()]
    handles = [Patch(color=REASON_COLOURS[i], label=REASONS[i]) for i in present]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False, fontsize=8, labelcolor=INK)
    return figure


def lag_plot(rows: pd.DataFrame) -> Figure:
    """Draw partial autocorrelations with their bound; circles are stable lags, triangles the configured ones."""
    figure, axis = figures.new_figure(3.0)
    lag, pacf = rows["lag"].to_numpy(), rows["pacf"].to_numpy(float)
    bound = float(rows["bound"].iloc[0])
    axis.axhspan(-bound, bound, color=GOOD, alpha=0.15, linewidth=0, label=f"inside ± {bound:.3f}: not significant")
    axis.vlines(lag, 0, pacf, color=INK, linewidth=1.0)
    stable = rows["selected"].to_numpy(bool)
    axis.plot(lag[stable], pacf[stable], "o", color=GOOD, ms=6, label="stable in 3 of 4 blocks of time")
    axis.plot(lag[~stable], pacf[~stable], "o", color=INK, ms=2.5)
    configured = rows["configured"].fillna(False).to_numpy(bool)
    floor = min(-bound, float(np.nanmin(pacf))) - 0.06
    axis.plot(lag[configured], np.full(configured.sum(), floor), "^", color=BAD, ms=6, label="configured")
    axis.axhline(0, color=INK, linewidth=0.7)
    axis.set_xlabel("lag, sessions")
    axis.set_ylabel("partial autocorrelation")
    axis.xaxis.get_major_locator().set_params(integer=True)
    figures.legend(axis, loc="upper right")
    return figure
