"""Forecasts against outcomes: paths with their band, scatter, losses by month, coverage, and QLIKE over tickers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from volassets.reporting import figures
from volassets.reporting.figures import INK
from volassets.reporting.palette import look_of, model_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MONTHS_WITH_NUMBERS = 15
DAILY_SESSIONS = 300
COLUMNS = 3


def forecast_band(rows: pd.DataFrame, model: str, level: float) -> Figure:
    """Draw forecast, band and realised volatility of one model; weekly means where the path is long.

    Parameters
    ----------
    rows : DataFrame
        target_date, volatility, lower, upper, realized (annualised, decimal) in order of the date.
    model : str
    level : float
        Nominal coverage of the band.
    """
    index = pd.to_datetime(rows["target_date"])
    path = rows.set_index(index)[["volatility", "lower", "upper", "realized"]]
    long = len(path) > 3 * DAILY_SESSIONS
    if long:
        path = path.resample("W-FRI").mean().dropna(how="all")
    figure, axis = figures.new_figure(3.3)
    look = look_of(model)
    band = f"{level:.0%} band".replace("%", " %")
    axis.fill_between(path.index, path["lower"], path["upper"], color=look.colour, alpha=0.22, linewidth=0, label=band)
    if long:
        axis.plot(path.index, path["realized"], color=INK, linewidth=0.6, alpha=0.75, label="realised, weekly mean")
    else:
        axis.plot(path.index, path["realized"], ".", color=INK, markersize=3, alpha=0.65, label="realised")
    axis.plot(path.index, path["volatility"], color=look.colour, linewidth=1.5, label=f"{model} forecast")
    axis.set_yscale("log")
    figures.volatility_ticks(axis.yaxis, path[["realized", "lower", "upper"]])
    axis.set_ylabel("annualised volatility")
    axis.margins(x=0.01)
    figures.dates(axis)
    figures.legend(axis, columns=3, loc="upper left")
    return figure


def scatter(rows: pd.DataFrame, models: list[str]) -> Figure:
    """Draw realised against forecast volatility, one panel per model, logarithmic, with the diagonal."""
    columns = min(COLUMNS, len(models))
    lines = -(-len(models) // columns)
    size = {"height": 2.5 * lines, "width": 2.8 * columns}
    figure, axes = figures.new_figure(rows=lines, columns=columns, **size, squeeze=False, sharex=True, sharey=True)
    drawn = rows[rows["model"].isin(models)]
    low = float(min(drawn["volatility"].min(), drawn["realized"].quantile(0.002))) * 0.9
    high = float(max(drawn["volatility"].max(), drawn["realized"].max())) * 1.1
    for axis, model in zip(axes.flat, models, strict=False):
        own, look = drawn[drawn["model"] == model], look_of(model)
        # As an image inside the picture: a circle per day would be most of the page's bytes.
        axis.plot(own["volatility"], own["realized"], "o", color=look.colour, ms=2.6, alpha=0.5, mew=0, rasterized=True)
        axis.plot([low, high], [low, high], color=INK, linewidth=0.8)
        axis.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        for scale in (axis.xaxis, axis.yaxis):
            figures.volatility_ticks(scale, pd.DataFrame({"v": [low, high]}), few=True)
        figures.title(axis, model)
    figures.hide_spare(axes, len(models))
    for axis in axes.flat[max(len(models) - columns, 0) : len(models)]:
        axis.tick_params(labelbottom=True)
    figure.supxlabel("forecast, annualised volatility", fontsize=9, color=INK)
    figure.supylabel("realised", fontsize=9, color=INK)
    return figure


def qlike_months(means: pd.DataFrame, baseline: str) -> Figure:
    """Draw monthly mean QLIKE less the baseline's as a map; `means` has a row per month and a column per model."""
    difference = means.drop(columns=baseline).sub(means[baseline], axis=0).T
    figure, axis = figures.new_figure(0.9 + 0.27 * len(difference))
    values = difference.to_numpy(float)
    bound = max(float(np.nanquantile(np.abs(values), 0.95)), 1e-6) if np.isfinite(values).any() else 1.0
    colours = {"cmap": figures.diverging(), "vmin": -bound, "vmax": bound}
    image = axis.imshow(values, **colours, aspect="auto", interpolation="nearest")
    axis.grid(False)
    axis.set_yticks(range(len(difference)), difference.index)
    figures.month_ticks(axis, difference.columns)
    if len(difference.columns) <= MONTHS_WITH_NUMBERS:
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                shade = "white" if abs(value) > 0.62 * bound else "#1c2128"
                axis.text(j, i, f"{value:+.2f}".replace("0.", "."), ha="center", va="center", fontsize=7, color=shade)
    bar = figure.colorbar(image, ax=axis, pad=0.01, extend="both", aspect=12)
    figures.style_bar(bar, f"QLIKE less {baseline}")
    return figure


def cumulative_qlike(daily: pd.DataFrame, baseline: str) -> Figure:
    """Draw the running sum of each model's daily QLIKE less the baseline's; falling is better.

    `daily` has a row per session and a column per model, without NaN.
    """
    sums = figures.thin(daily.sub(daily[baseline], axis=0).drop(columns=baseline).cumsum())
    figure, axis = figures.new_figure(3.4)
    axis.axhline(0, color=look_of(baseline).colour, linewidth=1.4, label=baseline)
    for model in model_order(sums.columns):
        axis.plot(pd.to_datetime(sums.index), sums[model], **look_of(model).line, linewidth=1.4, label=model)
    # The worst model must not flatten the others.
    spread = sums.abs().max().sort_values()
    if len(spread) > 3 and spread.iloc[-1] > 3 * spread.iloc[-3]:
        axis.set_yscale("symlog", linthresh=max(float(spread.iloc[len(spread) // 2]) / 2, 1e-3))
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_ylabel(f"sum of QLIKE less {baseline}'s")
    axis.margins(x=0.01)
    figures.dates(axis)
    figures.legend_below(figure, axis)
    return figure
